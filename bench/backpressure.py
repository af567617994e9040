"""A source ten times faster than the scorer: does the worker's memory stay flat, and does it go on at its own rate?

`python -m bench.backpressure --minutes 10` on a real Kafka, where what waits waits in the log; with `--embedded` on the broker within the
process, where a gate holds the source back. Texts take a wait of fixed length in place of the models (`bench/fixed_cost.py`).

Flat means: after five minutes, in which buffers and the allocator's arenas fill (one a thread, some 15 MB each), or after half of a shorter
run, private memory is never more than a tenth above what it was then. Mapped files are left out: segments of an index that grows may be
resident as long as nobody needs the room. The exit status is 1 where the worker's is not flat, where it scores at less than 0.8 of its
own rate, or where the gate lets more through than it may. The embedded broker's is told only: it grows until it holds 5 MB a partition.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.memory import private_mb, resident_mb, tree
from bench.workers import check, posts, servers, workers
from commands import wiring
from core.settings import Settings
from core.topics import ALL, SOCIAL_RAW
from streams.backlog import TOPICS, lags
from streams.embedded import EMBEDDED_VERSION, EmbeddedBroker
from streams.kafka_client import EventProducer, Offsets
from streams.totals import totals

_FASTER = 10.0
_SAMPLE_S = 5.0
_TICK_S = 0.1
_WARM_S = 300.0
_FLAT = 1.1
_OWN_RATE = 0.8
_START_S = 600.0
_FETCH_WAIT_MS = 10  # as in `groundswell run`


@dataclass(slots=True)
class Source:
    """Sends posts at a rate from a thread of its own; before the embedded broker a gate holds it back."""

    settings: Settings
    per_second: float
    sent: int = 0
    failure: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send."""
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send no more; returns when the last is sent."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            with EventProducer(self.settings) as producer:
                gate = wiring.open_gate(self.settings, producer, self._stop.is_set)
                messages, begun_s = posts(self.settings), time.monotonic()
                while not self._stop.wait(_TICK_S):
                    while self.sent < (time.monotonic() - begun_s) * self.per_second and not self._stop.is_set():
                        message = next(messages)
                        if gate is None or gate.take(len(message.value)):
                            producer.send(message)
                            self.sent += 1
                    producer.flush()
        except BaseException as error:  # noqa: BLE001 — told to the main thread
            self.failure = error


