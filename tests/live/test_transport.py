"""What Faust loses, and our transport does not: on a real broker, with numbered messages, ids compared with committed offsets."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from core.settings import Settings
from core.topics import NEWS_RAW
from streams.backlog import GROUP
from streams.kafka_client import EventProducer, Offsets
from streams.messages import Outgoing
from tests.acceptance.product import ROOT, environment
from tests.live.kafka_server import KafkaServer

pytestmark = pytest.mark.live
JOINS = int(os.environ.get("GROUNDSWELL_TEST_JOINS", "4"))  # 20 and more for evidence; each takes some seconds


class Workers:
    """Plain workers on one folder of a broker that is this test's own."""

    def __init__(self, broker: KafkaServer, folder: Path) -> None:
        self.settings = Settings(broker=broker.address)
        self.offsets = Offsets(self.settings)
        self.offsets.create()
        self._folder = folder
        self._all: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, fault: str = "", *, module: str = "plain_worker") -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", f"tests.live.{module}", self.settings.broker, str(self._folder), name, fault]
        with (self._folder / f"{name}.log").open("ab") as output:
            started = subprocess.Popen(command, cwd=ROOT, env=environment(None), stdout=output, stderr=output)
        self._all.append(started)
        return started

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text("utf-8", "replace")

    def ids(self) -> Counter[str]:
        """How often each id was worked off, by any worker."""
        return Counter(line for file in self._folder.glob("*.ids") for line in file.read_text("utf-8").splitlines())

    def forgotten(self) -> list[str]:
        """What a worker's table should have held of a partition, and did not."""
        return [line for file in self._folder.glob("*.forgotten") for line in file.read_text("utf-8").splitlines()]

    def committed(self) -> int:
        places = self.offsets.ends([NEWS_RAW.name])
        return sum(self.offsets.committed(GROUP, places).values())

    def end(self) -> int:
        return sum(self.offsets.ends([NEWS_RAW.name]).values())

    def close(self) -> None:
        for each in self._all:
            each.kill()
            each.wait()
        self.offsets.close()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    """A broker with our topics, and workers to come."""
    with KafkaServer() as broker:
        opened = Workers(broker, tmp_path)
        yield opened
        opened.close()


def wait_until(
    reached: Callable[[], bool], what: str, *, seconds: float = 600.0, worker: "subprocess.Popen[bytes] | None" = None
) -> None:
    """Wait; a worker that must not end meanwhile fails the test at once where it does."""
    until = time.monotonic() + seconds
    while not reached():
        assert worker is None or worker.poll() is None, f"the worker ended before {what}"
        assert time.monotonic() < until, f"not in time: {what}"
        time.sleep(0.2)


def send(settings: Settings, ids: range) -> None:
    with EventProducer(settings) as producer:
        for number in ids:
            producer.send(Outgoing(NEWS_RAW.name, b"%d" % number, key=b"%d" % number))
        producer.flush()


def test_a_batch_whose_work_raises_loses_nothing(workers: Workers) -> None:
    send(workers.settings, range(500))
    workers.start("a", "raises")
    wait_until(lambda: workers.committed() == 500, "all is committed")
    letters = sum(workers.offsets.ends([NEWS_RAW.dead]).values())
    assert letters == 50
    assert set(workers.ids()) == {str(number) for number in range(500) if number % 10 != 7}


def send_in_transactions(broker: str, count: int, *, each: int = 50) -> None:
    """Send to one partition, `each` in a transaction; the markers of the transactions are holes in its offsets."""
    producer: Any = confluent_kafka.Producer({"bootstrap.servers": broker, "transactional.id": "test"})
    producer.init_transactions(60)
    for begin in range(0, count, each):
        producer.begin_transaction()
        for number in range(begin, begin + each):
            producer.produce(NEWS_RAW.name, b"%d" % number, partition=0)
        producer.commit_transaction(60)


