"""Real servers as child processes, without Docker."""
