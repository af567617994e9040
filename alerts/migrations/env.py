"""What Alembic runs: the migrations, on the connection and in the transaction of `alerts/migrate.py`."""

from alembic import context

from alerts.migrate import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
