"""Card payments of our own making: customers and terminals on a plane, three patterns of fraud, labels that come late.

Customers pay at terminals within their reach, around noon, each with its own mean amount and daily rate. Frauds:
(1) every amount above 220; (2) every payment at a compromised terminal, for 28 days; (3) a third of a compromised customer's
payments, for 14 days, at five times the amount. The process is the one that the Fraud Detection Handbook describes (Le Borgne,
Siblini, Lebichot, Bontempi); the code and every number drawn are independent of it. A world may hold harder patterns too, 4 to 6:
see `models.training.fraud.harder`.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import numpy as np

from models.fraud.arrays import Flags, Floats, Ints, States
from models.fraud.history import DAY_S
from models.training.fraud.harder import Columns, Harder, Plane, with_harder


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The arguments of the generator. One terminal per unit of area; `reach` 5 gives a customer 78 terminals on average.

    Rates of compromise are per entity and day. At the defaults 0.9 % of the payments are fraud, 7 % of these by pattern 1,
    64 % by pattern 2, 29 % by pattern 3.
    """

    customers: int = 5_000
    terminals: int = 10_000
    days: int = 180
    seed: int = 0
    start: date = date(2024, 1, 1)
    reach: float = 5.0
    mean_amount: tuple[float, float] = (5.0, 100.0)
    rate_per_day: tuple[float, float] = (0.0, 4.0)
    hour_spread_s: float = 5.5 * 3600
    high_amount: float = 220.0
    terminal_compromise_rate: float = 2e-4
    terminal_compromise_days: int = 28
    customer_compromise_rate: float = 6e-4
    customer_compromise_days: int = 14
    stolen_share: float = 1 / 3
    stolen_factor: float = 5.0
    harder: Harder = Harder()


@dataclass(frozen=True, slots=True)
class Payments:
    """Columns in order of time: the row number is the transaction's number.

    `pattern` is 0 for genuine, else the number of the fraud pattern. `terminal_xy` places the terminals on the plane of `side`.
    """

    time_s: Floats
    amount: Floats
    customer: Ints
    terminal: Ints
    pattern: States
    terminal_xy: Floats
    side: float

    @property
    def fraud(self) -> Flags:
        return self.pattern > 0

    def __len__(self) -> int:
        return len(self.time_s)

    def first(self, count: int) -> "Payments":
        """The earliest `count` payments."""
        part = slice(count)
        return replace(
            self,
            time_s=self.time_s[part],
            amount=self.amount[part],
            customer=self.customer[part],
            terminal=self.terminal[part],
            pattern=self.pattern[part],
        )


def generate(world: World) -> Payments:
    """The payments of a world; the same world gives the same payments.

    >>> payments = generate(World(customers=50, terminals=100, days=10, seed=1))
    >>> bool((np.diff(payments.time_s) >= 0).all())
    True
    """
    rng = np.random.default_rng(world.seed)
    side = float(np.sqrt(world.terminals))
    terminal_xy = rng.uniform(0, side, (world.terminals, 2))
    offsets, reachable = _within_reach(rng.uniform(0, side, (world.customers, 2)), terminal_xy, world.reach)
    customer, day, second = _moments(rng, world, offsets)
    order = np.lexsort((customer, day * DAY_S + second))
    customer, day, second = customer[order], day[order], second[order]
    choice = (rng.random(len(customer)) * (offsets[customer + 1] - offsets[customer])).astype(np.int64)
    terminal = reachable[offsets[customer] + choice]
    amount, pattern = _patterns(rng, world, _amounts(rng, world, customer), (customer, terminal, day))
    columns = Columns((day * DAY_S + second).astype(np.float64), amount, customer, terminal, pattern)
    plane = Plane(terminal_xy, customers=world.customers, days=world.days, high_amount=world.high_amount)
    columns = with_harder(columns, world.harder, plane, seed=world.seed)
    start_s = datetime(world.start.year, world.start.month, world.start.day, tzinfo=UTC).timestamp()
    return Payments(
        time_s=start_s + columns.second,
        amount=columns.amount,
        customer=columns.customer,
        terminal=columns.terminal,
        pattern=columns.pattern,
        terminal_xy=terminal_xy,
        side=side,
    )


