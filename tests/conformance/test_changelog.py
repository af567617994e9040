"""Who may write a table's changelog, and what whoever comes next finds: over Kafka and its twin."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from faust.types import TP

from core.settings import Settings
from streams.changelog import MARK_KEY, Changelogs, Log, Message, mark_of, named_by
from streams.sender import Sender
from streams.tables import NotOurs
from tests.conformance.table_worker import Run, TableWorker
from tests.live.kafka_server import KafkaServer
from tests.unit.payment_stages import Broker

Opened = tuple[Log, Run]


class App:
    """What `Sender` needs of Faust's app."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def maybe_start_producer(self) -> "App":
        """Itself, as Faust's producer."""
        return self

    def _ensure_producer(self) -> AIOKafkaProducer:
        return self._producer


async def create(address: str, topics: list[str]) -> None:
    """Create topics of one partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1) for topic in topics])
    await admin.close()


@pytest.fixture(scope="module")
def kafka() -> Iterator[Opened]:
    """Changelogs on a broker of their own."""

    async def started(address: str) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(bootstrap_servers=address)
        await producer.start()
        return producer

    with KafkaServer() as broker, asyncio.Runner() as runner:
        runner.run(create(broker.address, [f"{name}-changelog" for name in globals() if name.startswith("test_")]))
        producer = runner.run(started(broker.address))
        settings = Settings(broker=broker.address)
        yield Changelogs(Sender(App(producer), partitions=1), [settings.broker], fetch_wait_ms=100), runner.run
        runner.run(producer.stop())


@pytest.fixture(params=["twin", pytest.param("kafka", marks=pytest.mark.live)])
def opened(request: pytest.FixtureRequest) -> Opened:
    """A log, and how its coroutines are run."""
    found: Opened = (Broker(partitions=1), asyncio.run) if request.param == "twin" else request.getfixturevalue("kafka")
    return found


@pytest.fixture
def workers(opened: Opened, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[TableWorker]]:
    """Three workers with one table, of this test alone."""
    log, run = opened
    found = [TableWorker(log, tmp_path / str(number), request.function.__name__, run) for number in range(3)]
    yield found
    for worker in found:
        worker.files.close()


def held(opened: Opened, worker: TableWorker) -> list[Message]:
    """All that the changelog holds, up to a mark that is appended for it."""
    log, run = opened
    topic = worker.table.topic

    async def read() -> list[Message]:
        end = (await log.append(topic, 0, [(MARK_KEY, b"", ())]))[-1]
        return [message async for _, part in log.read({TP(topic, 0): range(end + 1)}) for message in part][:-1]

    found: list[Message] = run(read())
    return found


def test_a_new_owner_finds_what_was_saved(workers: list[TableWorker]) -> None:
    old, new, _ = workers
    assert old.take_over() == 1  # its own mark
    old.save({"a": "1", "b": "2"})
    old.save({"a": None})
    assert new.take_over() == 5  # two marks and three changes
    assert new.values() == {"b": "2"}
    assert new.take_over() == 1  # its file holds the rest


def test_who_was_superseded_saves_nothing_and_what_it_wrote_is_void(workers: list[TableWorker], opened: Opened) -> None:
    old, new, third = workers
    old.take_over()
    old.save({"a": "old", "b": "old"})
    new.take_over()
    with pytest.raises(NotOurs, match="was taken over by another worker"):
        old.save({"a": "late"})
    assert old.values() == {"a": "old", "b": "old"}
    third.take_over()
    assert third.values() == {"a": "old", "b": "old"}
    late = [message for message in held(opened, old) if message.value == b"late"]
    assert [message.key for message in late] == [b"a"]  # so it was written


def test_an_owner_writes_its_values_over_what_is_void(workers: list[TableWorker], opened: Opened) -> None:
    """Compaction keeps the last message of a key, whoever wrote it."""
    old, new, _ = workers
    old.take_over()
    old.save({"a": "old", "b": "old"})
    new.take_over()
    new.save({"a": "new"})
    with pytest.raises(NotOurs):
        old.save({"a": "late", "b": None, "c": "late"})
    new.save({"d": "new"})
    last = {message.key: message.value for message in held(opened, new) if message.key != MARK_KEY}
    assert last == {b"a": b"new", b"b": b"old", b"c": None, b"d": b"new"}
    assert new.values() == {"a": "new", "b": "old", "d": "new"}


def test_one_who_comes_back_has_what_was_written_while_it_was_away(workers: list[TableWorker]) -> None:
    """Its own late write lies behind what others wrote; so its file must not claim to hold all up to there."""
    old, new, _ = workers
    old.take_over()
    old.save({"a": "1"})
    new.take_over()
    new.save({"b": "2"})
    with pytest.raises(NotOurs):
        old.save({"c": "late"})
    old.take_over()
    assert old.values() == {"a": "1", "b": "2"}


def test_what_was_sent_twice_for_a_lost_answer_harms_nothing(workers: list[TableWorker], opened: Opened) -> None:
    owner, _, third = workers
    log, run = opened
    owner.take_over()
    run(log.append(owner.table.topic, 0, [(b"a", b"1", named_by(0))]))  # the owner's mark is the first message
    owner.save({"a": "1"})
    assert owner.values() == {"a": "1"}
    assert [mark_of(message.headers) for message in held(opened, owner)] == [-1, 0, 0]  # nothing was written over
    third.take_over()
    assert third.values() == {"a": "1"}


def test_a_partition_that_was_given_away_in_a_save_is_not_written(
    workers: list[TableWorker], opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, _, _ = workers
    log, _ = opened
    owner.take_over()
    append = log.append

    async def slowly(*of: Any) -> range:
        owner.table.let_go()
        return await append(*of)

    monkeypatch.setattr(log, "append", slowly)
    with pytest.raises(NotOurs, match="given away in a save"):
        owner.save({"a": "1"})
    assert owner.values() == {}
    monkeypatch.undo()
    owner.take_over()
    assert owner.values() == {"a": "1"}  # it was in the log before anybody's mark: whoever takes over has it
