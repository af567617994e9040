"""Payments a second from the raw topic to `transactions.scored`, and what they cost: `python -m bench.transactions`.

Groundswell's workers as they run (index and alerts included, one process a core unless `--workers` says otherwise), with and without the
first stage of their model where that has one, and plain Faust workers (`bench/plain_faust.py`) on the same payments, one after another on
the same two cores and each on a Kafka of its own. All input lies in the topics before the workers start; the time is that from the first
message they send to the last score, and to the last document of the index, which lags behind; the CPU time is that of all of it.

Faust's own transport loses messages when workers join, and repeats some: plain workers are measured until they stand still, by the scores
they have sent, and what has none then is lost.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from bench.workers import cpu_s
from commands import wiring
from core.settings import Settings, load_settings
from core.topics import LABELS_RAW, TRANSACTIONS_BY_CUSTOMER, TRANSACTIONS_BY_ID, TRANSACTIONS_RAW, TRANSACTIONS_SCORED, Topic
from models.registry import ARTIFACTS, MANIFEST
from streams.kafka_client import EventProducer, Offsets
from streams.messages import Outgoing
from streams.partition_reader import PartitionReader
from streams.totals import totals

_CORES = 2
_LIMIT_S = 900.0
_STILL_S = 20.0  # without a score, after which plain workers give none any more; starting takes them no more than that
_BETWEEN = (TRANSACTIONS_BY_ID, TRANSACTIONS_BY_CUSTOMER)


class Progress(NamedTuple):
    """How many messages the workers have sent, how many payments are scored, and how many are indexed; a worker without index: scored."""

    sent: int
    scored: int
    indexed: int


@dataclass(frozen=True, slots=True)
class Rate:
    """Payments a second to the score and to the index, the workers' CPU time for each, and how many were never scored."""

    name: str
    per_second: float
    indexed_per_second: float
    cpu_ms: float
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """How many payments, and by how many worker processes."""

    payments: int
    workers: int


@dataclass(frozen=True, slots=True)
class Input:
    """A payment or label and when it happened."""

    time: datetime
    label: bool
    raw: bytes


def events(count: int) -> list[Input]:
    """The samples' payments and labels in time order; where they do not suffice, once more at a later time, under new ids."""
    names = (("transactions.jsonl", "time", False), ("labels.jsonl", "time", True))
    rows = [(json.loads(line), label) for name, _, label in names for line in (wiring.SAMPLES / name).read_bytes().splitlines()]
    begin, end = (limit(datetime.fromisoformat(row["time"]) for row, _ in rows) for limit in (min, max))
    found: list[Input] = []
    payments = turn = 0
    while payments < count:
        for row, label in rows:
            if not label and payments == count:
                continue
            payments += not label
            moment = datetime.fromisoformat(row["time"]) + turn * (end - begin + timedelta(seconds=1))
            field = "transaction_id" if label else "id"
            again = {**row, "time": moment.isoformat(), field: f"{turn}-{row[field]}"}
            found.append(Input(moment, label, json.dumps(again, separators=(",", ":")).encode()))
        turn += 1
    return sorted(found, key=lambda each: (each.time, not each.label))


@contextmanager
def kafka() -> Iterator[str]:
    """The address of a real Kafka, which needs Java 17 and Maven."""
    if shutil.which("java") is None or shutil.which("mvn") is None:
        raise SystemExit("bench.transactions needs Java 17 and Maven, for a real Kafka")
    from tests.live.kafka_server import KafkaServer

    with KafkaServer() as server:
        yield server.address


def fill(settings: Settings, inputs: list[Input], topic: str, labels: str | None) -> None:
    """Send the input, spread over the partitions."""
    with EventProducer(settings) as producer:
        for number, each in enumerate(inputs):
            target = labels if each.label else topic
            if target is not None:
                producer.send(Outgoing(target, each.raw, partition=number % settings.partitions))
        producer.flush()


def measure(
    name: str,
    started: Callable[[], list[subprocess.Popen[bytes]]],
    progress: Callable[[], Progress],
    count: int,
    *,
    still_s: float = _LIMIT_S,
) -> Rate:
    """Run workers until they have scored and indexed all payments, or no more of them for `still_s`."""
    workers = started()
    until_s = time.perf_counter() + _LIMIT_S
    before = Progress(0, 0, 0)
    begin_s = scored_s = indexed_s = time.perf_counter()
    cpu_begin_s = cpu_end_s = 0.0
    try:
        while before.indexed < count:
            time.sleep(0.05)
            found, now_s, busy_s = progress(), time.perf_counter(), sum(cpu_s(worker.pid) for worker in workers)
            ended = [worker.poll() for worker in workers if worker.poll() is not None]
            if ended or now_s > until_s:
                raise SystemExit(f"{name}: {found} of {count} payments; workers that ended: {ended}")
            if found.sent == 0:
                begin_s, cpu_begin_s = now_s, busy_s
            if found.scored > before.scored:
                scored_s = now_s
            if found.indexed > before.indexed:
                indexed_s, cpu_end_s = now_s, busy_s
            elif found.indexed and now_s - indexed_s > still_s:
                break
            before = found
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    scored, indexed, cpu = before.scored, before.indexed, cpu_end_s - cpu_begin_s
    return Rate(name, scored / (scored_s - begin_s), indexed / (indexed_s - begin_s), cpu / scored * 1_000)


