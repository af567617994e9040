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

from core import metrics
from core.errors import Retryable
from core.topics import LABELS_RAW, TRANSACTIONS_BY_ID, TRANSACTIONS_RAW
from streams.batches import BatchRunner, Stage
from streams.dead_letters import DeadRatio
from streams.ledger import PASSED, Tally
from streams.messages import Outgoing, Received, Worked
from streams.sender import Sender
from streams.silence import Silence, Tide, Watched, payment_promises
from streams.steps import decode_parcel, partition_of
from streams.tables import NotOurs
from streams.take import Overflow, take


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
    waits_for_room: bool = False
    assigned: set[TP] = field(default_factory=set)
    ends: dict[TP, int] = field(default_factory=dict)
    _committed_offset: dict[TP, int] = field(default_factory=dict)
    rewound: list[tuple[TP, int]] = field(default_factory=list)

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

    def highwater(self, place: TP) -> int:
        """The end of a partition."""
        return self.ends[place]

    async def rewind(self, place: TP, offset: int) -> None:
        """Note the wish to read again."""
        self.rewound.append((place, offset))


@dataclass
class Counts:
    """A ledger that remembers what it was told, and does not answer the first `away` questions."""

    told: list[Any] = field(default_factory=list)
    away: int = 0

    def settle(self, stage: str, tallies: Any) -> None:
        """Count."""
        self.told.append((stage, tallies))

    def settled(self, *_: Any) -> int | None:
        """Nothing is known from before."""
        if self.away:
            self.away -= 1
            raise Retryable("the database did not answer")
        return None


class MovingProducer(Producer):
    """Partitions move to another worker while it sends."""

    def __init__(self, app: App) -> None:
        super().__init__()
        self._app = app

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        """Take a batch as the partitions move."""
        self._app.consumer_generation_id += 1
        return await super().send_batch(batch, topic, partition=partition)


async def send_on(_: Sequence[Received]) -> Worked:
    """One message, whatever the batch."""
    return Worked(outgoing=[Outgoing("out", b"y")])


def test_messages_go_out_in_batches_by_partition_and_in_order() -> None:
    app = App()
    messages = [Outgoing("t", b"x" * 300, key=b"k%d" % number) for number in range(20)]
    asyncio.run(Sender(app, partitions=2).send(messages))
    places = [partition_of(message.key or b"", 2) for message in messages]
    assert {place: sum(log) for place, log in app.producer.logs.items()} == {("t", each): places.count(each) for each in (0, 1)}
    assert all(count <= 3 for log in app.producer.logs.values() for count in log)


def test_the_offsets_of_what_was_appended_are_told_and_a_large_record_goes_alone() -> None:
    sender = Sender(App(), partitions=1)

    async def append() -> list[range]:
        return [
            await sender.append("t", 0, [(b"k", b"v", ())] * 5),
            await sender.append("t", 0, [(b"k", b"x" * 5_000, ())]),
            await sender.append("t", 0, [(b"k", None, ())] * 2),
        ]

    assert asyncio.run(append()) == [range(5), range(5, 6), range(6, 8)]


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
    runner = settle(app, counts, send_on)
    assert app.producer.logs == {("out", 0): [1]}
    assert counts.told == [("test", {("news.raw", 0): {7: PASSED}})]
    assert runner.places.worked_to("test", ("news.raw", 0)) == 8


def test_what_a_stage_takes_back_is_taken_off_the_next_counts() -> None:
    """Counters only rise: a batch that only takes back must not end the worker."""
    runner = BatchRunner(App(), Counts(), Sender(App(), partitions=1), max_dead_ratio=0.9)  # type: ignore[arg-type]  # a twin of Ledger
    counted = []
    for tally in (Tally(absorbed=2), Tally(absorbed=-3, dead=3), Tally(absorbed=5)):
        runner._count("taking back", Worked(), {("labels.raw", 0): {7: tally}})
        labels = ({"stage": "taking back", "outcome": outcome} for outcome in ("absorbed", "dead"))
        counted.append([metrics.REGISTRY.get_sample_value("groundswell_records_total", each) for each in labels])
    assert counted == [[2, 0], [2, 3], [4, 3]]


def test_what_moved_to_another_worker_while_it_was_worked_off_is_neither_sent_nor_counted() -> None:
    app, counts = App(), Counts()

    async def work(batch: Sequence[Received]) -> Worked:
        app.consumer_generation_id += 1
        return Worked(outgoing=[Outgoing("out", b"y")], dead=[(batch[0], "refused")])

    runner = settle(app, counts, work)
    assert app.producer.logs == {}
    assert counts.told == []
    assert runner.places.worked_to("test", ("news.raw", 0)) is None