@dataclass(frozen=True, slots=True)
class Sample:
    """What was so at a moment: seconds since the first text was scored, counts, and megabytes by process, private and resident."""

    at_s: float
    sent: int
    scored: int
    lag: int
    private: dict[str, float]
    resident: dict[str, float]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run has shown: growth of memory after the warm-up by process (1.0 = none), texts a second, and most texts in flight."""

    growth: dict[str, float]
    per_second: float
    in_flight: int


def verdict(samples: Sequence[Sample]) -> Verdict:
    """The verdict over samples in order of time; those of the warm-up do not count for memory.

    >>> samples = [Sample(at, 10 * at, at, 0, {"worker": 100.0 + (at == 180)}, {}) for at in range(0, 240, 60)]
    >>> verdict(samples)
    Verdict(growth={'worker': 1.01}, per_second=1.0, in_flight=1620)
    """
    warm_s = min(_WARM_S, samples[-1].at_s / 2)
    warm = [sample for sample in samples if sample.at_s >= warm_s]
    growth = {name: max(sample.private[name] for sample in warm) / mb for name, mb in warm[0].private.items()}
    scored, seconds = samples[-1].scored - samples[0].scored, samples[-1].at_s - samples[0].at_s
    return Verdict(growth, scored / seconds, max(sample.sent - sample.scored for sample in samples))


def measure(settings: Settings, milliseconds: float, minutes: float) -> list[Sample]:
    """The samples of one run, printed once a minute."""
    source = Source(settings, _FASTER * 1_000 / milliseconds)
    ledger = wiring.open_ledger(settings)
    samples: list[Sample] = []
    with closing(Offsets(settings)) as offsets, workers(settings, count=1, milliseconds=milliseconds) as started:
        source.start()
        try:
            _wait_for_first(lambda: totals(ledger.entries()).texts, lambda: check(started, settings))
            begun_s, told = time.monotonic(), -1
            while (at_s := time.monotonic() - begun_s) <= minutes * 60:
                check(started, settings)
                if source.failure is not None:
                    raise source.failure
                entries = ledger.entries()
                lag = lags(offsets.ends(TOPICS), entries)["score_texts", SOCIAL_RAW.name]
                pids = {"worker": tree(started[0].pid)}
                if not settings.declare_topics:
                    pids["broker and source"] = [os.getpid()]
                private, resident = ({name: of(each) for name, each in pids.items()} for of in (private_mb, resident_mb))
                samples.append(Sample(at_s, source.sent, totals(entries).texts, lag, private, resident))
                if int(at_s / 60) > told:
                    told = int(at_s / 60)
                    _print(told, samples[-1])
                time.sleep(_SAMPLE_S)
        finally:
            source.stop()
    return samples


def _wait_for_first(scored: Callable[[], int], checked: Callable[[], None]) -> None:
    until_s = time.monotonic() + _START_S
    while not scored():
        checked()
        if time.monotonic() > until_s:
            raise SystemExit(f"nothing was scored within {_START_S:.0f} s")
        time.sleep(0.5)


def _print(minute: int, sample: Sample) -> None:
    memory = ", ".join(f"{name} {mb:.0f} ({sample.resident[name]:.0f})" for name, mb in sample.private.items())
    counts = f"sent {sample.sent}, scored {sample.scored}, lag {sample.lag}"
    print(f"minute {minute:2}: {counts}; private MB (resident): {memory}", flush=True)


@contextmanager
def embedded() -> Iterator[Settings]:
    """The embedded broker in this process with its topics, as `groundswell run` has it, and a folder that is removed at the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, EmbeddedBroker() as broker:
        settings = replace(
            Settings(data=Path(folder), threads=1),
            broker=broker.address,
            broker_version=EMBEDDED_VERSION,
            partitions=broker.partitions,
            declare_topics=False,
            fetch_wait_ms=_FETCH_WAIT_MS,
            database=f"sqlite:///{folder}/state.sqlite",  # of the worker and of the gate
            epoch="backpressure",
            rules=wiring.find_rules(Settings().rules),
        )
        with closing(Offsets(settings)) as offsets:
            offsets.ends(topic.name for topic in ALL)  # naming a topic makes the embedded broker create it
        yield settings


@contextmanager
def real() -> Iterator[Settings]:
    """A real Kafka with its topics."""
    with servers(Settings(threads=1)) as settings:
        with closing(Offsets(settings)) as offsets:
            offsets.create()
        yield settings


def main() -> int:
    """The exit status; prints once a minute, and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to measure")
    parser.add_argument("--ms", type=float, default=40.0, help="milliseconds that a text takes the scorer")
    parser.add_argument("--embedded", action="store_true", help="on the embedded broker in place of a real Kafka")
    asked = parser.parse_args()
    with (embedded if asked.embedded else real)() as settings:
        found = verdict(measure(settings, asked.ms, asked.minutes))
    own = 1_000 / asked.ms
    for name, growth in found.growth.items():
        print(f"private memory of {name}: at most {growth:.3f} of what it was after the warm-up, {_FLAT:g} allowed")
    print(f"scored {found.per_second:.1f} texts a second, {found.per_second / own:.2f} of the scorer's own {own:.1f}")
    holds = found.growth["worker"] <= _FLAT and found.per_second >= _OWN_RATE * own
    if asked.embedded:
        allowed = settings.max_in_flight
        print(f"at most {found.in_flight} texts between source and score, {allowed} allowed")
        holds = holds and found.in_flight <= allowed
    print("holds" if holds else "does not hold")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
