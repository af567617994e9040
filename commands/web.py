"""`groundswell web`: the page and the API."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata

from alerts.store import AlertStore
from commands import wiring
from commands.dead import open_box
from commands.supervise import end_when_input_ends
from core.clock import utc_now
from core.codec import DECODERS
from core.dead import DeadPage, DeadQuery, Replay
from core.errors import InvalidRecord, Retryable
from core.metrics import CAME, COMMITTED, IN_FLIGHT, LAG, LEDGER, UNCOMMITTED, UNCOUNTED
from core.records import DeadLetter
from core.settings import Settings
from core.topics import RAW
from streams.backlog import GROUP, TOPICS, backlog, lags, uncommitted
from streams.conservation import PARCELS
from streams.dead_box import DeadBox
from streams.dead_letters import dead_letter_of
from streams.kafka_client import EventProducer, Offsets
from streams.ledger import Entry, Ledger, Tally
from streams.messages import Received
from streams.sources.files import SourceRecord
from streams.totals import totals
from web.app import build_app
from web.deps import Deps, Reading
from web.serve import hosts_for, serve

_KINDS = {topic.name: kind for kind, topic in RAW.items()}
_BACKLOG_FRESH_S = 0.5
_REPLAYED_AT_ONCE = 200


class DeadDesk:
    """The dead letters for the page; the embedded broker takes replays only while it has room."""

    def __init__(self, box: DeadBox, producer: EventProducer, is_full: Callable[[], bool]) -> None:
        self.box = box
        self._producer = producer
        self._is_full = is_full

    async def page(self, query: DeadQuery, *, limit: int, offset: int) -> DeadPage:
        """Letters that are asked for, newest first."""
        return await asyncio.to_thread(self.box.page, query, limit=limit, offset=offset)

    async def read(self, place: str) -> tuple[DeadLetter, Replay | None]:
        """The letter at a place, and its replay."""
        return await asyncio.to_thread(self.box.read, place)

    async def replay(self, places: Sequence[str], raw: bytes | None = None) -> int:
        """Send letters again; how many."""
        return await asyncio.to_thread(self._replay, places, raw)

    def _replay(self, places: Sequence[str], raw: bytes | None) -> int:
        for begin in range(0, len(places), _REPLAYED_AT_ONCE):
            if self._is_full():
                raise Retryable(f"{begin} of {len(places)} were sent; too much is in flight for the rest, which stay open")
            self.box.replay(self._producer, places[begin : begin + _REPLAYED_AT_ONCE], raw)
        return len(places)


class Pipeline:
    """The pipeline as the page sees it: its counters, and the way in for posted records."""

    def __init__(self, settings: Settings, ledger: Ledger, store: AlertStore) -> None:
        self._settings = settings
        self._ledger = ledger
        self._store = store
        self._producer = EventProducer(settings)
        self.dead = DeadDesk(open_box(settings), EventProducer(settings), self._is_full)
        self._offsets = Offsets(settings)
        self._lock = threading.Lock()
        self._backlog = (0.0, 0)
        self._rate = (time.monotonic(), 0.0, 0.0)

    async def counters(self) -> Mapping[str, float]:
        """Totals since the ledger's epoch began, and how much is in flight."""
        return await asyncio.to_thread(self._counters)

    async def submit(self, topic: str, raw: bytes) -> None:
        """Bring one posted record into its topic; it is confirmed on return. A bad one goes to the dead letters and raises."""
        await asyncio.to_thread(self._submit, topic, raw)

    async def gauges(self) -> Sequence[Reading]:
        """Lag and commits, for Prometheus."""
        return await asyncio.to_thread(self._gauges)

    def _gauges(self) -> Sequence[Reading]:
        with self._lock:
            ends = self._offsets.ends(TOPICS)
            # the embedded broker's commits tell nothing: it forgets what is not read in time, and the gate goes by the ledger
            committed = self._offsets.committed(GROUP, ends) if self._settings.declare_topics else {}
        entries = self._ledger.entries()
        done: dict[str, int] = {}
        for (topic, _), offset in committed.items():
            done[topic] = done.get(topic, 0) + offset
        return [
            *(Reading(LAG, {"stage": stage, "topic": topic}, value) for (stage, topic), value in lags(ends, entries).items()),
            *(Reading(COMMITTED, {"topic": topic}, value) for topic, value in done.items()),
            *(Reading(UNCOMMITTED, {"topic": topic}, value) for topic, value in uncommitted(committed, entries).items()),
            *(reading for entry in entries for reading in row_readings(entry, ends.get((entry.topic, entry.partition), 0))),
        ]

    def _counters(self) -> Mapping[str, float]:
        done, counts = totals(self._ledger.entries()), self._store.counts()
        return {
            **{name: float(value) for name, value in asdict(done).items()},
            "delivered": float(counts.delivered),
            "pending": float(counts.pending),
            "backlog": float(self._waiting()),
            "dead_open": float(self.dead.box.open()),
            "events_per_second": self._events_per_second(done.scored),
        }

    def _submit(self, topic: str, raw: bytes) -> None:
        kind = _KINDS[topic]
        if self._is_full():
            raise Retryable("too much is in flight for the embedded broker; send the record again in a second")
        try:
            DECODERS[kind](raw, utc_now())
        except InvalidRecord as error:
            posted = Received(topic, -1, -1, None, raw, time.time())
            self._producer.send_confirmed(dead_letter_of(posted, str(error), stage="ingest", now_s=time.time()))
            raise
        self._producer.send_confirmed(SourceRecord(kind, raw, None, 0).message())

    def _is_full(self) -> bool:
        """Whether the embedded broker, which forgets what is not read in time, takes no more just now."""
        return not self._settings.declare_topics and self._waiting() > self._settings.max_in_flight

    def _waiting(self) -> int:
        """The backlog, at most half a second old."""
        with self._lock:
            asked_s, waiting = self._backlog
            if time.monotonic() - asked_s > _BACKLOG_FRESH_S:
                waiting = backlog(self._offsets.ends(TOPICS), self._ledger.entries())
                self._backlog = (time.monotonic(), waiting)
            return waiting

    def _events_per_second(self, scored: int) -> float:
        """Scored events a second since the last call that was more than a second before."""
        then_s, then, rate = self._rate
        elapsed_s = time.monotonic() - then_s
        if elapsed_s >= 1.0:
            rate = max(0.0, (scored - then) / elapsed_s)
            self._rate = (time.monotonic(), float(scored), rate)
        return rate


