"""Messages as the agents see them: what came in, what goes out, and what could not go on."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it came; `arrived_s` is its time stamp, seconds since the epoch; `event` is Faust's, for table writes."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    arrived_s: float
    event: Any = field(default=None, repr=False, compare=False)

    @property
    def place(self) -> tuple[str, int, int]:
        """Topic, partition and offset."""
        return self.topic, self.partition, self.offset


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send; without `partition` the key decides."""

    topic: str
    value: bytes
    key: bytes | None = None
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class Worked:
    """What became of a batch: messages to send, records that cannot go on with their reason, and records that end here as meant to."""

    outgoing: list[Outgoing] = field(default_factory=list)
    dead: list[tuple[Received, str]] = field(default_factory=list)
    absorbed: list[Received] = field(default_factory=list)

    def add(self, other: "Worked") -> None:
        """Take over what another part of the batch gave."""
        self.outgoing.extend(other.outgoing)
        self.dead.extend(other.dead)
        self.absorbed.extend(other.absorbed)


def received(event: Any) -> Received:
    """A Faust event's message; a tombstone reads as empty bytes."""
    message = event.message
    arrived_s = message.timestamp or 0.0
    return Received(message.topic, message.partition, message.offset, message.key, event.value or b"", arrived_s, event)
