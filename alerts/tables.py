"""The alert tables, in SQL that SQLite and PostgreSQL share. A change here goes with a migration in `migrations/versions`."""

from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, Dialect, ForeignKey, Index, Integer, MetaData, String, Table, Text, UniqueConstraint
from sqlalchemy.types import TypeDecorator


class UtcTime(TypeDecorator[datetime]):
    """An aware time, stored in UTC. SQLite keeps no zone: it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The time in UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The aware time."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class PlainText(TypeDecorator[str]):
    """A text as people or receivers wrote it, but for U+0000, which PostgreSQL cannot store: it becomes U+FFFD everywhere."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text that can be stored."""
        return None if value is None else value.replace("\0", "\ufffd")


metadata = MetaData()

alerts = Table(
    "alerts",
    metadata,
    Column("alert_id", String(64), primary_key=True),
    Column("rule", String(100), nullable=False),
    Column("group_json", Text, nullable=False),
    Column("severity", String(10), nullable=False),
    Column("state", String(10), nullable=False),
    Column("opened", UtcTime, nullable=False),
    Column("resolved", UtcTime),
    Column("summary", PlainText, nullable=False),
    Column("query", PlainText, nullable=False),
    Index("alerts_by_opened", "opened", "alert_id"),
    Index("alerts_by_rule", "rule", "opened"),
)

transitions = Table(
    "transitions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("alert_id", ForeignKey("alerts.alert_id"), nullable=False),
    Column("sequence", Integer, nullable=False),  # order of recording within one alert: deliveries keep it
    Column("state", String(10), nullable=False),
    Column("reason", String(60), nullable=False),
    Column("time", UtcTime, nullable=False),
    Column("decided", UtcTime, nullable=False),
    Column("body_json", Text, nullable=False),  # the whole record, as it came
    UniqueConstraint("alert_id", "sequence"),
)

# The outbox. `id` is the webhook-id and never changes over retries. status: pending, delivered, failed
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("transition_id", ForeignKey("transitions.id"), nullable=False),
    Column("alert_id", ForeignKey("alerts.alert_id"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("receiver", String(100), nullable=False),
    Column("status", String(10), nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("next_attempt", UtcTime, nullable=False),
    Column("leased_until", UtcTime),
    Column("lease", String(32)),
    Column("last_error", PlainText),
    Column("delivered_at", UtcTime),
    UniqueConstraint("transition_id", "receiver"),
    Index("deliveries_due", "status", "receiver", "next_attempt"),
    Index("deliveries_by_alert", "alert_id", "receiver", "sequence"),
)

# Endpoints that answered 410 Gone. `target` fingerprints the address: a receiver with a new address is not disabled
disabled_receivers = Table(
    "disabled_receivers",
    metadata,
    Column("receiver", String(100), primary_key=True),
    Column("target", String(64), primary_key=True),
    Column("since", UtcTime, nullable=False),
    Column("reason", PlainText, nullable=False),
)
