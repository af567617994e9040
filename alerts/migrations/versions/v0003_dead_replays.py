"""Which dead letters were replayed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A table of its own."""
    op.create_table(
        "dead_replays",
        sa.Column("letter", sa.String(32), primary_key=True),
        sa.Column("replayed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mended", sa.Boolean, nullable=False),
    )
