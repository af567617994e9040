"""The shell around stages, its sender and its takings: what is sent, when it is saved, and what happens when partitions move."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.producer.message_accumulator import BatchBuilder
from faust.types import TP

from core.errors import Retryable
from core.topics import LABELS_RAW, TRANSACTIONS_BY_ID, TRANSACTIONS_RAW
from streams.batches import BatchRunner, Stage
from streams.dead_letters import DeadRatio
from streams.ledger import PASSED
from streams.messages import Outgoing, Received, Worked
from streams.sender import Sender
from streams.silence import Silence, Tide, Watched, payment_promises
from streams.steps import decode_parcel, partition_of
from streams.take import take


@dataclass
class Producer:
    """aiokafka's producer as `Sender` uses it: real batches, and logs instead of a broker."""

    logs: dict[tuple[str, int], list[int]] = field(default_factory=dict)  # records of each batch
    refuses: bool = False

    def _ensure_producer(self) -> "Producer":
        return self

    def create_batch(self) -> BatchBuilder:
        """An empty batch."""
        return BatchBuilder(1_000, 0)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        """Take a batch."""
        if self.refuses:
            raise KafkaConnectionError("gone")
        log = self.logs.setdefault((topic, partition), [])
        sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        sent.set_result(SimpleNamespace(offset=sum(log)))
        log.append(batch.record_count())
        return sent


@dataclass
class App:
    """What the shell asks of a Faust app."""

    producer: Producer = field(default_factory=Producer)
    consumer_generation_id: int = 1
    rebalancing: bool = False
    in_recovery: bool = False
    assigned: set[TP] = field(default_factory=set)
    ends: dict[TP, int] = field(default_factory=dict)
    _committed_offset: dict[TP, int] = field(default_factory=dict)

    @property
    def consumer(self) -> "App":
        """It is its own consumer here."""
        return self

    async def maybe_start_producer(self) -> Producer:
        """The producer."""
        return self.producer

    def assignment(self) -> set[TP]:
        """The partitions of this worker."""
        return self.assigned

    async def highwaters(self, *places: TP) -> dict[TP, int]:
        """The ends of partitions."""
        return {place: self.ends[place] for place in places}

    async def earliest_offsets(self, *places: TP) -> dict[TP, int]:
        """Where partitions begin."""
        return dict.fromkeys(places, 0)


@dataclass
class Counts:
    """A ledger that remembers what it was told."""

    told: list[Any] = field(default_factory=list)

    def settle(self, stage: str, tallies: Any) -> None:
        """Count."""
        self.told.append((stage, tallies))

    def settled(self, *_: Any) -> int | None:
        """Nothing is known from before."""
        return None


def test_messages_go_out_in_batches_by_partition_and_in_order() -> None:
    app = App()
    messages = [Outgoing("t", b"x" * 300, key=b"k%d" % number) for number in range(20)]
    asyncio.run(Sender(app, partitions=2).send(messages))
    places = [partition_of(message.key or b"", 2) for message in messages]
    assert {place: sum(log) for place, log in app.producer.logs.items()} == {("t", each): places.count(each) for each in (0, 1)}
    assert all(count <= 3 for log in app.producer.logs.values() for count in log)


def test_the_last_offset_of_what_was_appended_is_told_and_a_large_record_goes_alone() -> None:
    sender = Sender(App(), partitions=1)

    async def append() -> list[int]:
        return [
            await sender.append("t", 0, [(b"k", b"v", ())] * 5),
            await sender.append("t", 0, [(b"k", b"x" * 5_000, ())]),
            await sender.append("t", 0, [(b"k", None, ())] * 2),
        ]

    assert asyncio.run(append()) == [4, 5, 7]


def test_a_broker_that_is_away_is_worth_another_try() -> None:
    with pytest.raises(Retryable, match="did not take"):
        asyncio.run(Sender(App(Producer(refuses=True)), partitions=1).send([Outgoing("t", b"x")]))


def settle(app: App, counts: Counts, work: Any) -> BatchRunner:
    """One batch of one message through a stage."""
    runner = BatchRunner(app, counts, Sender(app, partitions=1), max_dead_ratio=0.9)  # type: ignore[arg-type]  # a twin of Ledger
    batch = [Received("news.raw", 0, 7, None, b"x", 0.0)]
    asyncio.run(runner._settle(Stage("test", work, 10), batch, DeadRatio(0.9)))
    return runner


def test_a_batch_is_counted_and_may_be_committed_once_it_is_sent() -> None:
    app, counts = App(), Counts()

    async def work(_: Sequence[Received]) -> Worked:
        return Worked(outgoing=[Outgoing("out", b"y")])

    runner = settle(app, counts, work)
    assert app.producer.logs == {("out", 0): [1]}
    assert counts.told == [("test", {("news.raw", 0): {7: PASSED}})]
    assert runner.worked_to("test", ("news.raw", 0)) == 8


def test_what_moved_to_another_worker_meanwhile_is_not_counted() -> None:
    app, counts = App(), Counts()

    async def work(_: Sequence[Received]) -> Worked:
        app.consumer_generation_id += 1
        return Worked(outgoing=[Outgoing("out", b"y")])

    runner = settle(app, counts, work)
    assert counts.told == []
    assert runner.worked_to("test", ("news.raw", 0)) is None