def _within_reach(customer_xy: Floats, terminal_xy: Floats, reach: float) -> tuple[Ints, Ints]:
    """(offsets, terminals): customer c may pay at terminals[offsets[c]:offsets[c + 1]].

    Terminals are sorted into square cells as wide as the reach, so a customer is held against nine cells only.
    """
    cells_per_side = int(max(terminal_xy.max(initial=0.0), customer_xy.max(initial=0.0)) // reach) + 3
    cell = (terminal_xy // reach).astype(np.int64) + 1
    code = cell[:, 0] * cells_per_side + cell[:, 1]
    order = np.argsort(code, kind="stable")
    bounds = np.searchsorted(code[order], np.arange(cells_per_side**2 + 1))
    home = (customer_xy // reach).astype(np.int64) + 1
    owners, found = [], []
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            code_near = (home[:, 0] + dx) * cells_per_side + home[:, 1] + dy
            first, size = bounds[code_near], bounds[code_near + 1] - bounds[code_near]
            owner = np.repeat(np.arange(len(customer_xy)), size)
            step = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
            near = order[first[owner] + step]
            close = ((customer_xy[owner] - terminal_xy[near]) ** 2).sum(axis=1) < reach**2
            owners.append(owner[close])
            found.append(near[close])
    owner, near = np.concatenate(owners), np.concatenate(found)
    by_owner = np.lexsort((near, owner))
    return np.searchsorted(owner[by_owner], np.arange(len(customer_xy) + 1)), near[by_owner]


def _moments(rng: np.random.Generator, world: World, offsets: Ints) -> tuple[Ints, Ints, Ints]:
    """(customer, day, second of the day) of every payment; customers without a terminal in reach make none."""
    rate = rng.uniform(*world.rate_per_day, world.customers) * (np.diff(offsets) > 0)
    counts = rng.poisson(np.repeat(rate, world.days))
    slot = np.repeat(np.arange(len(counts)), counts)
    second = rng.normal(DAY_S / 2, world.hour_spread_s, len(slot)).astype(np.int64)
    awake = (second > 0) & (second < DAY_S)
    slot, second = slot[awake], second[awake]
    return slot // world.days, slot % world.days, second


def _amounts(rng: np.random.Generator, world: World, customer: Ints) -> Floats:
    """Amounts around each customer's own mean with half of it as the spread; what falls below zero is drawn evenly instead."""
    mean = rng.uniform(*world.mean_amount, world.customers)[customer]
    amount = rng.normal(mean, mean / 2)
    return np.where(amount > 0, amount, rng.uniform(0, 2 * mean)).round(2)


def _patterns(rng: np.random.Generator, world: World, amount: Floats, keys: tuple[Ints, Ints, Ints]) -> tuple[Floats, States]:
    """(amounts, pattern number): a later pattern overwrites an earlier one."""
    customer, terminal, day = keys
    pattern = np.where(amount > world.high_amount, 1, 0).astype(np.int8)
    at_terminal = _compromised(rng, (world.terminals, world.days), world.terminal_compromise_rate, world.terminal_compromise_days)
    pattern[at_terminal[terminal, day]] = 2
    of_customer = _compromised(rng, (world.customers, world.days), world.customer_compromise_rate, world.customer_compromise_days)
    stolen = of_customer[customer, day] & (rng.random(len(amount)) < world.stolen_share)
    pattern[stolen] = 3
    return np.where(stolen, amount * world.stolen_factor, amount).round(2), pattern


def _compromised(rng: np.random.Generator, shape: tuple[int, int], rate: float, lasting_days: int) -> Flags:
    """(entities, days): whether the entity is compromised on that day."""
    begins = (rng.random(shape) < rate).astype(np.int32)
    total = np.cumsum(begins, axis=1)
    total[:, lasting_days:] -= total[:, :-lasting_days].copy() if shape[1] > lasting_days else 0
    return total > 0


def label_times(payments: Payments, *, delay_s: float = 7 * DAY_S, jitter: float = 0.0, seed: int = 0) -> Floats:
    """When each payment's label becomes known: `delay_s` after it, times a factor drawn evenly from 1 ± jitter.

    >>> payments = generate(World(customers=20, terminals=40, days=3))
    >>> float((label_times(payments) - payments.time_s).max())
    604800.0
    """
    factor = np.random.default_rng(seed).uniform(1 - jitter, 1 + jitter, len(payments))
    return payments.time_s + (delay_s * factor).round()
