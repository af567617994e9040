"""Generated payments as the records that the product reads: JSON lines of transactions and labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec
import numpy as np

from core.clock import from_epoch_s
from core.records import Label, Transaction
from models.fraud.arrays import Floats
from models.training.fraud.generator import Payments, World, generate, label_times

# 700 customers make about 20,400 payments in 15 days; at six times the usual rates of compromise, all three patterns occur often.
SAMPLE = World(
    start=date(2016, 1, 18),  # so that the demo's payments fall into the weeks of its posts
    customers=720,
    terminals=1_440,
    days=16,
    seed=7,
    terminal_compromise_rate=1e-3,
    customer_compromise_rate=3e-3,
)
SAMPLE_ROWS = 20_000
_SAMPLE_DELAY_DAYS = 3.0
_ONLINE_SHARE = 0.2
_COUNTRIES = ("US", "CA", "MX")  # bands of the plane, the middle four fifths being US


@dataclass(frozen=True, slots=True)
class Written:
    """How many records went into a file."""

    path: Path
    rows: int


def transactions(payments: Payments, *, prefix: str = "tx") -> Iterator[Transaction]:
    """The payments as records; ids count in order of time, zero-padded so that text order is number order."""
    online = np.random.default_rng(0).random(len(payments.terminal_xy)) < _ONLINE_SHARE
    height = payments.terminal_xy[:, 1] / payments.side
    country = np.where(height > 0.9, 1, np.where(height < 0.1, 2, 0))
    digits = len(str(len(payments)))
    columns = (payments.time_s, payments.amount, payments.customer, payments.terminal)
    for number, (time_s, amount, customer, terminal) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        yield Transaction(
            id=f"{prefix}-{number:0{digits}d}",
            time=from_epoch_s(time_s),
            customer_id=f"C{customer}",
            terminal_id=f"T{terminal}",
            amount=amount,
            currency="USD",
            channel="online" if online[terminal] else "pos",
            country=_COUNTRIES[country[terminal]],
        )


def labels(payments: Payments, known_s: Floats, *, until_s: float = np.inf, prefix: str = "tx") -> Iterator[Label]:
    """The labels that are known before `until_s`, in order of the time at which they become known."""
    digits = len(str(len(payments)))
    for number in np.argsort(known_s, kind="stable").tolist():
        if known_s[number] < until_s:
            name = f"{prefix}-{number:0{digits}d}"
            yield Label(transaction_id=name, fraud=bool(payments.pattern[number]), time=from_epoch_s(float(known_s[number])))


def write(folder: Path, payments: Payments, known_s: Floats, *, until_s: float = np.inf) -> tuple[Written, Written]:
    """`transactions.jsonl` and `labels.jsonl` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return (
        _lines(folder / "transactions.jsonl", transactions(payments)),
        _lines(folder / "labels.jsonl", labels(payments, known_s, until_s=until_s)),
    )


def write_sample(folder: Path) -> tuple[Written, Written]:
    """The demo's sample: 20,000 payments with all three patterns and the labels that become known within their period."""
    payments = generate(SAMPLE).first(SAMPLE_ROWS)
    known_s = label_times(payments, delay_s=_SAMPLE_DELAY_DAYS * 86_400, jitter=0.5, seed=SAMPLE.seed)
    return write(folder, payments, known_s, until_s=float(payments.time_s[-1]))


def _lines(path: Path, records: Iterator[Transaction] | Iterator[Label]) -> Written:
    encoder = msgspec.json.Encoder()
    with path.open("wb") as stream:
        rows = sum(1 for record in records if stream.write(encoder.encode(record) + b"\n"))
    return Written(path, rows)
