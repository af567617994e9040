"""`groundswell run`: everything in one process tree, on the embedded broker or on real servers in one folder.

this process:  embedded broker, replay of the input, progress
├─ worker:     Faust agents, index writer, delivery of alerts
├─ web:        page and API
└─ servers:    with `--servers`, in place of the embedded broker
"""

import asyncio
import signal
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import msgspec

from commands import wiring
from commands.data_folder import locked
from commands.feed import Feed
from commands.machine import Watched, on_servers
from commands.output import print_json
from commands.progress import Progress, Snapshot
from commands.supervise import Child, ChildFailed
from core import log
from core.clock import rfc3339, utc_now
from core.errors import GroundswellError, Retryable
from core.settings import Settings, as_environment
from core.topics import ALL
from search.kql import parse
from streams.backlog import TOPICS, backlog
from streams.dead_archive import DeadArchive, DeadSaver
from streams.embedded import EMBEDDED_VERSION, EmbeddedBroker, forget_offsets
from streams.kafka_client import Offsets
from streams.totals import totals

_FETCH_WAIT_MS = 10  # the embedded broker answers a fetch that finds nothing only when its wait is over
_DRAIN_S = 600.0  # a second Ctrl-C ends the wait; a slow machine scores what may be in flight in minutes
_DELIVERY_GRACE_S = 30.0
_LOSS_GRACE_S = 15.0
_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What `run` was asked for; `speed` None = as fast as it goes, `input` None = the bundled samples."""

    input: Path | None
    speed: float | None
    exit_when_idle: bool
    json: bool
    servers: bool = False  # real servers in the data folder in place of the embedded broker


class RecordsLost(GroundswellError):
    """The gate failed to keep what is in flight below what the embedded broker keeps."""


class Summary(msgspec.Struct, frozen=True):
    """What a run did. `read = scored + dead`; `labels` are read beside that. `pending` deliveries go out at the next run."""

    read: int
    scored: int
    dead: int
    indexed: int
    labels: int
    matches: int
    transitions: int
    delivered: int
    pending: int
    seconds: float
    texts_per_second: float
    transactions_per_second: float


def run(settings: Settings, options: Options) -> Summary:
    """Run until stopped, or with `exit_when_idle` until everything is scored, indexed and delivered; what was done."""
    if options.servers:
        with locked(settings.data, demo=False), on_servers(settings) as (reached, servers):
            try:
                return _Run(reached, options, servers).run()
            finally:
                log.silence("kafka")  # its clients tell of the broker's end, which is ours
    with locked(settings.data, demo=options.input is None), EmbeddedBroker() as broker:
        forget_offsets(settings.data / "faust")
        embedded = replace(
            settings,
            broker=broker.address,
            broker_version=EMBEDDED_VERSION,
            partitions=broker.partitions,
            declare_topics=False,
            fetch_wait_ms=_FETCH_WAIT_MS,
            epoch=f"run-{uuid.uuid4().hex[:12]}",
            rules=wiring.find_rules(settings.rules),
        )
        try:
            return _Run(embedded, options).run()
        finally:
            log.silence("kafka")  # its clients tell of the broker's end, which is ours


class _Run:
    """One run: its parts, and the loop that watches them."""

    def __init__(self, settings: Settings, options: Options, servers: Sequence[Watched] = ()) -> None:
        self._servers = servers
        self._settings = settings
        self._options = options
        wiring.open_rules(settings)  # a bad rule file is told here, not in a worker's log
        self._store = wiring.open_alerts(settings)
        self._ledger = wiring.open_ledger(settings)
        self._offsets = Offsets(settings)
        self._stop = threading.Event()
        self._signals = 0
        checkpoint = settings.data / "replayed.json" if servers else None
        self._feed = Feed(settings, options.input or wiring.SAMPLES, options.speed, self._stop, checkpoint)
        # A real broker keeps its dead letters itself
        self._saver = None if servers else DeadSaver(settings, DeadArchive(wiring.dead_file(settings)))
        self._before = self._store.counts()
        self._children = [self._child("worker"), self._child("web")]
        self._started = utc_now()
        self._clock_s = time.monotonic()
        self._waiting_since_s: float | None = None

    def run(self) -> Summary:
        """Start everything, watch until the end, stop everything; the summary."""
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        if self._servers:
            self._offsets.create()
        else:
            self._offsets.ends(topic.name for topic in ALL)  # naming a topic makes the embedded broker create it
        wiring.announce(self._settings)
        if self._saver is not None:
            self._saver.start()
        for child in self._children:
            child.start()
        self._feed.start()
        address = f"http://{self._settings.web_host}:{self._settings.web_port}/"
        with Progress(address, quiet=self._options.json) as progress:
            try:
                self._watch(progress)
            finally:
                self._stop.set()
                self._feed.join()
                if not self._servers:
                    self._drain(progress)
                for child in self._children:
                    child.stop()
                if self._saver is not None:
                    self._saver.finish()
                self._show(progress)
        if self._feed.error is not None:
            raise self._feed.error
        return self._summary()

    def _child(self, name: str) -> Child:
        settings = self._settings
        arguments = [name] if name == "worker" else [name, "--port", str(settings.web_port)]
        output = sys.stderr.fileno() if self._options.json else sys.stdout.fileno()
        return Child(name, arguments, as_environment(settings), settings.data / "logs" / f"{name}.log", output)

    def _watch(self, progress: Progress) -> None:
        """Return when told to stop, or when all is done and `exit_when_idle` was asked for."""
        while not self._stop.wait(0.25):
            up = [server.watch() for server in self._servers]
            if not all(up):
                for child in self._children:
                    child.excuse()
                continue
            for child in self._children:
                child.watch()
            if self._feed.error is not None:
                return
            snapshot = self._show(progress)
            if snapshot is not None and self._options.exit_when_idle and self._feed.done and self._is_idle(snapshot):
                return

    def _is_idle(self, snapshot: Snapshot) -> bool:
        """Whether everything is worked off and delivered, or its delivery has been refused for `_DELIVERY_GRACE_S`."""
        if snapshot.backlog:
            self._waiting_since_s = None
            return False
        now_s = time.monotonic()
        self._waiting_since_s = self._waiting_since_s or now_s
        waited_s = now_s - self._waiting_since_s
        missing = self._feed.sent - snapshot.totals.read - snapshot.totals.labels
        if missing > 0 and waited_s > _LOSS_GRACE_S and not self._servers:
            raise RecordsLost(f"the embedded broker dropped {missing} records before they were read; run again with less --speed")
        return missing <= 0 and (not snapshot.pending or waited_s > _DELIVERY_GRACE_S)

    def _drain(self, progress: Progress) -> None:
        """Let the worker finish what was sent: the embedded broker, and all in it, ends with this process."""
        until_s = time.monotonic() + _DRAIN_S
        while self._signals < 2 and time.monotonic() < until_s:
            try:
                self._children[0].watch()
                snapshot = self._snapshot()
            except (ChildFailed, Retryable):
                return
            progress.show(snapshot)
            if not snapshot.backlog:
                return
            time.sleep(0.1)
        if self._signals < 2:
            _log.error("drain_timed_out", waiting=self._snapshot().backlog)

    def _show(self, progress: Progress) -> Snapshot | None:
        """The state, shown; None while a server does not answer."""
        try:
            snapshot = self._snapshot()
        except Retryable as error:
            _log.warning("state_not_read", error=str(error))
            return None
        progress.show(snapshot)
        return snapshot

    def _snapshot(self) -> Snapshot:
        counts, entries = self._store.counts(), self._ledger.entries()
        return Snapshot(
            sent=self._feed.sent,
            totals=totals(entries),
            backlog=backlog(self._offsets.ends(TOPICS), entries),
            transitions=counts.transitions - self._before.transitions,
            delivered=counts.delivered - self._before.delivered,
            pending=counts.pending,
            seconds=time.monotonic() - self._clock_s,
        )

    def _summary(self) -> Summary:
        last = self._snapshot()
        done = last.totals
        seconds = max(last.seconds, 0.001)
        return Summary(
            read=done.read,
            scored=done.scored,
            dead=done.dead,
            indexed=self._indexed(),
            labels=done.labels,
            matches=done.matches,
            transitions=last.transitions,
            delivered=last.delivered,
            pending=last.pending,
            seconds=round(seconds, 2),
            texts_per_second=round(done.texts / seconds, 1),
            transactions_per_second=round(done.transactions / seconds, 1),
        )

    def _indexed(self) -> int:
        """How many distinct events the index itself holds; on the embedded broker those that were scored since this run began."""
        query = "" if self._servers else f'ingested >= "{rfc3339(self._started)}"'

        async def counted() -> int:
            index = wiring.open_index(self._settings)
            try:
                return await index.count(parse(query))
            finally:
                await index.close()

        return asyncio.run(counted())

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Once: finish what is in flight, then end. Twice: end now."""
        self._signals += 1
        self._stop.set()


def print_summary(summary: Summary, *, json: bool) -> None:
    """The summary as the last line of standard output: one JSON object, or words."""
    if json:
        print_json(summary)
        return
    sys.stdout.write(
        f"read {summary.read}, scored {summary.scored}, dead {summary.dead}, indexed {summary.indexed}, labels {summary.labels}, "
        f"matches {summary.matches}, transitions {summary.transitions}, delivered {summary.delivered}, pending {summary.pending}, "
        f"in {summary.seconds} s\n"
    )
