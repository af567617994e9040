"""What is remembered of a customer or a terminal: a bounded ring of past payments with the labels that have arrived.

A ring is a value of a state table and travels inside messages: 32 bytes a payment, which numpy reads as they lie, and its id. All
operations slice and join bytes; no object is made of a past payment. A ring's content depends on which payments and labels were put
in, not on their order, unless one comes later than the slack allows.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from math import inf
from struct import Struct
from typing import Self

import msgspec
import numpy as np

from core.clock import epoch_s
from core.errors import InvalidRecord
from core.records import Label, Transaction

UNKNOWN, GENUINE, FRAUD = 0, 1, 2
DAY_S = 86_400.0
_SLACK_S = 2 * DAY_S  # beyond the horizon, so that a payment that comes up to two days late still sees its whole window

# `mark` is the label in the lowest byte and 56 bits of the counterpart's hash above it, so that a record has no padding.
# Four bytes tell an amount to 7 digits, which is a cent up to 167,772.
RECORD = np.dtype([("time_s", "<f8"), ("mark", "<u8"), ("label_s", "<f8"), ("amount", "<f4"), ("ratio", "<f4")])
_RECORD = Struct("<dQdff")
_TIME = Struct("<d")
_SIZE = _RECORD.size
LABEL_BITS = np.uint64(0xFF)  # of a mark
_HASH = 2**64 - 0x100
_LABELS = bytes([UNKNOWN, GENUINE, FRAUD])
_VERSION = 2
_HEAD = Struct("<BBH")  # version, 0, number of records
_END = b"\xff"  # around every id: a byte that UTF-8 never has, so that an id is found by a plain search


@dataclass(frozen=True, slots=True)
class Keep:
    """How many past payments of the customer and of the terminal a model reads."""

    customer: int
    terminal: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a score may look back on (`keep` entries within `horizon_s`) and how many more stay for late arrivals."""

    keep: int
    slack: int
    horizon_s: float


# The slack also covers messages that are worked off again after a restart, when the ring already holds what followed them.
CUSTOMER = Bounds(keep=64, slack=32, horizon_s=28 * DAY_S)
TERMINAL = Bounds(keep=48, slack=32, horizon_s=42 * DAY_S)
KEEP = Keep(CUSTOMER.keep, TERMINAL.keep)


class Entry(msgspec.Struct, frozen=True):
    """A past payment as one side remembers it: `other` is the terminal in a customer's ring, the customer in a terminal's.

    `other` is a hash, see `counterpart`. `label` is UNKNOWN, GENUINE or FRAUD, and `label_s` the time at which that became known.
    `ratio` is what `models.fraud.usual.ratios` gives, in a terminal's ring: a report of a payment that was ordinary for its customer
    speaks of the terminal, one that was unusual of the customer. Amount and ratio are kept in single precision.
    """

    time_s: float
    id: str
    amount: float
    other: int
    label: int = UNKNOWN
    label_s: float = 0.0
    ratio: float = 0.0


@lru_cache(maxsize=65_536)
def counterpart(name: str) -> int:
    """56 bits of the BLAKE2b hash of a customer's or terminal's id, in the upper bytes of 64.

    >>> counterpart("T1") & 0xFF, counterpart("T1") == counterpart("T2")
    (0, False)
    """
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") & _HASH


