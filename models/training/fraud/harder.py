"""Patterns of fraud that look more like genuine payments than the Handbook's three, for generated worlds.

(4) Slow bust-out: a customer's amounts and number of payments grow in small steps until it is gone; what it spent in the last half
of that is lost. (5) Card testing: a series of tiny payments within minutes at terminals anywhere, then a purchase of an unsuspicious
amount. (6) Collusive terminals: three neighbours that for some weeks charge a part of their customers once more, each at another of
the three, about the same amount some days later; all else that they take is genuine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from models.fraud.arrays import Flags, Floats, Ints, States
from models.fraud.history import DAY_S

BUST_OUT, CARD_TESTING, COLLUSION = 4, 5, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Harder:
    """How often the patterns begin, per customer or terminal and day, and how they go on. By default, never."""

    bust_out_rate: float = 0.0
    bust_out_days: int = 30
    bust_out_growth: float = 4.0
    card_testing_rate: float = 0.0
    collusion_rate: float = 0.0
    collusion_days: int = 21
    collusion_share: float = 0.3


SOME = Harder(bust_out_rate=5e-5, card_testing_rate=1e-4, collusion_rate=2e-5)  # about a tenth of a world's frauds


@dataclass(frozen=True, slots=True)
class Columns:
    """Payments in order of time; `second` counts from the world's first midnight."""

    second: Floats
    amount: Floats
    customer: Ints
    terminal: Ints
    pattern: States

    def take(self, rows: Ints | Flags) -> "Columns":
        """Some of the payments."""
        return Columns(self.second[rows], self.amount[rows], self.customer[rows], self.terminal[rows], self.pattern[rows])


def _joined(parts: Sequence[Columns]) -> Columns:
    """The payments of all parts one after another."""
    return Columns(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Columns)))


@dataclass(frozen=True, slots=True)
class Plane:
    """Where the terminals are, and the world's sizes."""

    terminal_xy: Floats
    customers: int
    days: int
    high_amount: float


def with_harder(columns: Columns, harder: Harder, plane: Plane, *, seed: int) -> Columns:
    """The payments with what the harder patterns change and add, in order of time."""
    rng = np.random.default_rng([seed, 1])
    busts = _begins(rng, plane.customers, plane.days, harder.bust_out_rate)
    columns = _bust_out(rng, columns, busts, harder, plane)
    tests = _begins(rng, plane.customers, plane.days, harder.card_testing_rate)
    pairs = _begins(rng, len(plane.terminal_xy), plane.days, harder.collusion_rate)
    whole = _joined([columns, _card_testing(rng, tests, plane), _collusion(rng, columns, pairs, harder, plane)])
    whole = whole.take(whole.second < plane.days * DAY_S)
    return whole.take(np.lexsort((whole.customer, whole.second)))


def _begins(rng: np.random.Generator, count: int, days: int, rate: float) -> tuple[Ints, Ints]:
    """(entity, day) of every beginning."""
    found = rng.poisson(rate * count * days)
    return rng.integers(0, count, found), rng.integers(0, days, found)


def _bust_out(rng: np.random.Generator, columns: Columns, begins: tuple[Ints, Ints], harder: Harder, plane: Plane) -> Columns:
    """Payments of customers that bust out, with growing amounts and repeats, and none afterwards."""
    start = np.full(plane.customers, np.inf)
    np.minimum.at(start, begins[0], begins[1] * DAY_S)
    progress = (columns.second - start[columns.customer]) / (harder.bust_out_days * DAY_S)
    columns = columns.take(progress < 1)
    progress = np.maximum(progress[progress < 1], 0.0)
    repeats = np.flatnonzero(rng.random(len(progress)) < progress)
    later = columns.take(repeats)
    later = replace(
        later,
        second=later.second + rng.integers(600, 4 * 3600, len(repeats)),
        amount=later.amount * rng.uniform(0.6, 1.4, len(repeats)),
    )
    whole = _joined([columns, later])
    progress = np.concatenate([progress, progress[repeats]])
    grown = np.minimum(whole.amount * (1 + (harder.bust_out_growth - 1) * progress), np.maximum(whole.amount, plane.high_amount))
    lost = (progress >= 0.5) & (whole.pattern == 0)
    return replace(
        whole,
        amount=np.where(progress > 0, grown, whole.amount).round(2),
        pattern=np.where(lost, BUST_OUT, whole.pattern).astype(np.int8),
    )


def _card_testing(rng: np.random.Generator, begins: tuple[Ints, Ints], plane: Plane) -> Columns:
    """Series of four to nine tiny payments some seconds apart, each with a purchase up to six hours later."""
    customer, day = begins
    tiny = rng.integers(4, 10, len(customer))
    series = np.repeat(np.arange(len(customer)), tiny + 1)
    number = np.arange(len(series)) - np.repeat(np.cumsum(tiny + 1) - (tiny + 1), tiny + 1)
    purchase = number == tiny[series]
    begin = day * DAY_S + rng.integers(0, int(DAY_S), len(customer))
    gap = np.where(purchase, rng.integers(600, 6 * 3600, len(series)), 0)
    amount = np.where(purchase, rng.uniform(40, 0.9 * plane.high_amount, len(series)), rng.uniform(0.5, 3, len(series)))
    return Columns(
        second=np.asarray(begin[series] + 40.0 * number + rng.integers(0, 30, len(series)) + gap, np.float64),
        amount=amount.round(2),
        customer=customer[series],
        terminal=rng.integers(0, len(plane.terminal_xy), len(series)),
        pattern=np.full(len(series), CARD_TESTING, np.int8),
    )


def _collusion(rng: np.random.Generator, columns: Columns, begins: tuple[Ints, Ints], harder: Harder, plane: Plane) -> Columns:
    """What groups of three neighbours charge once more."""
    rows, where = [], []
    by_terminal = np.argsort(columns.terminal, kind="stable")
    first = np.searchsorted(columns.terminal[by_terminal], np.arange(len(plane.terminal_xy) + 1))
    for terminal, day in zip(*(each.tolist() for each in begins), strict=True):
        distance = ((plane.terminal_xy - plane.terminal_xy[terminal]) ** 2).sum(axis=1)
        group = np.argsort(distance, kind="stable")[:3]
        taken = np.concatenate([by_terminal[first[member] : first[member + 1]] for member in group])
        age = columns.second[taken] / DAY_S - day
        charged = taken[(age >= 0) & (age < harder.collusion_days) & (rng.random(len(taken)) < harder.collusion_share)]
        charged = charged[columns.pattern[charged] == 0]
        rows.append(charged)
        where.append(group[rng.integers(0, len(group), len(charged))])
    again = np.concatenate(rows) if rows else np.empty(0, np.int64)
    return Columns(
        second=columns.second[again] + rng.integers(int(DAY_S), int(4 * DAY_S), len(again)),
        amount=(columns.amount[again] * rng.uniform(0.8, 1.3, len(again))).round(2),
        customer=columns.customer[again],
        terminal=np.concatenate(where) if where else again,
        pattern=np.full(len(again), COLLUSION, np.int8),
    )
