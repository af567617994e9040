"""Payments as columns, and the pasts of any of them as arrays: the batch twin of the rings.

`histories` gives what a chain of rings would give for the same payments and label arrivals; a test holds the two together.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.errors import ConfigError
from models.fraud.arrays import Flags, Floats, Ints
from models.fraud.history import CUSTOMER, DAY_S, FRAUD, GENUINE, KEEP, TERMINAL, UNKNOWN, Bounds, Keep
from models.fraud.usual import log_ratio, usual_means
from models.fraud.windows import Histories, Window

_PART = 8192  # rows at once of a whole ledger


@dataclass(frozen=True, slots=True)
class Side:
    """One key's payments side by side: `order` sorts rows by (key, time), `place` is its inverse, `first` a key's first place."""

    key: Ints
    order: Ints
    place: Ints
    first: Ints


@dataclass(frozen=True, slots=True)
class Ledger:
    """Payments in order of (time, id), with the truth about each and both sides' orders.

    `ratio` is what their terminals' rings carry of them, as the customer's whole past gives it, whatever of that a `Reporting` hides.
    Where `labelled` is there, the other payments' labels never come.
    """

    time_s: Floats
    amount: Floats
    ratio: Floats
    fraud: Flags
    customer: Side
    terminal: Side
    labelled: Flags | None = None

    def __len__(self) -> int:
        return len(self.time_s)


@dataclass(frozen=True, slots=True)
class Reporting:
    """How labels reach each of N scored payments; all arrays are (N,).

    A label arrives `delay_s` after its payment, times a factor drawn evenly from 1 ± `jitter`; genuine payments are reported
    only where `genuine` says so; what lies further back than `memory_s` has never been seen.
    """

    delay_s: Floats
    jitter: Floats
    genuine: Flags
    memory_s: Floats

    def part(self, rows: slice) -> "Reporting":
        """That of some of the payments."""
        return Reporting(self.delay_s[rows], self.jitter[rows], self.genuine[rows], self.memory_s[rows])


def exact(count: int, *, delay_days: float = 7.0) -> Reporting:
    """Every payment's label, fraud or genuine, after exactly `delay_days`."""
    return Reporting(np.full(count, delay_days * DAY_S), np.zeros(count), np.ones(count, np.bool_), np.full(count, np.inf))


def varied(count: int, rng: np.random.Generator) -> Reporting:
    """A mix to train on: delays of 0 to 14 days, half with jitter; a quarter reports frauds only; a fifth starts cold."""
    week = rng.random(count) < 0.25
    return Reporting(
        delay_s=np.where(week, 7.0, rng.uniform(0, 14, count)) * DAY_S,
        jitter=np.where(rng.random(count) < 0.5, rng.uniform(0, 0.5, count), 0.0),
        genuine=rng.random(count) < 0.75,
        memory_s=np.where(rng.random(count) < 0.2, rng.uniform(0, 42, count) * DAY_S, np.inf),
    )


def ledger(time_s: Floats, amount: Floats, fraud: Flags, *, customer: Ints, terminal: Ints) -> Ledger:
    """The ledger of columns that are already in order of (time, id)."""
    sides = _side(customer), _side(terminal)
    ratio = np.empty(len(time_s))
    for start in range(0, len(time_s), _PART):
        rows = np.arange(start, min(start + _PART, len(time_s)))
        past, valid = _past(time_s, rows, sides[0], CUSTOMER)
        known = np.where(valid, _single(amount[past]), 0.0)
        ratio[rows] = _single(log_ratio(amount[rows], usual_means(known, valid, amount[rows])))
    return Ledger(time_s=time_s, amount=amount, ratio=ratio, fraud=fraud, customer=sides[0], terminal=sides[1])


def _single(values: Floats) -> Floats:
    """As a ring keeps them."""
    return values.astype(np.float32).astype(np.float64)


def _past(time_s: Floats, rows: Ints, side: Side, bounds: Bounds) -> tuple[Ints, Flags]:
    """(N, keep) rows that each of `rows` looks back on, the newest first, and which of them are there."""
    place = side.place[rows][:, None] - 1 - np.arange(bounds.keep)
    inside = place >= side.first[side.key[rows]][:, None]
    past = side.order[np.maximum(place, 0)]
    return past, inside & (time_s[rows][:, None] - time_s[past] <= bounds.horizon_s)


def _side(key: Ints) -> Side:
    order = np.argsort(key, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return Side(key=key, order=order, place=place, first=np.searchsorted(key[order], np.arange(int(key.max(initial=0)) + 1)))


def histories(
    book: Ledger, rows: Ints, reporting: Reporting, rng: np.random.Generator | None = None, *, keep: Keep = KEEP
) -> Histories:
    """The pasts of `rows`; `rng` draws the jitter and is needed only where there is some."""
    customer, terminal = replace(CUSTOMER, keep=keep.customer), replace(TERMINAL, keep=keep.terminal)
    return Histories(
        time_s=book.time_s[rows],
        local_s=book.time_s[rows],
        amount=book.amount[rows],
        customer=_window(book, rows, (book.customer, book.terminal, customer), reporting, rng),
        terminal=_window(book, rows, (book.terminal, book.customer, terminal), reporting, rng),
    )


def _window(
    book: Ledger, rows: Ints, sides: tuple[Side, Side, Bounds], reporting: Reporting, rng: np.random.Generator | None
) -> Window:
    """The past on the first of `sides`; entries that share the second side's key are the `same` ones."""
    own, other, bounds = sides
    past, valid = _past(book.time_s, rows, own, bounds)
    age_s = book.time_s[rows][:, None] - book.time_s[past]
    valid &= age_s <= reporting.memory_s[:, None]
    delay_s = reporting.delay_s[:, None]
    if rng is not None:
        delay_s = delay_s * (1 + reporting.jitter[:, None] * rng.uniform(-1, 1, past.shape))
    fraud = book.fraud[past]
    known = valid & (age_s >= delay_s) & (fraud | reporting.genuine[:, None])
    if book.labelled is not None:
        known &= book.labelled[past]
    return Window(
        time_s=np.where(valid, book.time_s[past], 0.0),
        amount=np.where(valid, _single(book.amount[past]), 0.0),
        ratio=np.where(valid, book.ratio[past], 0.0) if own is book.terminal else np.zeros(past.shape),
        state=np.where(known, np.where(fraud, FRAUD, GENUINE), UNKNOWN).astype(np.int8),
        same=valid & (other.key[past] == other.key[rows][:, None]),
        valid=valid,
    )


def read_handbook(folder: Path) -> Ledger:
    """The Fraud Detection Handbook's payments, from its parquet file in `folder`."""
    import pyarrow.parquet as pq

    path = folder / "transactions.parquet"
    names = ["TX_DATETIME", "TRANSACTION_ID", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD"]
    try:
        table = pq.read_table(path, columns=names)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read the handbook's payments: {error}; name the folder of transactions.parquet", file=str(path)
        ) from error
    column = {name: table[name].to_numpy() for name in names}
    time_s = column["TX_DATETIME"].astype("datetime64[ms]").astype(np.int64) / 1000
    order = np.lexsort((column["TRANSACTION_ID"], time_s))
    return ledger(
        time_s[order],
        column["TX_AMOUNT"][order].astype(np.float64),
        column["TX_FRAUD"][order] > 0,
        customer=column["CUSTOMER_ID"][order].astype(np.int64),
        terminal=column["TERMINAL_ID"][order].astype(np.int64),
    )
