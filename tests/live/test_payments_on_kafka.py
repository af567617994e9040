"""Streamed scores on a real Kafka are those of the sorted file: out of order, with late labels, two kill -9 and a second worker."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import kafka
import pytest

from commands import wiring
from core.clock import utc_now
from core.codec import decode_label, decode_transaction
from core.settings import Settings, load_settings
from core.topics import LABELS_RAW, TRANSACTIONS_RAW, TRANSACTIONS_SCORED
from models.fraud.offline import score_stream
from streams.backlog import GROUP, TOPICS
from streams.kafka_client import EventProducer, Offsets
from streams.ledger import Ledger
from streams.messages import Outgoing
from streams.totals import totals
from tests.acceptance.product import ROOT, environment
from tests.live.kafka_server import KafkaServer

pytestmark = pytest.mark.live
PAYMENTS = 8_000
FOLDER = os.environ.get(
    "GROUNDSWELL_TEST_PAYMENTS"
)  # of transactions.jsonl and labels.jsonl, to be streamed whole; else the samples' first
LATENESS_S = 3_600.0
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    """A broker for this module."""
    with KafkaServer() as server:
        yield server


class Worker:
    """A worker process; its topics' progress is read from the broker, its counts from the ledger that all workers share."""

    def __init__(self, address: str, folder: Path, name: str) -> None:
        self._output = (folder / f"{name}.log").open("ab")
        variables = {
            "GROUNDSWELL_LATENESS_S": str(LATENESS_S),
            "GROUNDSWELL_IDLE_S": "3",
            "GROUNDSWELL_DATABASE": f"sqlite:///{folder / 'shared.sqlite'}",
        }
        command = [sys.executable, "-m", "groundswell", "worker", "--broker", address, "--data", str(folder / name)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment(None) | variables, stdout=self._output, stderr=self._output
        )

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@pytest.fixture
def start(broker: KafkaServer, tmp_path: Path) -> Iterator[Callable[[str], Worker]]:
    """Starts a worker by its name; none outlives the test."""
    started: list[Worker] = []

    def begin(name: str) -> Worker:
        started.append(Worker(broker.address, tmp_path, name))
        return started[-1]

    yield begin
    for worker in started:
        worker.kill()


def samples() -> tuple[list[bytes], list[bytes]]:
    """The payments that are asked for, and those of their labels that come while they do."""
    folder = wiring.SAMPLES if FOLDER is None else Path(FOLDER)
    payments = (folder / "transactions.jsonl").read_bytes().splitlines()[: PAYMENTS if FOLDER is None else None]
    names, end = {json.loads(line)["id"] for line in payments}, json.loads(payments[-1])["time"]
    labels = [(json.loads(line), line) for line in (folder / "labels.jsonl").read_bytes().splitlines()]
    return payments, [line for label, line in labels if label["transaction_id"] in names and label["time"] <= end]


def shuffled(payments: list[bytes], labels: list[bytes]) -> list[Outgoing]:
    """The events as they come: each at most the lateness after one of later time, by any partition."""
    pick = random.Random(7)
    events = [(TRANSACTIONS_RAW.name, line) for line in payments] + [(LABELS_RAW.name, line) for line in labels]
    late = [
        (datetime.fromisoformat(json.loads(line)["time"]).timestamp() + 0.99 * LATENESS_S * pick.random(), topic, line)
        for topic, line in events
    ]
    return [Outgoing(topic, line, partition=pick.randrange(4)) for _, topic, line in sorted(late)]


def wait_until(reached: Callable[[], bool], what: str, *, seconds: float = 240.0 if FOLDER is None else 3_600.0) -> None:
    until = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < until, f"not in time: {what}"
        time.sleep(0.1)


def scored(settings: Settings) -> dict[str, list[float]]:
    """All scores sent so far, by payment."""
    consumer = kafka.KafkaConsumer(
        TRANSACTIONS_SCORED.name, bootstrap_servers=settings.broker, auto_offset_reset="earliest", consumer_timeout_ms=5_000
    )
    found: dict[str, list[float]] = {}
    for message in consumer:
        if not message.value:  # it brings marks
            continue
        score = json.loads(message.value)
        found.setdefault(score["id"], []).append(score["fraud_score"])
    consumer.close()
    return found


