"""Leaves the training code out of the doctests where the `train` extra is not installed."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["models/training/*"]
collect_ignore_glob += ["alerts/migrations/env.py"]  # it runs inside Alembic only
