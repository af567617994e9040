"""The alert store: what happened, and the outbox of what must still be told. Synchronous; several processes may share it."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from sqlalchemy import Column, Connection, Engine, Row, Select, and_, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from alerts.database import create_schema, open_engine, reading, writing
from alerts.tables import alerts, deliveries, disabled_receivers, transitions
from core.ids import content_id
from core.records import AlertState, Transition

__all__ = ["Alert", "AlertStore", "Counts", "Delivery", "DeliveryStatus", "create_schema", "open_engine", "open_store"]

DeliveryStatus = Literal["pending", "delivered", "failed"]
_MAX_ERROR_CHARS = 500


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: the latest that its transitions say."""

    alert_id: str
    rule: str
    group: dict[str, str]
    severity: str
    state: AlertState
    opened: datetime
    resolved: datetime | None
    summary: str
    query: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One transition to one receiver. `id` is the webhook-id; `attempts` counts the tries begun; `lease` names the claim."""

    id: str
    transition_id: str
    alert_id: str
    receiver: str
    status: DeliveryStatus
    attempts: int
    next_attempt: datetime
    last_error: str | None
    delivered_at: datetime | None
    transition: Transition
    lease: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many alerts and deliveries stand in each state."""

    active: int
    inactive: int
    transitions: int
    pending: int
    delivered: int
    failed: int


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
        try:
            with writing(self._engine) as connection:
                return _record(connection, transition, tuple(dict.fromkeys(receivers)))
        except IntegrityError:  # another process stored a transition of this alert between our look and our write
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
            return [_alert(row) for row in connection.execute(query)]

    def get_alert(self, alert_id: str) -> Alert | None:
        """The alert of that id, or None."""
        with reading(self._engine) as connection:
            row = connection.execute(select(alerts).where(alerts.c.alert_id == alert_id)).first()
        return None if row is None else _alert(row)

    def transitions(self, alert_id: str) -> list[Transition]:
        """The transitions of an alert in the order they were recorded."""
        query = select(transitions.c.body_json).where(transitions.c.alert_id == alert_id).order_by(transitions.c.sequence)
        with reading(self._engine) as connection:
            return [_transition(row.body_json) for row in connection.execute(query)]

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
            return [_delivery(row) for row in connection.execute(query)]

    def claim_due(self, now: datetime, limit: int, lease_s: float, *, receiver: str | None = None) -> list[Delivery]:
        """Up to `limit` deliveries that are due, leased to the caller for `lease_s`; `attempts` counts the try that now begins.

        A delivery waits while an earlier one of the same alert to the same receiver is pending. A lease that ran out may be
        claimed again: the delivery is then made at least once, with the same id.
        """
        lease = uuid.uuid4().hex
        values = {"lease": lease, "leased_until": now + timedelta(seconds=lease_s), "attempts": deliveries.c.attempts + 1}
        with writing(self._engine) as connection:
            due = connection.execute(_due(now, receiver).limit(limit)).scalars().all()
            for delivery_id in due:
                still_free = and_(deliveries.c.id == delivery_id, deliveries.c.status == "pending", _free(now))
                connection.execute(update(deliveries).where(still_free).values(values))
            query = _with_transition().where(deliveries.c.lease == lease)
            rows = connection.execute(query.order_by(deliveries.c.next_attempt, deliveries.c.id)).all()
        return [_delivery(row) for row in rows]

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
        if self.disabled_reason(receiver, target) is None:
            try:
                with writing(self._engine) as connection:
                    connection.execute(insert(disabled_receivers).values(row))
            except IntegrityError:
                return  # another worker met the same 410 first

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
    """The store at `url`, its tables made where they are missing; ConfigError where the address cannot be used."""
    engine = open_engine(url)
    create_schema(engine)
    return AlertStore(engine)


def delivery_id(transition_id: str, receiver: str) -> str:
    """The webhook-id, the same whenever it is derived.

    >>> delivery_id("transition-1", "console") == delivery_id("transition-1", "console")
    True
    """
    return content_id("msg", transition_id, receiver).replace("-", "_", 1)


def _record(connection: Connection, transition: Transition, receivers: tuple[str, ...]) -> bool:
    if connection.execute(select(transitions.c.id).where(transitions.c.id == transition.id)).first() is not None:
        return False
    _put_alert(connection, transition)
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


def _put_alert(connection: Connection, transition: Transition) -> None:
    """The alert row after the transition. A firing that comes after its resolution fills the opening and reopens nothing."""
    query = select(alerts).where(alerts.c.alert_id == transition.alert_id).with_for_update()
    known = connection.execute(query).first()
    active = transition.state is AlertState.ACTIVE
    if known is None:
        opened = {"state": transition.state.value, "resolved": None if active else transition.time, "opened": transition.time}
        fixed = {
            "alert_id": transition.alert_id,
            "rule": transition.rule,
            "group_json": msgspec.json.encode(transition.group).decode(),
        }
        told = {"severity": transition.severity, "summary": transition.summary, "query": transition.query}
        connection.execute(insert(alerts).values({**fixed, **told, **opened}))
        return
    values: dict[str, Any] = {"severity": transition.severity}
    if active:
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


def _alert(row: Row[Any]) -> Alert:
    group = msgspec.json.decode(row.group_json, type=dict[str, str])
    state = AlertState(row.state)
    return Alert(row.alert_id, row.rule, group, row.severity, state, row.opened, row.resolved, row.summary, row.query)


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id, transition_id=row.transition_id, alert_id=row.alert_id, receiver=row.receiver, status=row.status,
        attempts=row.attempts, next_attempt=row.next_attempt, last_error=row.last_error, delivered_at=row.delivered_at,
        transition=_transition(row.body_json), lease=row.lease,
    )  # fmt: skip


def _transition(body: str) -> Transition:
    return msgspec.json.decode(body, type=Transition)
