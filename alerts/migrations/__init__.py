"""Migrations of the database: alerts, deliveries and the ledger. `alerts/migrate.py` runs them."""
