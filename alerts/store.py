"""The alert store: what happened, and the outbox of what must still be told. Synchronous; several processes may share it."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Engine, Select, and_, exists, func, insert, or_, select, update

from alerts.database import insert_missing, open_engine, reading, writing
from alerts.migrate import prepare
from alerts.rows import Alert, Counts, Delivery, DeliveryStatus, alert_of, delivery_of, transition_of
from alerts.tables import alerts, deliveries, disabled_receivers, transitions
from core.ids import content_id
from core.records import AlertState, Transition

__all__ = ["Alert", "AlertStore", "Counts", "Delivery", "DeliveryStatus", "open_store"]

_MAX_ERROR_CHARS = 500
_FORGOTTEN_AT_ONCE = 500


class AlertStore:
    """Alerts, transitions and deliveries. Every method is one transaction; Retryable where the database is away or busy."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def engine(self) -> Engine:
        """The engine, for tables of others in the same database."""
        return self._engine

    def record(self, transition: Transition, receivers: Sequence[str]) -> bool:
        """True where the transition is new: it, its alert and one pending delivery per receiver are stored together.

        False where it was stored before; then nothing changes.
        """
        with writing(self._engine) as connection:
            return _record(connection, transition, tuple(dict.fromkeys(receivers)))

    def list_alerts(self, limit: int = 100, *, state: str | None = None, rule: str | None = None) -> list[Alert]:
        """The alerts that opened last, newest first."""
        query = select(alerts).order_by(alerts.c.opened.desc(), alerts.c.alert_id).limit(limit)
        if state is not None:
            query = query.where(alerts.c.state == state)
        if rule is not None:
            query = query.where(alerts.c.rule == rule)
        with reading(self._engine) as connection:
            return [alert_of(row) for row in connection.execute(query)]

    def get_alert(self, alert_id: str) -> Alert | None:
        """The alert of that id, or None."""
        with reading(self._engine) as connection:
            row = connection.execute(select(alerts).where(alerts.c.alert_id == alert_id)).first()
        return None if row is None else alert_of(row)

    def transitions(self, alert_id: str) -> list[Transition]:
        """The transitions of an alert in the order they were recorded."""
        query = select(transitions.c.body_json).where(transitions.c.alert_id == alert_id).order_by(transitions.c.sequence)
        with reading(self._engine) as connection:
            return [transition_of(row.body_json) for row in connection.execute(query)]

    def deliveries(
        self, alert_id: str | None = None, *, status: DeliveryStatus | None = None, receiver: str | None = None, limit: int = 100
    ) -> list[Delivery]:
        """Deliveries, those due last first."""
        query = _with_transition().order_by(deliveries.c.next_attempt.desc(), deliveries.c.id).limit(limit)
        wanted = {"status": status, "receiver": receiver, "alert_id": alert_id}
        for name, value in wanted.items():
            if value is not None:
                query = query.where(deliveries.c[name] == value)
        with reading(self._engine) as connection:
            return [delivery_of(row) for row in connection.execute(query)]

    def claim_due(self, now: datetime, limit: int, lease_s: float, *, receiver: str | None = None) -> list[Delivery]:
        """Up to `limit` deliveries that are due, leased to the caller for `lease_s`; `attempts` counts the try that now begins.

        A delivery waits while an earlier one of the same alert to the same receiver is pending. A lease that ran out may be
        claimed again: the delivery is then made at least once, with the same id.
        """
        lease = uuid.uuid4().hex
        values = {"lease": lease, "leased_until": now + timedelta(seconds=lease_s), "attempts": deliveries.c.attempts + 1}
        with writing(self._engine) as connection:
            # rows that another worker is claiming are passed over; PostgreSQL looks again at a row that changed before it locks it
            due = connection.execute(_due(now, receiver).limit(limit).with_for_update(skip_locked=True)).scalars().all()
            connection.execute(update(deliveries).where(deliveries.c.id.in_(due)).values(values))
            query = _with_transition().where(deliveries.c.lease == lease)
            rows = connection.execute(query.order_by(deliveries.c.next_attempt, deliveries.c.id)).all()
        return [delivery_of(row) for row in rows]

    def mark_delivered(self, delivery: Delivery, at: datetime) -> None:
        """The delivery is done, also where its lease has run out meanwhile."""
        done = {"status": "delivered", "delivered_at": at, "last_error": None, "lease": None, "leased_until": None}
        with writing(self._engine) as connection:
            connection.execute(update(deliveries).where(deliveries.c.id == delivery.id).values(done))

    def mark_failed(self, delivery: Delivery, error: str, *, next_attempt: datetime | None) -> None:
        """The try failed: pending until `next_attempt`, or failed for good where it is None.

        Nothing changes where another worker has claimed or made the delivery since.
        """
        values: dict[str, Any] = {"last_error": error[:_MAX_ERROR_CHARS], "lease": None, "leased_until": None}
        values |= {"status": "failed"} if next_attempt is None else {"next_attempt": next_attempt}
        ours = and_(deliveries.c.id == delivery.id, deliveries.c.status == "pending", deliveries.c.lease == delivery.lease)
        with writing(self._engine) as connection:
            connection.execute(update(deliveries).where(ours).values(values))

    def release(self, delivery: Delivery, *, next_attempt: datetime) -> None:
        """The claim is given back untried: the try is not counted, and the delivery waits until `next_attempt`."""
        values = {"lease": None, "leased_until": None, "next_attempt": next_attempt, "attempts": deliveries.c.attempts - 1}
        ours = and_(deliveries.c.id == delivery.id, deliveries.c.status == "pending", deliveries.c.lease == delivery.lease)
        with writing(self._engine) as connection:
            connection.execute(update(deliveries).where(ours).values(values))

    def release_all(self) -> int:
        """Give every claim back; how many there were. For the start of a worker that knows that no other is alive."""
        claimed = and_(deliveries.c.status == "pending", deliveries.c.lease.is_not(None))
        with writing(self._engine) as connection:
            return connection.execute(update(deliveries).where(claimed).values(lease=None, leased_until=None)).rowcount

    def disable_receiver(self, receiver: str, target: str, *, reason: str, at: datetime) -> None:
        """The receiver's address is gone: its deliveries fail unsent until `enable_receiver`, or a new address."""
        row = {"receiver": receiver, "target": target, "since": at, "reason": reason[:_MAX_ERROR_CHARS]}
        with writing(self._engine) as connection:
            insert_missing(connection, disabled_receivers, row)

    def disabled_reason(self, receiver: str, target: str) -> str | None:
        """Why the address is disabled, or None."""
        table = disabled_receivers
        query = select(table.c.reason).where(table.c.receiver == receiver, table.c.target == target)
        with reading(self._engine) as connection:
            return connection.execute(query).scalar()

    def enable_receiver(self, receiver: str) -> bool:
        """True where the receiver was disabled; it is tried again from now on."""
        with writing(self._engine) as connection:
            gone = connection.execute(disabled_receivers.delete().where(disabled_receivers.c.receiver == receiver))
        return gone.rowcount > 0

    def forget(self, before: datetime) -> int:
        """Delete the alerts that closed before that and have nothing left to deliver, with all that is told of them; how many."""
        waiting = exists().where(deliveries.c.alert_id == alerts.c.alert_id, deliveries.c.status == "pending")
        closed = and_(alerts.c.state == AlertState.INACTIVE.value, alerts.c.resolved < before, ~waiting)
        old = select(alerts.c.alert_id).where(closed).limit(_FORGOTTEN_AT_ONCE).with_for_update(skip_locked=True)
        count = 0
        while True:
            with writing(self._engine) as connection:
                found = connection.execute(old).scalars().all()
                for table in (deliveries, transitions, alerts):
                    connection.execute(table.delete().where(table.c.alert_id.in_(found)))
            count += len(found)
            if len(found) < _FORGOTTEN_AT_ONCE:
                return count

    def counts(self) -> Counts:
        """How many alerts and deliveries stand in each state."""
        with reading(self._engine) as connection:
            states = _tally(connection, alerts.c.state)
            sent = _tally(connection, deliveries.c.status)
            recorded = connection.execute(select(func.count()).select_from(transitions)).scalar_one()
        return Counts(
            active=states.get("active", 0), inactive=states.get("inactive", 0),
            transitions=int(recorded),
            pending=sent.get("pending", 0), delivered=sent.get("delivered", 0), failed=sent.get("failed", 0),
        )  # fmt: skip