def offline(settings: Settings, payments: list[bytes], labels: list[bytes]) -> dict[str, float]:
    """The scores of the sorted file."""
    now = utc_now()
    records, findings = [decode_transaction(line, now) for line in payments], [decode_label(line, now) for line in labels]
    ordered = sorted(records, key=lambda payment: (payment.time, payment.id))
    return {payment.id: score.fraud_score for payment, score in score_stream(ordered, findings, wiring.open_fraud(settings))}


def ledger_in(folder: Path, broker: str) -> Ledger:
    """The ledger that the workers of a test share."""
    database = f"sqlite:///{folder / 'shared.sqlite'}"
    return wiring.open_ledger(load_settings(environ={"GROUNDSWELL_BROKER": broker, "GROUNDSWELL_DATABASE": database}))


def test_scores_are_those_of_the_sorted_file(broker: KafkaServer, tmp_path: Path, start: Callable[[str], Worker]) -> None:
    settings = load_settings(environ={"GROUNDSWELL_BROKER": broker.address})
    offsets = Offsets(settings)
    offsets.create()
    payments, labels = samples()
    with EventProducer(settings) as producer:
        for message in shuffled(payments, labels):
            producer.send(message)

    ledger = ledger_in(tmp_path, broker.address)

    def sent() -> int:
        return totals(ledger.entries()).scored

    def lag() -> int:
        ends = offsets.ends(TOPICS)
        committed = offsets.committed(GROUP, ends)
        return sum(end - committed[place] for place, end in ends.items())

    worker = start("first")
    for share in (0.1, 0.4):
        wait_until(lambda share=share: sent() >= share * len(payments), f"{share:.0%} scored")  # type: ignore[misc]
        worker.kill()
        worker = start("first")
    wait_until(lambda: sent() >= 0.6 * len(payments), "60% scored")
    second = start("second")
    wait_until(lambda: sent() >= len(payments) and lag() == 0, "all scored and committed")
    expected, found = offline(settings, payments, labels), scored(settings)
    assert set(found) == set(expected)
    differing = {
        name: (expected[name], got) for name, got in found.items() if any(abs(each - expected[name]) > TOLERANCE for each in got)
    }
    assert differing == {}
    counts = totals(ledger.entries())
    assert (counts.read, counts.scored, counts.dead, counts.labels) == (len(payments), len(payments), 0, len(labels))
    worker.stop()
    second.stop()


def test_a_lone_payment_is_scored_within_a_second_or_two(
    broker: KafkaServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Nothing follows it that could move a watermark: the silence of the partitions does."""
    settings = load_settings(environ={"GROUNDSWELL_BROKER": broker.address})
    ledger = ledger_in(tmp_path, broker.address)
    variables = environment(None) | {"GROUNDSWELL_DATABASE": f"sqlite:///{tmp_path / 'shared.sqlite'}"}
    command = [sys.executable, "-m", "groundswell", "worker", "--broker", broker.address, "--data", str(tmp_path / "data")]
    worker = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    request.addfinalizer(worker.kill)
    line = (wiring.SAMPLES / "transactions.jsonl").read_bytes().splitlines()[0]
    took = []
    for number in range(3):
        before = totals(ledger.entries()).scored
        moment = utc_now().isoformat()
        payment = {**json.loads(line), "id": f"lone-{number}", "time": moment}
        with EventProducer(settings) as producer:
            producer.send(Outgoing(TRANSACTIONS_RAW.name, json.dumps(payment).encode(), partition=number))
        begin = time.monotonic()
        wait_until(lambda: totals(ledger.entries()).scored > before, "one more score")  # noqa: B023
        took.append(time.monotonic() - begin)
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    assert min(took[1:]) < 2.0, took  # the first waits for the worker's start
