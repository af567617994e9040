"""One file per group of routes; each offers `ROUTES`, which `web.app` mounts."""