def open_store(url: str) -> AlertStore:
    """The store at `url`, its schema up to date; ConfigError where the address cannot be used."""
    engine = open_engine(url)
    prepare(engine)
    return AlertStore(engine)


def delivery_id(transition_id: str, receiver: str) -> str:
    """The webhook-id, the same whenever it is derived.

    >>> delivery_id("transition-1", "console") == delivery_id("transition-1", "console")
    True
    """
    return content_id("msg", transition_id, receiver).replace("-", "_", 1)


def _record(connection: Connection, transition: Transition, receivers: tuple[str, ...]) -> bool:
    is_new = _lock_alert(connection, transition)
    if connection.execute(select(transitions.c.id).where(transitions.c.id == transition.id)).first() is not None:
        return False
    if not is_new:
        _follow(connection, transition)
    last = select(func.coalesce(func.max(transitions.c.sequence), 0)).where(transitions.c.alert_id == transition.alert_id)
    sequence = int(connection.execute(last).scalar_one()) + 1
    row = {
        "id": transition.id, "alert_id": transition.alert_id, "sequence": sequence, "state": transition.state.value,
        "reason": transition.reason.value, "time": transition.time, "decided": transition.decided,
        "body_json": msgspec.json.encode(transition).decode(),
    }  # fmt: skip
    connection.execute(insert(transitions).values(row))
    pending = [
        {
            "id": delivery_id(transition.id, receiver), "transition_id": transition.id, "alert_id": transition.alert_id,
            "sequence": sequence, "receiver": receiver, "status": "pending", "attempts": 0, "next_attempt": transition.decided,
        }
        for receiver in receivers
    ]  # fmt: skip
    if pending:
        connection.execute(insert(deliveries), pending)
    return True


