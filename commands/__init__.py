"""The command line, one file a command; `wiring.py` builds the parts that they share."""
