"""Messages as the agents see them: what came in, what goes out, and what could not go on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from streams.ledger import Tally

Place = tuple[str, int]  # topic and partition


class Received(msgspec.Struct, frozen=True, gc=False):
    """One message as it came; `arrived_s` is its time stamp, seconds since the epoch."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    arrived_s: float
    headers: Sequence[tuple[str, bytes]] = ()


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One message to send; without `partition` the key decides."""

    topic: str
    value: bytes
    key: bytes | None = None
    partition: int | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class Worked:
    """What became of a batch: messages to send, records that cannot go on with their reason, and records that end here as meant to.

    `settled` is None where every message of the batch is worked off. A stage that holds messages back says itself which offsets are
    settled, with what became of their records; those may be of earlier batches.
    """

    outgoing: list[Outgoing] = field(default_factory=list)
    dead: list[tuple[Received, str]] = field(default_factory=list)
    absorbed: list[Received] = field(default_factory=list)
    settled: dict[Place, dict[int, Tally]] | None = None

    def add(self, other: "Worked") -> None:
        """Take over what another part of the batch gave."""
        self.outgoing.extend(other.outgoing)
        self.dead.extend(other.dead)
        self.absorbed.extend(other.absorbed)


def received(event: Any) -> list[Received]:
    """The messages of a Faust event, which carries a run of one partition's messages (`streams/transport.py`)."""
    return [
        Received(
            each.topic, each.partition, each.offset, each.key, each.value or b"", (each.timestamp or 0) / 1000.0, each.headers
        )
        for each in event.message.run
    ]