def row_readings(entry: Entry, end: int) -> Iterator[Reading]:
    """A ledger row as gauges; `end` is its partition's."""
    place = {"stage": entry.stage, "topic": entry.topic, "partition": str(entry.partition)}
    first = entry.first or 0
    yield Reading(CAME, place, max(end, entry.offset + 1) - first)
    yield Reading(IN_FLIGHT, place, max(0, end - entry.offset - 1))
    for outcome in Tally._fields:
        yield Reading(LEDGER, {**place, "outcome": outcome}, getattr(entry, outcome))
    if entry.stage not in PARCELS and entry.first is not None:  # a row of an older version does not know where it began
        yield Reading(UNCOUNTED, place, entry.offset + 1 - first - entry.read)


def run_web(settings: Settings, *, end_with_parent: bool = False) -> None:
    """Serve until told to stop."""
    if end_with_parent:
        threading.Thread(target=end_when_input_ends, daemon=True).start()
    store = wiring.open_alerts(settings)
    pipeline = Pipeline(settings, wiring.open_ledger(settings), store)
    deps = Deps(
        index=wiring.open_index(settings),
        alerts=store,
        counters=pipeline.counters,
        submit=pipeline.submit,
        gauges=pipeline.gauges,
        dead=pipeline.dead,
        clock=utc_now,
        version=metadata.version("groundswell"),
    )
    app = build_app(deps, allowed_hosts=hosts_for(settings.web_host, *settings.web_names))
    asyncio.run(serve(app, host=settings.web_host, port=settings.web_port))
