"""Arrays of what a batch of payments looks back on: the one form that features are computed from, streaming or training.

Index 0 along the history axis is the newest entry; `valid` tells entries from padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from core.clock import epoch_s
from core.records import Transaction
from models.fraud.arrays import Flags, Floats, Ints, States
from models.fraud.history import CUSTOMER, TERMINAL, Entry, Ring


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """A payment and the entries it looks back on, newest first; labels count only if known at the payment's time."""

    transaction: Transaction
    time_s: float
    customer: tuple[Entry, ...]
    terminal: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """One side's past of N payments: every array is (N, entries)."""

    time_s: Floats
    amount: Floats
    state: States
    same: Flags
    valid: Flags

    def take(self, rows: Ints) -> "Window":
        """The same window of some of the payments; a row may be taken more than once."""
        return Window(self.time_s[rows], self.amount[rows], self.state[rows], self.same[rows], self.valid[rows])


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

    def take(self, rows: Ints) -> "Histories":
        """Some of the payments; a row may be taken more than once."""
        return Histories(
            time_s=self.time_s[rows],
            local_s=self.local_s[rows],
            amount=self.amount[rows],
            customer=self.customer.take(rows),
            terminal=self.terminal.take(rows),
        )


def features(transaction: Transaction, customer: Ring, terminal: Ring) -> FeatureRow:
    """What a score of `transaction` may use: entries before (time, id) and labels that had arrived by then.

    It does not matter whether the rings already hold the payment itself or later ones.
    """
    time_s = epoch_s(transaction.time)
    return FeatureRow(
        transaction=transaction,
        time_s=time_s,
        customer=customer.before(time_s, transaction.id, CUSTOMER),
        terminal=terminal.before(time_s, transaction.id, TERMINAL),
    )


def stack(rows: Sequence[FeatureRow]) -> Histories:
    """The rows as padded arrays, as wide as the longest past among them."""
    time_s = np.array([row.time_s for row in rows], dtype=np.float64)
    return Histories(
        time_s=time_s,
        local_s=time_s,
        amount=np.array([row.transaction.amount for row in rows], dtype=np.float64),
        customer=_window([row.customer for row in rows], time_s, [row.transaction.terminal_id for row in rows]),
        terminal=_window([row.terminal for row in rows], time_s, [row.transaction.customer_id for row in rows]),
    )


def _window(pasts: Sequence[tuple[Entry, ...]], time_s: Floats, others: Sequence[str]) -> Window:
    """The pasts as one window; `others` names each payment's own counterpart."""
    lengths = np.array([len(past) for past in pasts], dtype=np.int64)
    total = int(lengths.sum())
    valid = np.arange(int(lengths.max(initial=0))) < lengths[:, None]
    flat = list(chain.from_iterable(pasts))
    arrived = np.fromiter((entry.label_s for entry in flat), np.float64, total) <= np.repeat(time_s, lengths)
    label = np.fromiter((entry.label for entry in flat), np.int8, total)
    same = (entry.other == other for past, other in zip(pasts, others, strict=True) for entry in past)
    window = Window(
        time_s=np.zeros(valid.shape),
        amount=np.zeros(valid.shape),
        state=np.zeros(valid.shape, np.int8),
        same=np.zeros(valid.shape, np.bool_),
        valid=valid,
    )
    window.time_s[valid] = np.fromiter((entry.time_s for entry in flat), np.float64, total)
    window.amount[valid] = np.fromiter((entry.amount for entry in flat), np.float64, total)
    window.state[valid] = label * arrived
    window.same[valid] = np.fromiter(same, np.bool_, total)
    return window
