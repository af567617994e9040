"""The command line, group by group; each command's work is in `commands`."""