def test_input_of_a_transactional_producer_is_committed_to_its_end(workers: Workers) -> None:
    """Faust commits up to one hole further a tick."""
    send_in_transactions(workers.settings.broker, 1_000)
    worker = workers.start("a")
    wait_until(lambda: workers.committed() >= workers.end() - 1, "all but the last marker is committed")
    assert set(workers.ids()) == {str(number) for number in range(1_000)}
    assert worker.poll() is None


def test_a_worker_that_joins_under_load_loses_nothing(workers: Workers) -> None:
    sent = join_under_load(workers, JOINS)
    wait_until(lambda: workers.committed() == workers.end() == sent, "all that was sent is committed")
    lost = {str(number) for number in range(sent)} - set(workers.ids())
    assert lost == set()
    assert workers.forgotten() == []


def join_under_load(workers: Workers, joins: int, *, module: str = "plain_worker") -> int:
    """How many messages were sent while workers joined; each that joined took over from the one before, which was stopped or killed."""
    stop, sent = threading.Event(), 0

    def load() -> None:
        nonlocal sent
        with EventProducer(workers.settings) as producer:
            while not stop.wait(0.02):
                for number in range(sent, sent + 20):
                    producer.send(Outgoing(NEWS_RAW.name, b"%d" % number, key=b"%d" % number))
                producer.flush()
                sent += 20

    feed = threading.Thread(target=load)
    feed.start()
    try:
        old = workers.start("first", module=module)
        wait_until(lambda: workers.committed() > 100, "the first worker works")
        for join in range(joins):
            name = f"join{join}"
            new = workers.start(name, module=module)
            wait_until(lambda name=name: _has_worked(workers, name), f"join {join} works")  # type: ignore[misc]
            old.send_signal(signal.SIGKILL if join % 2 else signal.SIGTERM)
            old.wait()
            old = new
    finally:
        stop.set()
        feed.join()
    return sent


def _has_worked(workers: Workers, name: str) -> bool:
    file = workers._folder / f"{name}.ids"
    return file.exists() and file.stat().st_size > 0


def test_a_worker_that_recovers_a_table_reads_nothing_twice(workers: Workers) -> None:
    """Faust resumes fetching before it has sought the committed offsets, and hands out what it fetched until then."""
    send(workers.settings, range(200))
    first = workers.start("first")
    wait_until(lambda: workers.committed() == 200, "the first worker has filled the table")
    first.send_signal(signal.SIGTERM)
    first.wait()
    send(workers.settings, range(200, 5_000))
    workers.start("second", "seeks late")
    wait_until(lambda: workers.committed() == 5_000, "all is committed")
    assert workers.ids() == {str(number): 1 for number in range(5_000)}


def test_what_is_read_again_for_one_stage_is_not_worked_off_again_by_another(workers: Workers) -> None:
    """Seeking back sends what lies in agents' queues once more, to every stage of the topic."""
    send(workers.settings, range(5_000))
    workers.start("first", "reads again")
    wait_until(lambda: workers.committed() == 5_000, "all is committed")
    assert workers.ids() == {str(number): 1 for number in range(5_000)}


def test_a_worker_that_recovers_too_late_begins_again(workers: Workers) -> None:
    """Faust's recovery ends for good where the broker is slow to answer."""
    send(workers.settings, range(500))
    workers.start("first", "seeks too late")
    wait_until(lambda: workers.committed() == 500, "all is committed", seconds=80)
    assert "recovery_begins_again" in workers.log("first")
    assert set(workers.ids()) == {str(number) for number in range(500)}


@pytest.mark.parametrize("fault", ["hangs", "commits nothing"])
def test_a_worker_that_stands_still_ends_itself(workers: Workers, fault: str) -> None:
    send(workers.settings, range(500))
    worker = workers.start("a", fault)
    assert worker.wait(600) == 1
    assert "Timeout (0:00:20)!" in workers.log("a")  # where each thread stood
    workers.start("a")
    wait_until(lambda: workers.committed() == 500, "the next one commits all")
    assert set(workers.ids()) == {str(number) for number in range(500)}
