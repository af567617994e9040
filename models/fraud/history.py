"""What is remembered of a customer or a terminal: a bounded ring of past payments with the labels that have arrived.

A ring is a value of a state table and travels inside messages, so it is an immutable struct that encodes to a few kilobytes.
Its content depends on which payments and labels were put in, not on their order, unless one comes later than the slack allows.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import msgspec

from core.clock import epoch_s
from core.errors import InvalidRecord
from core.records import Label, Transaction

UNKNOWN, GENUINE, FRAUD = 0, 1, 2
DAY_S = 86_400.0
_SLACK_S = 2 * DAY_S  # beyond the horizon, so that a payment that comes up to two days late still sees its whole window


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a score looks back on (`keep` entries within `horizon_s`) and how many more entries stay for late arrivals."""

    keep: int
    slack: int
    horizon_s: float


CUSTOMER = Bounds(keep=32, slack=16, horizon_s=28 * DAY_S)
TERMINAL = Bounds(keep=24, slack=12, horizon_s=42 * DAY_S)


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A past payment as one side remembers it: `other` is the terminal in a customer's ring, the customer in a terminal's.

    `label` is UNKNOWN, GENUINE or FRAUD, and `label_s` the time at which that became known.
    """

    time_s: float
    id: str
    amount: float
    other: str
    label: int = UNKNOWN
    label_s: float = 0.0

    def state_at(self, time_s: float) -> int:
        """The label as known at `time_s`: UNKNOWN until it has arrived.

        >>> Entry(0.0, "a", 9.5, "T1", FRAUD, 70.0).state_at(69.0)
        0
        """
        return self.label if self.label_s <= time_s else UNKNOWN


def _key(entry: Entry) -> tuple[float, str]:
    return entry.time_s, entry.id


class Ring(msgspec.Struct, frozen=True, array_like=True):
    """The latest payments of one customer or terminal, ordered by (time, id), each id once."""

    entries: tuple[Entry, ...] = ()

    def insert(self, entry: Entry, bounds: Bounds) -> Self:
        """The ring with `entry`, trimmed to its bounds; the same ring where the id is already there.

        >>> ring = Ring().insert(Entry(5.0, "b", 1.0, "T1"), CUSTOMER).insert(Entry(3.0, "a", 2.0, "T1"), CUSTOMER)
        >>> [entry.id for entry in ring.insert(Entry(3.0, "a", 2.0, "T1"), CUSTOMER).entries]
        ['a', 'b']
        """
        entries = self.entries
        if any(old.id == entry.id for old in entries):
            return self
        place = bisect_left(entries, _key(entry), key=_key)
        grown = (*entries[:place], entry, *entries[place:])
        return type(self)(_trim(grown, bounds))

    def label(self, transaction_id: str, state: int, label_s: float) -> Self:
        """The ring with the label of one of its payments; the same ring where it holds no such payment.

        Of two labels for one payment the later stands, of two at the same time FRAUD: their order of arrival changes nothing.
        """
        for place, entry in enumerate(self.entries):
            if entry.id == transaction_id:
                if (label_s, state) <= (entry.label_s, entry.label) and entry.label != UNKNOWN:
                    return self
                marked = msgspec.structs.replace(entry, label=state, label_s=label_s)
                return type(self)((*self.entries[:place], marked, *self.entries[place + 1 :]))
        return self

    def before(self, time_s: float, transaction_id: str, bounds: Bounds) -> tuple[Entry, ...]:
        """The entries that a payment at (time_s, id) may look back on, newest first, at most `bounds.keep`."""
        end = bisect_left(self.entries, (time_s, transaction_id), key=_key)
        oldest = time_s - bounds.horizon_s
        seen = self.entries[max(0, end - bounds.keep) : end]
        if seen and seen[0].time_s < oldest:
            seen = tuple(entry for entry in seen if entry.time_s >= oldest)
        return seen[::-1]

    def snapshot(self, time_s: float, transaction_id: str, bounds: Bounds) -> Self:
        """The part of the ring that a payment at (time_s, id) may look back on, to travel to the other side's stage."""
        return type(self)(self.before(time_s, transaction_id, bounds)[::-1])

    def encode(self) -> bytes:
        """MessagePack of the ring, about 45 bytes an entry with short ids."""
        return _encoder.encode(self)

    @classmethod
    def decode(cls, raw: bytes) -> "Ring":
        """The ring that `encode` wrote; `InvalidRecord` where the bytes are none."""
        try:
            return _decoder.decode(raw)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise InvalidRecord(f"not the state of a ring: {error}", field="ring") from error


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Ring)


def _trim(entries: Sequence[Entry], bounds: Bounds) -> tuple[Entry, ...]:
    """The newest entries that the bounds and their slack allow."""
    kept = tuple(entries[-(bounds.keep + bounds.slack) :])
    oldest = kept[-1].time_s - bounds.horizon_s - _SLACK_S
    if kept[0].time_s < oldest:
        kept = tuple(entry for entry in kept if entry.time_s >= oldest)
    return kept


def customer_entry(transaction: Transaction) -> Entry:
    """The payment as its customer's ring remembers it."""
    return Entry(epoch_s(transaction.time), transaction.id, transaction.amount, transaction.terminal_id)


def terminal_entry(transaction: Transaction) -> Entry:
    """The payment as its terminal's ring remembers it."""
    return Entry(epoch_s(transaction.time), transaction.id, transaction.amount, transaction.customer_id)


def label_state(label: Label) -> int:
    """FRAUD or GENUINE."""
    return FRAUD if label.fraud else GENUINE
