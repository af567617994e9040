"""What the alert store gives: alerts, deliveries and counts, read from rows of its tables."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import Row

from core.records import AlertState, Transition

DeliveryStatus = Literal["pending", "delivered", "failed"]


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


def alert_of(row: Row[Any]) -> Alert:
    """The alert of a row of `alerts`."""
    group = msgspec.json.decode(row.group_json, type=dict[str, str])
    state = AlertState(row.state)
    return Alert(row.alert_id, row.rule, group, row.severity, state, row.opened, row.resolved, row.summary, row.query)


def delivery_of(row: Row[Any]) -> Delivery:
    """The delivery of a row of `deliveries` that has its transition's body beside it."""
    return Delivery(
        id=row.id, transition_id=row.transition_id, alert_id=row.alert_id, receiver=row.receiver, status=row.status,
        attempts=row.attempts, next_attempt=row.next_attempt, last_error=row.last_error, delivered_at=row.delivered_at,
        transition=transition_of(row.body_json), lease=row.lease,
    )  # fmt: skip


def transition_of(body: str) -> Transition:
    """The transition, as it came."""
    return msgspec.json.decode(body, type=Transition)
