"""The ledger's rows remember where they began: only then can be told whether what lies between there and their offset was all counted."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rows from before, and those that workers of the version before make meanwhile, do not know it."""
    op.add_column("ledger", sa.Column("first_offset", sa.BigInteger))