def test_what_moved_to_another_worker_while_it_was_sent_is_not_counted() -> None:
    app, counts = App(), Counts()
    app.producer = MovingProducer(app)
    runner = settle(app, counts, send_on)
    assert app.producer.logs == {("out", 0): [1]}
    assert counts.told == []
    assert runner.places.worked_to("test", ("news.raw", 0)) is None


@dataclass
class LostTable:
    """A table whose partition another worker has taken over, of which Faust tells a moment later."""

    runner: BatchRunner | None = None
    quiet: list[bool] = field(default_factory=list)

    async def save(self) -> None:
        """Refuse."""
        assert self.runner is not None
        asyncio.get_running_loop().create_task(self._be_told(self.runner))
        raise NotOurs("taken over")

    async def _be_told(self, runner: BatchRunner) -> None:
        self.quiet.append(runner._quiet.is_set())
        await runner.give_away()

    def let_go(self) -> None:
        """Nothing is held."""

    def give_up(self, changes: Any) -> None:
        """Note that no change was kept."""
        self.quiet.append(changes == {})


def test_a_batch_whose_table_was_taken_over_is_left_and_the_worker_goes_on_when_it_is_told() -> None:
    app, counts, table = App(), Counts(), LostTable()
    runner = table.runner = BatchRunner(app, counts, Sender(app, partitions=1), max_dead_ratio=0.9)  # type: ignore[arg-type]
    stage: Any = Stage("test", send_on, 10, table=table)  # type: ignore[arg-type]  # a twin of StateTable
    runner._busy.add("test")
    runner._quiet.clear()
    asyncio.run(runner._settle(stage, [Received("news.raw", 0, 7, None, b"x", 0.0)], DeadRatio(0.9)))
    assert table.quiet == [True, True]
    assert counts.told == []
    assert runner.places.worked_to("test", ("news.raw", 0)) is None


