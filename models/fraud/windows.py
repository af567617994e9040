"""Arrays of what a batch of payments looks back on: the one form that features are computed from, streaming or training.

Index 0 along the history axis is the newest entry; `valid` tells entries from padding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import msgspec
import numpy as np

from core.clock import epoch_s
from core.records import Transaction
from models.fraud.arrays import Flags, Floats, Ints, Marks, States
from models.fraud.history import CUSTOMER, KEEP, LABEL_BITS, RECORD, TERMINAL, UNKNOWN, Keep, Ring, counterpart


class FeatureRow(msgspec.Struct, frozen=True, gc=False):
    """A payment and the parts of both rings that it looks back on; labels count only if known at the payment's time."""

    transaction: Transaction
    time_s: float
    customer: Ring
    terminal: Ring


@dataclass(frozen=True, slots=True)
class Window:
    """One side's past of N payments: every array is (N, entries).

    `ratio` is what the entries carry, see `models.fraud.usual.ratios`; 0 on the customer's side, whose entries carry none.
    """

    time_s: Floats
    amount: Floats
    ratio: Floats
    state: States
    same: Flags
    valid: Flags

    def take(self, rows: Ints) -> "Window":
        """The same window of some of the payments; a row may be taken more than once."""
        return self._each(lambda array: array[rows])

    def narrowed(self) -> "Window":
        """The window without the columns at its end that hold nothing but padding."""
        width = int(np.max(np.flatnonzero(self.valid.any(axis=0)), initial=-1)) + 1
        return self.newest(width)

    def newest(self, count: int) -> "Window":
        """The window of no more than the newest `count` entries."""
        return self._each(lambda array: array[:, :count])

    def _each(self, change: Callable[[Any], Any]) -> "Window":
        return Window(*(change(getattr(self, each.name)) for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Histories:
    """N payments with both pasts. `local_s` gives the hour and the weekday; it is `time_s` except in what-if questions."""

    time_s: Floats
    local_s: Floats
    amount: Floats
    customer: Window
    terminal: Window

    def __len__(self) -> int:
        return len(self.time_s)

    def narrowed(self) -> "Histories":
        """The same, padded no further than the longest pasts of these payments need."""
        return replace(self, customer=self.customer.narrowed(), terminal=self.terminal.narrowed())

    def take(self, rows: Ints) -> "Histories":
        """Some of the payments; a row may be taken more than once."""
        return Histories(
            time_s=self.time_s[rows],
            local_s=self.local_s[rows],
            amount=self.amount[rows],
            customer=self.customer.take(rows),
            terminal=self.terminal.take(rows),
        )


def joined(parts: Sequence[Histories]) -> Histories:
    """The payments of several histories of the same widths one after another."""
    return Histories(
        time_s=np.concatenate([part.time_s for part in parts]),
        local_s=np.concatenate([part.local_s for part in parts]),
        amount=np.concatenate([part.amount for part in parts]),
        customer=_joined([part.customer for part in parts]),
        terminal=_joined([part.terminal for part in parts]),
    )


def _joined(parts: Sequence[Window]) -> Window:
    return Window(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Window)))


def features(transaction: Transaction, customer: Ring, terminal: Ring) -> FeatureRow:
    """What a score of `transaction` may use: entries before (time, id) and labels that had arrived by then.

    It does not matter whether the rings already hold the payment itself or later ones.
    """
    time_s = epoch_s(transaction.time)
    return FeatureRow(
        transaction=transaction,
        time_s=time_s,
        customer=customer.snapshot(time_s, transaction.id, CUSTOMER),
        terminal=terminal.snapshot(time_s, transaction.id, TERMINAL),
    )


def stack(rows: Sequence[FeatureRow], keep: Keep = KEEP) -> Histories:
    """The rows as padded arrays, as wide as the longest past among them, of which a model may read only the newest `keep`."""
    time_s = np.array([row.time_s for row in rows], dtype=np.float64)
    terminals = np.array([counterpart(row.transaction.terminal_id) for row in rows], dtype=np.uint64)
    customers = np.array([counterpart(row.transaction.customer_id) for row in rows], dtype=np.uint64)
    return Histories(
        time_s=time_s,
        local_s=time_s,
        amount=np.array([row.transaction.amount for row in rows], dtype=np.float64),
        customer=_window([row.customer.records for row in rows], time_s, terminals, keep.customer),
        terminal=_window([row.terminal.records for row in rows], time_s, customers, keep.terminal),
    )


def _window(blocks: Sequence[bytes], time_s: Floats, others: Marks, keep: int) -> Window:
    """The newest `keep` of each block of records, newest first; `others` marks each payment's own counterpart."""
    length = np.fromiter(map(len, blocks), np.int64, len(blocks)) // RECORD.itemsize
    step = np.arange(min(keep, int(length.max(initial=0))))
    valid = step < length[:, None]
    place = np.where(valid, np.cumsum(length)[:, None] - 1 - step, 0)
    records = np.frombuffer(b"".join(blocks), RECORD)
    mark = records["mark"][place]
    known = valid & (records["label_s"][place] <= time_s[:, None])
    return Window(
        time_s=np.where(valid, records["time_s"][place], 0.0),
        amount=np.where(valid, records["amount"][place], 0.0).astype(np.float64),
        ratio=np.where(valid, records["ratio"][place], 0.0).astype(np.float64),
        state=np.where(known, mark & LABEL_BITS, UNKNOWN).astype(np.int8),
        same=valid & ((mark & ~LABEL_BITS) == others[:, None]),
        valid=valid,
    )