class Ring(msgspec.Struct, frozen=True, gc=False):
    """The latest payments of one customer or terminal, ordered by (time, id), each id once."""

    records: bytes = b""
    ids: bytes = _END

    def __len__(self) -> int:
        return len(self.records) // _SIZE

    @property
    def newest_s(self) -> float:
        """The time of the newest payment; -inf of an empty ring."""
        return float(_TIME.unpack_from(self.records, len(self.records) - _SIZE)[0]) if self.records else -inf

    def names(self, places: Iterable[int]) -> list[str]:
        """The ids of the payments at `places`, 0 being the oldest."""
        ids = self.ids.split(_END)
        return [ids[place + 1].decode("utf-8", "replace") for place in places]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The payments one by one, oldest first: for tests and people, not for scoring."""
        return tuple(
            Entry(time_s, name, amount, mark & _HASH, mark & 0xFF, label_s, ratio)
            for name, (time_s, mark, label_s, amount, ratio) in zip(
                self.names(range(len(self))), _RECORD.iter_unpack(self.records), strict=True
            )
        )

    def insert(self, entry: Entry, bounds: Bounds) -> Self:
        """The ring with `entry`, trimmed to its bounds; the same ring where the id is already there or the entry is too old.

        >>> other = counterpart("T1")
        >>> ring = Ring().insert(Entry(5.0, "b", 1.0, other), CUSTOMER).insert(Entry(3.0, "a", 2.0, other), CUSTOMER)
        >>> ring.insert(Entry(3.0, "a", 2.0, other), CUSTOMER).names([0, 1])
        ['a', 'b']
        """
        name = entry.id.encode()
        if _END + name + _END in self.ids:
            return self
        record = _RECORD.pack(entry.time_s, entry.other | entry.label, entry.label_s, entry.amount, entry.ratio)
        if self.newest_s < entry.time_s:
            return type(self)(self.records + record, self.ids + name + _END)._trimmed(bounds)
        place = self._place(entry.time_s, name)
        earlier, later = self._part(0, place), self._part(place, len(self))
        grown = type(self)(earlier.records + record + later.records, earlier.ids + name + later.ids)._trimmed(bounds)
        return self if grown.ids == self.ids else grown

    def label(self, transaction_id: str, state: int, label_s: float) -> Self:
        """The ring with the label of one of its payments; the same ring where it holds no such payment.

        Of two labels for one payment the later stands, of two at the same time FRAUD: their order of arrival changes nothing.
        """
        found = self.ids.find(_END + transaction_id.encode() + _END)
        if found < 0:
            return self
        start = self.ids.count(_END, 0, found) * _SIZE
        time_s, mark, known_s, amount, ratio = _RECORD.unpack_from(self.records, start)
        known = mark & 0xFF
        if known != UNKNOWN and (label_s, state) <= (known_s, known):
            return self
        record = _RECORD.pack(time_s, mark & _HASH | state, label_s, amount, ratio)
        return type(self)(self.records[:start] + record + self.records[start + _SIZE :], self.ids)

    def before(self, time_s: float, transaction_id: str, bounds: Bounds) -> slice:
        """The places of what a payment at (time_s, id) may look back on: at most `bounds.keep`, whether or not it is in the ring."""
        end = self._place(time_s, transaction_id.encode())
        first = max(0, end - bounds.keep)
        oldest_s = time_s - bounds.horizon_s
        if first < end and self._time_s(first) < oldest_s:
            first = bisect_left(range(end), oldest_s, first, key=self._time_s)
        return slice(first, end)

    def snapshot(self, time_s: float, transaction_id: str, bounds: Bounds) -> Self:
        """The part of the ring that a payment at (time_s, id) may look back on, to be scored or to travel to the other side."""
        seen = self.before(time_s, transaction_id, bounds)
        return self._part(seen.start, seen.stop)

    def encode(self) -> bytes:
        """Five bytes and, for each payment, 33 and its id."""
        return _HEAD.pack(_VERSION, 0, len(self)) + self.records + self.ids

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """The ring that `encode` wrote; `InvalidRecord` where the bytes are none."""
        if len(raw) < _HEAD.size:
            raise InvalidRecord("not the state of a ring: too short", field="ring")
        version, _, count = _HEAD.unpack_from(raw)
        if version != _VERSION:
            reason = f"the state of a ring begins with version {_VERSION}, not {version}; delete the table's state and replay"
            raise InvalidRecord(reason, field="ring")
        cut = _HEAD.size + count * _SIZE
        ids, labels = raw[cut:], raw[_HEAD.size + _TIME.size : cut : _SIZE]
        if ids[:1] != _END or ids[-1:] != _END or ids.count(_END) != count + 1 or labels.strip(_LABELS):
            raise InvalidRecord(f"not the state of a ring: {len(raw)} bytes do not hold {count} payments", field="ring")
        return cls(raw[_HEAD.size : cut], ids)

    def _time_s(self, place: int) -> float:
        time_s: float = _TIME.unpack_from(self.records, place * _SIZE)[0]
        return time_s

    def _place(self, time_s: float, name: bytes) -> int:
        """How many payments come before (time, id)."""
        count = len(self.records) // _SIZE
        newest_s = self.newest_s
        if newest_s < time_s:
            return count
        if newest_s == time_s and self.ids.endswith(_END + name + _END):
            return count - 1
        place = bisect_left(range(count), time_s, key=self._time_s)
        while place < count and self._time_s(place) == time_s and self.ids.split(_END, place + 2)[place + 1] < name:
            place += 1
        return place

    def _part(self, first: int, end: int) -> Self:
        """The payments from place `first` to before `end`."""
        count, ids = len(self.records) // _SIZE, self.ids
        if first == 0 and end == count:
            return self
        if end < count:
            ids = ids.rsplit(_END, count - end + 1)[0] + _END
        if first > 0:
            ids = _END + ids.split(_END, first + 1)[-1]
        return type(self)(self.records[first * _SIZE : end * _SIZE], ids)

    def _trimmed(self, bounds: Bounds) -> Self:
        """The newest payments that the bounds and their slack allow."""
        count = len(self.records) // _SIZE
        first = max(0, count - bounds.keep - bounds.slack)
        oldest_s = self.newest_s - bounds.horizon_s - _SLACK_S
        while self._time_s(first) < oldest_s:
            first += 1
        return self._part(first, count)


def customer_entry(transaction: Transaction) -> Entry:
    """The payment as its customer's ring remembers it."""
    return Entry(epoch_s(transaction.time), transaction.id, transaction.amount, counterpart(transaction.terminal_id))


def terminal_entry(transaction: Transaction, ratio: float = 0.0) -> Entry:
    """The payment as its terminal's ring remembers it, with its `ratio` to what its customer usually pays.

    The ratio follows from the customer's history, so a payment meets that first and its terminal's second.
    """
    customer = counterpart(transaction.customer_id)
    return Entry(epoch_s(transaction.time), transaction.id, transaction.amount, customer, ratio=ratio)


def label_state(label: Label) -> int:
    """FRAUD or GENUINE."""
    return FRAUD if label.fraud else GENUINE