def test_a_worker_that_is_not_told_that_its_table_was_taken_over_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    app, seconds, ended = App(), iter((0.0, 59.0, 61.0)), list[int]()

    def end(_stage: Stage, _error: BaseException, status: int) -> None:
        ended.append(status)
        app.consumer_generation_id += 1

    monkeypatch.setattr("streams.batches._end_process", end)
    monkeypatch.setattr("streams.batches.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    runner = BatchRunner(app, Counts(), Sender(app, partitions=1), max_dead_ratio=0.9)  # type: ignore[arg-type]
    asyncio.run(runner._until_moved(Stage("test", send_on, 10), 1, NotOurs("taken over")))
    assert ended == [75]


def test_a_ledger_that_is_away_is_waited_for_before_a_batch_and_passed_over_between_them() -> None:
    place = TP("news.raw", 0)
    app, counts = App(assigned={place}, ends={place: 8}, _committed_offset={place: 7}), Counts(away=2)
    runner = BatchRunner(app, counts, Sender(app, partitions=1), max_dead_ratio=0.9)  # type: ignore[arg-type]  # a twin of Ledger
    batch = [Received("news.raw", 0, 7, None, b"x", 0.0)]
    asyncio.run(runner.read_missing_ends())
    assert counts.away == 1
    assert asyncio.run(runner._without_holes(Stage("test", passed_on, 10), batch)) == batch
    assert counts.away == 0


@pytest.mark.parametrize(("committed", "begin"), [({}, 0), ({TP("news.raw", 0): 5}, 5)])
def test_what_faust_skips_before_anything_is_settled_is_read(committed: dict[TP, int], begin: int) -> None:
    place = TP("news.raw", 0)
    app = App(assigned={place}, ends={place: 8}, _committed_offset=committed)
    runner = BatchRunner(app, Counts(), Sender(app, partitions=1), max_dead_ratio=0.9)  # type: ignore[arg-type]  # a twin of Ledger
    stage = Stage("score_texts", passed_on, 10)
    skipped = [Received("news.raw", 0, 7, None, b"x", 0.0)]
    assert asyncio.run(runner._without_holes(stage, skipped)) == []
    assert app.rewound == [(place, begin)]
    again = [Received("news.raw", 0, offset, None, b"x", 0.0) for offset in range(begin, 8)]
    assert asyncio.run(runner._without_holes(stage, again)) == again


def test_what_faust_skips_at_the_end_before_anything_is_settled_is_read() -> None:
    place = TP("news.raw", 0)
    app = App(assigned={place}, ends={place: 8})
    runner = BatchRunner(app, Counts(), Sender(app, partitions=1), max_dead_ratio=0.9)  # type: ignore[arg-type]  # a twin of Ledger
    for _ in range(2):
        asyncio.run(runner.read_missing_ends())
    assert app.rewound == [(place, 0)]


def test_what_is_held_up_by_a_slower_stage_is_not_taken_for_skipped() -> None:
    """While the index is away, `match` cannot come to the end of a topic that both read."""
    place = TP("text.scored", 0)
    app = App(assigned={place}, ends={place: 8})
    runner = BatchRunner(app, Counts(), Sender(app, partitions=1), max_dead_ratio=0.9)  # type: ignore[arg-type]  # a twin of Ledger
    runner._busy.add("index")
    for app.waits_for_room in (False, True, True, False):
        asyncio.run(runner.read_missing_ends())
        assert app.rewound == []
    asyncio.run(runner.read_missing_ends())
    assert app.rewound == [(place, 0)]  # nothing holds it up, and it does not come


def test_runs_are_worked_off_up_to_what_is_missing() -> None:
    places = [TP("news.raw", number) for number in range(2)]
    app = App(assigned=set(places), ends=dict.fromkeys(places, 12), _committed_offset={places[0]: 7, places[1]: 3})
    runner = BatchRunner(app, Counts(), Sender(app, partitions=2), max_dead_ratio=0.9)  # type: ignore[arg-type]  # a twin of Ledger
    stage = Stage("score_texts", passed_on, 10)

    def taken(*offsets: tuple[int, int]) -> list[tuple[int, int]]:
        batch = [Received("news.raw", partition, offset, None, b"x", 0.0) for partition, offset in offsets]
        return [(each.partition, each.offset) for each in asyncio.run(runner._without_holes(stage, batch))]

    assert taken((0, 7), (0, 8), (1, 3), (0, 9)) == [(0, 7), (0, 8), (1, 3), (0, 9)]
    assert taken((1, 4), (1, 5), (0, 11), (0, 12)) == [(1, 4), (1, 5)]
    assert app.rewound == [(places[0], 10)]
    assert taken((1, 6), (0, 10), (0, 11), (0, 12), (0, 13)) == [(1, 6), (0, 10), (0, 11), (0, 12), (0, 13)]


class Moving(App):
    """Partitions move as soon as somebody waits for the broker."""

    async def earliest_offsets(self, *places: TP) -> dict[TP, int]:
        self.consumer_generation_id += 1
        self.assigned = set()
        return dict.fromkeys(places, 0)

    def highwater(self, place: TP) -> int:
        assert place in self.assigned, "Partition is not assigned"
        return self.ends[place]


def test_what_moves_while_its_beginning_is_asked_for_is_left_to_its_new_owner() -> None:
    place = TP("news.raw", 0)
    app = Moving(assigned={place}, ends={place: 8})
    runner = BatchRunner(app, Counts(), Sender(app, partitions=1), max_dead_ratio=0.9)  # type: ignore[arg-type]  # a twin of Ledger
    asyncio.run(runner.read_missing_ends())
    app.assigned = {place}
    skipped = [Received("news.raw", 0, 7, None, b"x", 0.0)]
    assert asyncio.run(runner._without_holes(Stage("index", passed_on, 10), skipped)) == []
    assert app.rewound == []


async def passed_on(_: Sequence[Received]) -> Worked:
    return Worked()


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


def test_what_finds_no_room_waits_or_is_passed_over() -> None:
    async def play() -> tuple[list[list[str]], int]:
        stream, overflow = Stream(), Overflow()
        taking = take(stream, 2, overflow=overflow)
        first = asyncio.ensure_future(anext(taking))
        await asyncio.sleep(0)
        await stream.feed("a")
        batches = [await first]
        feeding = asyncio.ensure_future(stream.feed("b", "c", "d", "e"))
        await asyncio.sleep(0)
        assert not feeding.done()  # d finds no room
        overflow.begin()
        await feeding
        overflow.end()
        late = asyncio.ensure_future(stream.feed("f"))
        await asyncio.sleep(0)
        assert not late.done()
        batches += [await anext(taking), await anext(taking)]
        await late
        return batches, overflow.passed

    assert asyncio.run(play()) == ([["a"], ["b", "c"], ["f"]], 2)


def test_a_stage_whose_server_is_away_lets_others_go_on_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.batches._AWAY_S", 0.0)
    app = App()
    runner = BatchRunner(app, Counts(), Sender(app, partitions=1), max_dead_ratio=0.9)  # type: ignore[arg-type]  # a twin of Ledger
    overflow = runner._overflows["index"] = Overflow()
    seen = []

    async def write() -> None:
        seen.append(overflow.passing)
        if len(seen) < 3:
            raise Retryable("away")

    asyncio.run(runner._patiently("index", write))
    assert (seen, overflow.passing) == ([False, True, True], False)


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
