"""The tables as they were before there were migrations. Those that are there already are taken over as they are."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make what is missing."""
    _alerts()
    _transitions()
    _deliveries()
    _disabled_receivers()
    _ledger()


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.String(64), primary_key=True),
        sa.Column("rule", sa.String(100), nullable=False),
        sa.Column("group_json", sa.Text, nullable=False),
        sa.Column("severity", sa.String(10), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("opened", _TIME, nullable=False),
        sa.Column("resolved", _TIME),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index("alerts_by_opened", "alerts", ["opened", "alert_id"], if_not_exists=True)
    op.create_index("alerts_by_rule", "alerts", ["rule", "opened"], if_not_exists=True)


def _transitions() -> None:
    op.create_table(
        "transitions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("alert_id", sa.String(64), sa.ForeignKey("alerts.alert_id"), nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("reason", sa.String(60), nullable=False),
        sa.Column("time", _TIME, nullable=False),
        sa.Column("decided", _TIME, nullable=False),
        sa.Column("body_json", sa.Text, nullable=False),
        sa.UniqueConstraint("alert_id", "sequence"),
        if_not_exists=True,
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("transition_id", sa.String(64), sa.ForeignKey("transitions.id"), nullable=False),
        sa.Column("alert_id", sa.String(64), sa.ForeignKey("alerts.alert_id"), nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("receiver", sa.String(100), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt", _TIME, nullable=False),
        sa.Column("leased_until", _TIME),
        sa.Column("lease", sa.String(32)),
        sa.Column("last_error", sa.Text),
        sa.Column("delivered_at", _TIME),
        sa.UniqueConstraint("transition_id", "receiver"),
        if_not_exists=True,
    )
    op.create_index("deliveries_due", "deliveries", ["status", "receiver", "next_attempt"], if_not_exists=True)
    op.create_index("deliveries_by_alert", "deliveries", ["alert_id", "receiver", "sequence"], if_not_exists=True)


def _disabled_receivers() -> None:
    op.create_table(
        "disabled_receivers",
        sa.Column("receiver", sa.String(100), primary_key=True),
        sa.Column("target", sa.String(64), primary_key=True),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        if_not_exists=True,
    )


def _ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("epoch", sa.String(64), primary_key=True),
        sa.Column("stage", sa.String(64), primary_key=True),
        sa.Column("topic", sa.String(255), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("passed", sa.BigInteger, nullable=False),
        sa.Column("absorbed", sa.BigInteger, nullable=False),
        sa.Column("dead", sa.BigInteger, nullable=False),
        if_not_exists=True,
    )