def test_nothing_of_a_generation_is_begun_once_it_is_given_away() -> None:
    app = App()
    runner = BatchRunner(app, Counts(), Sender(app, partitions=1), max_dead_ratio=0.9)  # type: ignore[arg-type]  # a twin of Ledger

    async def work(batch: Sequence[Received]) -> Worked:
        return Worked(absorbed=list(batch))

    def event(offset: int, generation: int) -> Any:
        record = SimpleNamespace(topic="news.raw", partition=0, offset=offset, key=None, value=b"x", timestamp=1_000, headers=())
        return SimpleNamespace(message=SimpleNamespace(run=[record], generation_id=generation))

    stage = Stage("test", work, 1)
    assert [len(part) for part in runner._parts(stage, [event(0, 1), event(1, 1), event(2, 0)])] == [1, 1]
    asyncio.run(runner.give_away())
    assert list(runner._parts(stage, [event(0, 1)])) == []
    app.consumer_generation_id = 2
    assert list(runner._parts(stage, [event(0, 2)])) == []
    asyncio.run(runner.take_over())
    assert [len(part) for part in runner._parts(stage, [event(0, 1), event(0, 2)])] == [1]


class Stream:
    """A Faust stream that is fed by hand."""

    def __init__(self) -> None:
        self.should_stop, self.current_event, self.channel = False, None, self
        self._processors: list[Any] = []

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        raise StopAsyncIteration

    def add_processor(self, processor: Any) -> None:
        """Faust's."""
        self._processors.append(processor)

    def _enable_passive(self, _: Any) -> None:
        """Faust begins to read."""

    async def wait_for_stopped(self, event: asyncio.Event, timeout: float | None = None) -> None:  # noqa: ASYNC109 — Faust's
        """Faust's: until the event is set, or the time is over."""
        try:
            await asyncio.wait_for(event.wait(), timeout)
        except TimeoutError:
            return

    async def feed(self, *events: str) -> None:
        """Let events come."""
        for event in events:
            self.current_event = event  # type: ignore[assignment]
            await self._processors[0](event)


def test_what_is_there_is_taken_at_once_and_never_more_than_asked_for() -> None:
    async def play() -> list[list[str]]:
        stream = Stream()
        taking = take(stream, 2)
        first = asyncio.ensure_future(anext(taking))
        await asyncio.sleep(0)
        feeding = asyncio.ensure_future(stream.feed("a", "b", "c", "d", "e"))
        batches = [await first, await anext(taking), await anext(taking)]
        await feeding
        return batches

    assert asyncio.run(play()) == [["a", "b"], ["c", "d"], ["e"]]


def watched(tide: Tide) -> Watched:
    return Watched((TRANSACTIONS_RAW.name, LABELS_RAW.name), "admit", tide, partial(payment_promises, partitions=1))


def test_a_silent_partition_promises_what_was_known_a_while_ago() -> None:
    app = App(assigned={TP(TRANSACTIONS_RAW.name, 0), TP(LABELS_RAW.name, 0), TP("news.raw", 0)})
    app.ends = {TP(TRANSACTIONS_RAW.name, 0): 0, TP(LABELS_RAW.name, 0): 5}
    runner = BatchRunner(app, Counts(), Sender(app, partitions=1), max_dead_ratio=0.9)  # type: ignore[arg-type]  # a twin of Ledger
    tide = Tide()
    silence = Silence(app, runner, Sender(app, partitions=1), watched(tide), idle_s=1.0)

    async def play() -> list[int]:
        sent: list[int] = []
        for now_s, high_s in ((0.0, 10.0), (0.5, 20.0), (1.0, 30.0), (1.6, 30.0), (1.7, 30.0), (2.7, 30.0), (3.7, 30.0)):
            tide.rise(high_s)
            await silence._promise(now_s)
            sent.append(sum(app.producer.logs.get((TRANSACTIONS_BY_ID.name, 0), [])))
        return sent

    assert asyncio.run(play()) == [0, 0, 1, 2, 2, 3, 3]  # labels.raw holds messages that were not admitted: no promise of it


def test_what_was_committed_before_is_admitted_whatever_the_ledger_knows() -> None:
    place = TP(TRANSACTIONS_RAW.name, 0)
    app = App(assigned={place}, ends={place: 9}, _committed_offset={place: 9})
    runner = BatchRunner(app, Counts(), Sender(app, partitions=1), max_dead_ratio=0.9)  # type: ignore[arg-type]  # a twin of Ledger
    silence = Silence(app, runner, Sender(app, partitions=1), watched(Tide(5.0)), idle_s=1.0)

    async def play() -> None:
        for now_s in (0.0, 1.5):
            await silence._promise(now_s)

    asyncio.run(play())
    assert sum(app.producer.logs[TRANSACTIONS_BY_ID.name, 0]) == 1


def test_promises_reach_every_partition_that_waits_for_them() -> None:
    told = payment_promises([TP(TRANSACTIONS_RAW.name, 1), TP(LABELS_RAW.name, 0)], 7.0, partitions=3)
    marks = [[mark.source for mark in decode_parcel(message.value).marks] for message in told]
    assert marks == [["transactions.raw/1", "labels.raw/0"]] * 3 + [["transactions.raw/1"]] * 3
