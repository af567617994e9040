"""Faust lives here and only here: the app (read `app.py` first), the agents' pure logic, sources, dead letters, the ledger."""
