"""What a recipe's `data` names: payments to learn from, and others to calibrate and measure on."""

import hashlib
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from core.errors import ConfigError
from models.fraud.arrays import Flags, Ints, States
from models.fraud.history import DAY_S
from models.registry import DataSource, Licence
from models.training.fraud.generator import Payments, World, generate
from models.training.fraud.ledger import Ledger, ledger, read_handbook
from models.training.fraud.recipe import Generated, Handbook

_SETTLED_DAYS = 20  # of calibration and test worlds: by then labels have come in at the rate at which they go on to
_WARM_DAYS = 28  # of the Handbook: until a customer's past is full


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a ledger; `pattern` numbers the generated frauds' patterns, row for row."""

    book: Ledger
    rows: Ints
    pattern: States | None = None

    @property
    def truth(self) -> Flags:
        return self.book.fraud[self.rows]


@dataclass(frozen=True, slots=True)
class Training:
    """What is learned from, and what a manifest says of it."""

    part: Part
    source: DataSource
    licence: Licence


def training(data: Generated | Handbook, folder: Path | None) -> Training:
    """The payments to learn from; `folder` is where those lie that we did not make."""
    if isinstance(data, Generated):
        book = book_of(generate(data.training))
        part = Part(book, np.arange(len(book)))
        return Training(part, _source(part, f"own generator: {asdict(data.training)}", "Apache-2.0"), "Apache-2.0")
    book = _handbook(folder)
    part = Part(book, _between(book, data.start, _held(data)))
    name = f"Fraud Detection Handbook, {data.start or 'the fifth week'} to {_held(data)}"
    return Training(part, _source(part, name, "none stated"), "research-use")


def _source(part: Part, name: str, licence: str) -> DataSource:
    return DataSource(name=name, licence=licence, rows=len(part.rows), sha256=digest(part.book, part.rows))


def held_out(data: Generated | Handbook, folder: Path | None) -> tuple[Part, Part]:
    """(to calibrate on, to measure on): payments that were not learned from; of the Handbook, the same for both."""
    if isinstance(data, Generated):
        return _settled(data.calibration), _settled(data.test)
    book = _handbook(folder)
    part = Part(book, _between(book, _held(data), data.end))
    return part, part


def book_of(payments: Payments) -> Ledger:
    """The ledger of a generated world."""
    return ledger(payments.time_s, payments.amount, payments.fraud, customer=payments.customer, terminal=payments.terminal)


def digest(book: Ledger, rows: Ints) -> str:
    """Hex SHA-256 over the rows' columns."""
    found = hashlib.sha256()
    for column in (book.time_s, book.amount, book.customer.key, book.terminal.key, book.fraud):
        found.update(np.ascontiguousarray(column[rows]).tobytes())
    return found.hexdigest()


def _settled(world: World) -> Part:
    payments = generate(world)
    rows = np.flatnonzero(payments.time_s >= payments.time_s[0] + _SETTLED_DAYS * DAY_S)
    return Part(book_of(payments), rows, payments.pattern[rows])


def _handbook(folder: Path | None) -> Ledger:
    if folder is None:
        raise ConfigError("this recipe learns from the Fraud Detection Handbook's payments: name their folder with --data")
    return read_handbook(folder)


def _held(data: Handbook) -> date:
    """The day on which the held-out part begins."""
    return data.end - timedelta(days=data.held_days)


def _between(book: Ledger, start: date | None, end: date) -> Ints:
    first_s = book.time_s[0] // DAY_S * DAY_S + _WARM_DAYS * DAY_S if start is None else _epoch_s(start)
    return np.arange(*np.searchsorted(book.time_s, [first_s, _epoch_s(end)]))


def _epoch_s(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
