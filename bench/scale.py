"""Texts a second against workers, one, two and three of them on twelve partitions: `python -m bench.scale`.

Each text takes a wait of fixed length in place of the models, so that few cores can carry several workers; what grows with them is all
that lies around the models. Kafka and PostgreSQL are real, each worker has its own embedded index. The topic is full before they start.
Efficiency is the rate over that of one worker times their number.
"""

import argparse
import itertools
import subprocess
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import kafka

from bench.workers import check, cpu_s, posts, servers, workers
from commands import wiring
from core.settings import Settings
from streams.backlog import GROUP
from streams.kafka_client import EventProducer, Offsets, connection
from streams.ledger import Ledger
from streams.totals import totals

PARTITIONS = 12
_START_S = 600.0
_WARM_S = 20.0  # after all workers have joined and scored
_ROOM = 3.0  # so much more than the window needs is in the topic: workers begin one after the other
_TEXT_BATCH = 16  # a batch is counted when it is done: 64 of 40 ms would make the window's ends coarse


@dataclass(frozen=True, slots=True)
class Rate:
    """What a number of workers did in the window."""

    workers: int
    per_second: float
    cpu_ms: float  # of all workers, for each text


def measure(count: int, milliseconds: float, window_s: float) -> Rate:
    """The rate of `count` workers."""
    with servers(Settings(partitions=PARTITIONS, text_batch=_TEXT_BATCH, threads=1)) as settings:
        with closing(Offsets(settings)) as offsets:
            offsets.create()
        ledger = wiring.open_ledger(settings)
        needed = int(count * (window_s + _WARM_S) * 1_000 / milliseconds * _ROOM)
        with EventProducer(settings) as producer:
            for message in itertools.islice(posts(settings), needed):
                producer.send(message)
            producer.flush()
        with workers(settings, count=count, milliseconds=milliseconds) as started:
            _wait_for_all(settings, started, ledger)
            time.sleep(_WARM_S)
            before, cpu_before, begun_s = _scored(ledger), sum(cpu_s(each.pid) for each in started), time.perf_counter()
            time.sleep(window_s)
            done, seconds = _scored(ledger) - before, time.perf_counter() - begun_s
            cpu = sum(cpu_s(each.pid) for each in started) - cpu_before
            check(started, settings)
            if _scored(ledger) >= needed:
                raise SystemExit("the topic ran empty before the window's end; the machine was too busy at the start: run again")
    return Rate(count, done / seconds, cpu / done * 1_000)


def _wait_for_all(settings: Settings, started: Sequence["subprocess.Popen[bytes]"], ledger: Ledger) -> None:
    """Return once as many members as there are workers share the partitions, and something was scored."""
    admin = kafka.KafkaAdminClient(**connection(settings))
    until_s = time.monotonic() + _START_S
    try:
        while time.monotonic() < until_s:
            check(started, settings)
            group = admin.describe_groups([GROUP])[GROUP]
            if len(group["members"]) == len(started) and group["group_state"] == "Stable" and _scored(ledger):
                return
            time.sleep(0.5)
    finally:
        admin.close()
    raise SystemExit(f"{len(started)} workers did not share the topic within {_START_S:.0f} s")


def _scored(ledger: Ledger) -> int:
    return totals(ledger.entries()).texts


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ms", type=float, default=40.0, help="milliseconds that a text takes a worker")
    parser.add_argument("--window", type=float, default=60.0, help="seconds that are measured")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3])
    asked = parser.parse_args()
    print(f"{asked.ms:g} ms a text, {1_000 / asked.ms:.1f} texts a second at most for a worker; {PARTITIONS} partitions")
    print(f"{'workers':>8}{'texts /s':>10}{'efficiency':>12}{'CPU ms a text':>15}")
    rates: list[Rate] = []
    for count in asked.workers:
        rates.append(measure(count, asked.ms, asked.window))
        rate, base = rates[-1], rates[0].per_second / rates[0].workers
        print(f"{count:8}{rate.per_second:10.1f}{rate.per_second / count / base:12.2f}{rate.cpu_ms:15.2f}", flush=True)


if __name__ == "__main__":
    main()