def _start(command: list[str], environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", **(environment or {})}
    return subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def groundswell(name: str, inputs: list[Input], run: Run, models: Path) -> Rate:
    """Groundswell's workers with the models of a folder, on a Kafka of their own; they share the state, each has its index."""
    with kafka() as address, tempfile.TemporaryDirectory() as data:
        settings = load_settings(environ={"GROUNDSWELL_BROKER": address})
        offsets = Offsets(settings)
        offsets.create()
        fill(settings, inputs, TRANSACTIONS_RAW.name, LABELS_RAW.name)
        shared = {"GROUNDSWELL_MODELS": str(models), "GROUNDSWELL_DATABASE": f"sqlite:///{data}/state.db"}
        ledger = wiring.open_ledger(load_settings(environ={"GROUNDSWELL_BROKER": address, **shared}))
        if run.workers > 1:
            shared["GROUNDSWELL_THREADS"] = "1"
        command = [sys.executable, "-m", "groundswell", "worker", "--broker", address, "--data"]

        def started() -> list[subprocess.Popen[bytes]]:
            return [_start([*command, f"{data}/{number}"], shared) for number in range(run.workers)]

        def progress() -> Progress:
            """The scored topic holds marks beside the scores, so that these are counted in the ledger."""
            found = totals(ledger.entries())
            return Progress(_sent(offsets, TRANSACTIONS_SCORED, *_BETWEEN), found.scored, found.indexed)

        return measure(name, started, progress, run.payments)


def plain(inputs: list[Input], run: Run) -> Rate:
    """Plain Faust workers on a Kafka of their own."""
    from bench.plain_faust import RAW, SCORED

    with kafka() as address, tempfile.TemporaryDirectory() as data:
        settings = load_settings(environ={"GROUNDSWELL_BROKER": address})
        offsets = Offsets(settings)
        made = {"num_partitions": settings.partitions, "replication_factor": 1}
        offsets._admin.create_topics({RAW: made, SCORED: made})
        fill(settings, inputs, RAW, None)
        command = [sys.executable, "-m", "bench.plain_faust", address]

        def started() -> list[subprocess.Popen[bytes]]:
            return [_start([*command, f"{data}/{number}"]) for number in range(run.workers)]

        def progress() -> Progress:
            scored = _sent(offsets, Topic(SCORED, "", ""))
            return Progress(scored, scored, scored)

        rate = measure("plain Faust", started, progress, run.payments, still_s=_STILL_S)
        return replace(rate, lost=run.payments - len(_scored_ids(settings, SCORED)))


def _scored_ids(settings: Settings, topic: str) -> set[str]:
    """The payments that have a score on a topic."""
    with PartitionReader(settings) as reader:
        spans = reader.bounds([topic])
        return {json.loads(message.value)["id"] for place, span in spans.items() for message in reader.messages(place, *span)}


def _sent(offsets: Offsets, *topics: Topic) -> int:
    """Messages on the topics."""
    return sum(offsets.ends(topic.name for topic in topics).values())


def without_first_stage(folder: Path) -> Path | None:
    """A copy of the models whose fraud model is the encoder alone; None where it is that already."""
    target = Path(shutil.copytree(ARTIFACTS, folder / "models"))
    found = False
    for path in target.glob(f"*/*/{MANIFEST}"):
        manifest = json.loads(path.read_bytes())
        if manifest["config"].pop("cascade", None) is not None:
            found = True
            path.write_text(json.dumps(manifest), "utf-8")
    return target if found else None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payments", type=int, default=40_000)
    parser.add_argument("--plain-payments", type=int, default=8_000, help="for the plain worker, which is slower")
    parser.add_argument("--workers", type=int, default=_CORES, help="worker processes")
    arguments = parser.parse_args()
    run, plainly = (Run(count, arguments.workers) for count in (arguments.payments, arguments.plain_payments))
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:_CORES]))
    inputs = events(arguments.payments)
    with tempfile.TemporaryDirectory() as folder:
        encoder = without_first_stage(Path(folder))
        rates = [groundswell("Groundswell", inputs, run, ARTIFACTS)]
        if encoder is not None:
            rates.append(groundswell("Groundswell, encoder only", inputs, run, encoder))
    if arguments.plain_payments:
        rates.append(plain(events(plainly.payments), plainly))
    print(f"{'':28}{'scored /s':>12}{'indexed /s':>12}{'CPU ms each':>13}{'lost':>8}{'of plain Faust':>16}")
    for rate in rates:
        ratio = f"{rate.per_second / rates[-1].per_second:15.1f}×" if arguments.plain_payments else ""
        print(f"{rate.name:28}{rate.per_second:12.0f}{rate.indexed_per_second:12.0f}{rate.cpu_ms:13.3f}{rate.lost:8}{ratio}")


if __name__ == "__main__":
    main()
