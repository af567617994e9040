"""The payment stages without a broker: topics are lists, tables real RocksDB files, and a worker can be killed between any two steps."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import rocksdict
from faust.types import TP

from core.records import ModelRef
from core.topics import (
    LABELS_RAW,
    TRANSACTIONS_BY_CUSTOMER,
    TRANSACTIONS_BY_ID,
    TRANSACTIONS_BY_TERMINAL,
    TRANSACTIONS_RAW,
    Topic,
)
from models.fraud.history import CUSTOMER, DAY_S, TERMINAL
from models.fraud.score import FraudScore
from models.fraud.windows import FeatureRow
from streams.batches import Work, tally
from streams.changelog import Message
from streams.ledger import Tally
from streams.merging import Merges
from streams.messages import Outgoing, Received, Worked
from streams.sender import Record
from streams.silence import Tide, payment_promises
from streams.steps import partition_of
from streams.tables import StateTable, take_over
from streams.transactions import Admit, Histories, JoinLabels, MeetCustomer, ScoreTransactions

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PARTITIONS = 2
_STAGES = {
    "admit": (TRANSACTIONS_RAW, LABELS_RAW),
    "join_labels": (TRANSACTIONS_BY_ID,),
    "meet_customer": (TRANSACTIONS_BY_CUSTOMER,),
    "score_transactions": (TRANSACTIONS_BY_TERMINAL,),
}


class Entry(NamedTuple):
    """A message of a partition."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Killed(Exception):
    """The worker ends here."""


@dataclass
class Broker:
    """Topics as lists of messages by partition, and what was committed and counted: what a worker's death leaves."""

    logs: dict[tuple[str, int], list[Entry]] = field(default_factory=dict)
    committed: dict[tuple[str, str, int], int] = field(default_factory=dict)
    counted: dict[tuple[str, str, int], dict[int, Tally]] = field(default_factory=dict)
    dead: list[tuple[Received, str]] = field(default_factory=list)
    partitions: int = PARTITIONS

    def put(self, message: Outgoing) -> None:
        """Append a message to its partition."""
        key = message.value if message.key is None else message.key
        partition = partition_of(key, self.partitions) if message.partition is None else message.partition
        log = self.log(message.topic, partition)
        log.append(Entry(len(log), message.key, message.value))

    def log(self, topic: str, partition: int) -> list[Entry]:
        """A partition."""
        return self.logs.setdefault((topic, partition), [])

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> range:
        """As `Sender.append`."""
        log = self.log(topic, partition)
        begin = len(log)
        log += [Entry(begin + place, *record) for place, record in enumerate(records)]
        return range(begin, len(log))

    async def read(self, spans: Mapping[TP, range]) -> AsyncIterator[tuple[TP, Sequence[Message]]]:
        """As `Changelogs.read`, in parts of three."""
        for place, span in spans.items():
            kept = self.log(place.topic, place.partition)[span.start : span.stop]
            found: list[Any] = [entry for entry in kept if entry.key is not None]  # the others were compacted away
            for begin in range(0, len(found), 3):
                yield place, found[begin : begin + 3]

    def values(self, topic: Topic) -> list[bytes]:
        """All messages of a topic but those that only bring marks."""
        return [value for (name, _), log in sorted(self.logs.items()) if name == topic.name for _, _, value, _ in log if value]

    def total(self, stage: str) -> Tally:
        """What became of all records that a stage has read."""
        found = [each for (name, _, _), counts in self.counted.items() if name == stage for each in counts.values()]
        return Tally(*map(sum, zip(*found, strict=True))) if found else Tally()


class Files:
    """What `StateTable` needs of Faust's app: tables as RocksDB files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._databases: dict[tuple[str, int], Any] = {}
        self.offset_key = b"__faust\0offset__"

    def Table(self, name: str, **_: Any) -> Any:  # noqa: N802 — Faust's name
        """A table."""
        return _Table(self, name)

    def open(self, name: str, partition: int) -> Any:
        """The file of a table's partition."""
        place = (name, partition)
        if place not in self._databases:
            options = rocksdict.Options(raw_mode=True)
            options.create_if_missing(True)
            self._databases[place] = rocksdict.Rdict(str(self._folder / f"{name}-{partition}.db"), options=options)
        return self._databases[place]

    def close(self) -> None:
        """Close all files."""
        for database in self._databases.values():
            database.close()
        self._databases.clear()


class _Table:
    """One table as Faust has it."""

    def __init__(self, files: Files, name: str) -> None:
        self._files, self._name = files, name
        self.data = self
        self.offset_key = files.offset_key
        self.changelog_topic_name = f"{name}-changelog"

    def _db_for_partition(self, partition: int) -> Any:
        return self._files.open(self._name, partition)


def recovered(files: Files, broker: Broker, name: str) -> StateTable:
    """A table, all partitions of which a worker that starts has taken over."""
    table = StateTable(files, broker, name, partitions=broker.partitions)

    async def recover() -> None:
        async for _ in take_over(broker, {TP(table.topic, number): table for number in range(broker.partitions)}):
            pass

    run(recover())
    return table


@dataclass
class Stage:
    """A stage with its table and merges."""

    work: Work
    table: StateTable | None = None
    merges: Merges | None = None