def _lock_alert(connection: Connection, transition: Transition) -> bool:
    """True where the transition's alert is new and is stored by this; the alert is ours until the transaction ends either way."""
    active = transition.state is AlertState.ACTIVE
    row = {
        "alert_id": transition.alert_id, "rule": transition.rule, "group_json": msgspec.json.encode(transition.group).decode(),
        "severity": transition.severity, "state": transition.state.value, "opened": transition.time,
        "resolved": None if active else transition.time, "summary": transition.summary, "query": transition.query,
    }  # fmt: skip
    if insert_missing(connection, alerts, row):
        return True
    connection.execute(select(alerts.c.alert_id).where(alerts.c.alert_id == transition.alert_id).with_for_update())
    return False


def _follow(connection: Connection, transition: Transition) -> None:
    """Bring the alert's row up to the transition. A firing that comes after its resolution fills the opening and reopens nothing."""
    values: dict[str, Any] = {"severity": transition.severity}
    if transition.state is AlertState.ACTIVE:
        values |= {"opened": transition.time, "summary": transition.summary, "query": transition.query}
    else:
        values |= {"state": AlertState.INACTIVE.value, "resolved": transition.time}
    connection.execute(update(alerts).where(alerts.c.alert_id == transition.alert_id).values(values))


def _tally(connection: Connection, column: Column[str]) -> dict[str, int]:
    rows = connection.execute(select(column, func.count()).group_by(column)).all()
    return {str(value): int(count) for value, count in rows}


def _free(now: datetime) -> Any:
    return or_(deliveries.c.leased_until.is_(None), deliveries.c.leased_until <= now)


def _due(now: datetime, receiver: str | None) -> Select[tuple[str]]:
    earlier = deliveries.alias("earlier")
    blocked = exists().where(
        earlier.c.alert_id == deliveries.c.alert_id, earlier.c.receiver == deliveries.c.receiver,
        earlier.c.sequence < deliveries.c.sequence, earlier.c.status == "pending",
    )  # fmt: skip
    due = and_(deliveries.c.status == "pending", deliveries.c.next_attempt <= now, _free(now), ~blocked)
    query = select(deliveries.c.id).where(due).order_by(deliveries.c.next_attempt, deliveries.c.id)
    return query if receiver is None else query.where(deliveries.c.receiver == receiver)


def _with_transition() -> Select[Any]:
    return select(deliveries, transitions.c.body_json).join(transitions, transitions.c.id == deliveries.c.transition_id)
