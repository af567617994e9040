"""`groundswell ingest generated`: payments of our own making into the raw topics, at any rate, with labels that come late."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from commands.ingest import send
from core.records import Label, Transaction
from core.settings import Settings
from core.topics import LABELS_RAW, TRANSACTIONS_RAW
from models.fraud.history import DAY_S
from models.training.fraud.files import labels, transactions
from models.training.fraud.generator import World, generate, label_times
from streams.sources.files import SourceRecord
from streams.sources.replay import merge


@dataclass(frozen=True, slots=True)
class Stream:
    """A world's payments, `rate` of them a second (None: as fast as it goes), each label `delay_days` of event time later."""

    world: World
    rate: float | None
    delay_days: float

    def records(self) -> Iterator[SourceRecord]:
        """Payments and labels by event time; ids begin with the seed, so that two worlds may share a broker."""
        payments = generate(self.world)
        prefix = f"generated-{self.world.seed}"
        known_s = label_times(payments, delay_s=self.delay_days * DAY_S, seed=self.world.seed)
        until_s = float(payments.time_s[-1]) if len(payments) else 0.0
        paid = _records("transactions", transactions(payments, prefix=prefix))
        found = _records("labels", labels(payments, known_s, until_s=until_s, prefix=prefix))
        return merge([found, paid])


def _records(kind: str, rows: Iterable[Transaction | Label]) -> Iterator[SourceRecord]:
    for line, row in enumerate(rows, start=1):
        yield SourceRecord(kind, msgspec.json.encode(row), row.time, line)


def paced(
    records: Iterable[SourceRecord],
    rate: float | None,
    *,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[SourceRecord]:
    """The records, each payment not before its turn at `rate` payments a second; labels go with the payments around them.

    >>> record, slept = SourceRecord("transactions", b"{}", None, 1), []
    >>> len(list(paced([record] * 3, 4.0, now_s=lambda: 0.0, sleep=slept.append))), slept
    (3, [0.25, 0.5])
    """
    begin_s = now_s()
    payments = 0
    for record in records:
        if record.kind == "transactions" and rate is not None:
            ahead_s = begin_s + payments / rate - now_s()
            if ahead_s > 0:
                sleep(ahead_s)
            payments += 1
        yield record


def ingest_generated(settings: Settings, stream: Stream) -> None:
    """Send the stream; ends with a line that counts what was sent."""
    sent, _ = send(settings, paced(stream.records(), stream.rate), "generated")
    sys.stderr.write(
        f"sent {sent['transactions']} payments to {TRANSACTIONS_RAW.name}, {sent['labels']} labels to {LABELS_RAW.name}\n"
    )