class Worker:
    """A worker's stages from its start to its death. `killed` is asked between the steps of a batch whether it dies here."""

    def __init__(
        self, broker: Broker, folder: Path, scorer: Any, *, lateness_s: float = 5.0, killed: Callable[[], bool] = lambda: False
    ) -> None:
        self.broker, self.tide, self._killed = broker, Tide(), killed
        self.files = Files(folder)
        self.positions = {
            (stage, topic.name, number): 0
            for stage, topics in _STAGES.items()
            for topic in topics
            for number in range(broker.partitions)
        }
        self.positions |= broker.committed
        count = broker.partitions

        def merging(name: str, topic: Topic, sources: tuple[Topic, ...], *, hold: bool = True) -> tuple[StateTable, Merges]:
            table = recovered(self.files, broker, name)
            return table, Merges(topic, sources, table, self.tide, count, hold)

        labels, joining = merging("labels", TRANSACTIONS_BY_ID, (TRANSACTIONS_RAW, LABELS_RAW), hold=False)
        customers, meeting = merging("customers", TRANSACTIONS_BY_CUSTOMER, (TRANSACTIONS_RAW, TRANSACTIONS_BY_ID))
        terminals, scoring = merging("terminals", TRANSACTIONS_BY_TERMINAL, (TRANSACTIONS_BY_CUSTOMER,))
        self.stages = {
            "admit": Stage(Admit(count, lateness_s, self.tide, lambda: NOW)),
            "join_labels": Stage(JoinLabels(joining, labels, 30 * DAY_S, count), labels, joining),
            "meet_customer": Stage(MeetCustomer(meeting, Histories(customers, CUSTOMER), count), customers, meeting),
            "score_transactions": Stage(
                ScoreTransactions(scoring, Histories(terminals, TERMINAL), scorer, lambda: NOW, count), terminals, scoring
            ),
        }

    def next_batch(self, name: str, size: int) -> list[Received]:
        """What the stage has to read, in turn of its partitions."""
        batch: list[Received] = []
        for topic in _STAGES[name]:
            for number in range(self.broker.partitions):
                begin = self.positions.get((name, topic.name, number), 0)
                log = self.broker.log(topic.name, number)[begin : begin + size]
                batch += [Received(topic.name, number, each.offset, each.key, each.value or b"", 0.0) for each in log]
                self.positions[name, topic.name, number] = begin + len(log)
        return batch

    async def step(self, name: str, size: int) -> bool:
        """Work one batch off as `BatchRunner` does; False where there is nothing to read."""
        batch = self.next_batch(name, size)
        if not batch:
            return False
        stage = self.stages[name]
        worked: Worked = await stage.work(batch)
        tallies = tally(batch, worked) if worked.settled is None else worked.settled
        for message in worked.outgoing:
            self._may_die()
            self.broker.put(message)
        self._may_die()
        if stage.table is not None:
            await stage.table.save()
        self._may_die()
        self.broker.dead += worked.dead
        for place, found in tallies.items():
            counted = self.broker.counted.setdefault((name, *place), {})
            highest = max(counted, default=-1)
            counted.update({offset: each for offset, each in found.items() if offset > highest})
        if stage.merges is not None:
            stage.merges.settled(tallies)
        self._may_die()
        for place, found in tallies.items():
            key = (name, *place)
            self.broker.committed[key] = max(self.broker.committed.get(key, 0), max(found) + 1)
        return True

    def promise(self) -> None:
        """As `Silence` where all raw partitions are worked off and silent."""
        for stage in self.stages.values():
            if stage.merges is not None:
                stage.merges.learn(range(self.broker.partitions))
        places = [TP(topic.name, number) for topic in _STAGES["admit"] for number in range(self.broker.partitions)]
        for message in payment_promises(places, self.tide.high_s, partitions=self.broker.partitions):
            self.broker.put(message)

    async def drain(self, pick: random.Random, size: int = 7) -> None:
        """Work everything off, stage by stage in any order, until a promise of all partitions brings nothing more."""
        for last in (False, True):
            while any([await self.step(name, pick.randint(1, size)) for name in pick.sample(list(_STAGES), len(_STAGES))]):
                pass
            if not last:
                self.promise()
        while any([await self.step(name, size) for name in _STAGES]):
            pass

    def _may_die(self) -> None:
        if self._killed():
            raise Killed


@contextmanager
def alive(worker: Worker) -> Iterator[Worker]:
    """The worker until it is done or killed."""
    try:
        yield worker
    except Killed:
        pass
    finally:
        worker.files.close()


@dataclass(frozen=True)
class EchoScorer:
    """Scores a payment by what it may look back on: any difference in order, past or labels shows in the score."""

    def score(self, rows: Sequence[FeatureRow]) -> list[FraudScore]:
        """A number in 0..1 for each row."""
        found = []
        for row in rows:
            past = [*row.customer.entries, *row.terminal.entries]
            seen = [
                f"{place}/{each.id}/{each.ratio}/{each.label if each.label_s <= row.time_s else 0}"
                for place, each in enumerate(past)
            ]
            digest = crc32(",".join(seen).encode())
            found.append(FraudScore(digest % 10_000 / 10_000, (), ModelRef(name="echo", version="1")))
        return found


def run(coroutine: Any) -> Any:
    """The result of a coroutine."""
    return asyncio.run(coroutine)
