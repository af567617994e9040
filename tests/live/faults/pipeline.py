"""The product under a fault: real servers, workers that can be killed, a receiver, and what has become of a load in the end."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from alerts.database import open_engine, writing
from alerts.migrate import upgrade
from alerts.tables import deliveries
from commands import wiring
from commands.dead import open_box
from core.clock import from_epoch_s, utc_now
from core.dead import DeadQuery
from core.errors import Retryable
from core.settings import Settings, load_settings
from core.topics import NEWS_RAW
from search.dates import text_ms
from search.index import MAX_HITS, SearchRequest
from search.kql import parse
from servers.process import Server, free_port
from streams.backlog import GROUP, TOPICS
from streams.kafka_client import Offsets
from tests.acceptance.product import ROOT, Receiver, environment, groundswell
from tests.live.faults import naive_consumer
from tests.live.faults.load import Load

RULES = """
receivers:
  - {name: webhook, type: webhook, url: "${GROUNDSWELL_WEBHOOK_URL}", secret: "${GROUNDSWELL_WEBHOOK_SECRET}", allow_private: true}
rules:
  - name: negative
    filter: sentiment.label:negative
    severity: warning
    group_by: [id]
    receivers: [webhook]
    threshold: {}
"""
_TEXT_MS = 3  # what a text costs the worker
_NAIVE_MS = 10  # and the naive consumer, which so has a batch in hand half of the time


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of a load: `doubled` counts documents beyond the first of each id."""

    events: int
    lost: int
    doubled: int

    @property
    def clean(self) -> bool:
        """Whether every event is one document."""
        return self.lost == self.doubled == 0


class Pipeline:
    """Workers on one broker, index and database; they write their logs to the folder."""

    def __init__(self, folder: Path, receiver: Receiver, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.receiver = receiver
        (folder / "rules.yaml").write_text(RULES, "utf-8")
        own = {f"GROUNDSWELL_{name.upper()}": value for name, value in variables.items()}
        self._environment = environment(receiver) | own | {"GROUNDSWELL_RULES": str(folder / "rules.yaml")}
        self.settings: Settings = load_settings(environ=self._environment)
        self.restarts = 0
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._variables: dict[str, dict[str, str]] = {}
        self._offsets = Offsets(self.settings)
        self._offsets.create()
        engine = open_engine(self.settings.database_url)
        upgrade(engine)
        engine.dispose()

    # --- processes --------------------------------------------------------------------------------------------------

    def start(self, name: str, **variables: str) -> None:
        """Start a worker; one of the name that runs already is left alone, and one that ran before keeps its settings."""
        if name in self._processes and self._processes[name].poll() is None:
            return
        given = {"metrics_port": str(free_port()), **variables}
        own = self._variables.setdefault(name, {f"GROUNDSWELL_{key.upper()}": value for key, value in given.items()})
        data = self.settings.data if self.settings.index == "embedded" else self.folder / name
        self._spawn(name, ["bench.fixed_cost", str(data), str(_TEXT_MS)], own)

    def start_naive(self, source: str) -> str:
        """Start a control that reads a load's items; the name of its process."""
        address = [self.settings.broker, self.settings.elasticsearch, source, str(_NAIVE_MS)]
        group = naive_consumer.group_of(source)
        name = f"{group}-{len(list(self.folder.glob(f'{group}-*.log')))}"
        self._spawn(name, ["tests.live.faults.naive_consumer", *address], {})
        return name

    def _spawn(self, name: str, module: list[str], variables: dict[str, str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", *module], cwd=ROOT, env=self._environment | variables, stdout=output, stderr=output
            )

    def command(self, *arguments: str) -> str:
        """What a command of ours prints, on this pipeline's servers; fails where it does."""
        return groundswell(*arguments, variables=self._environment).stdout

    def end(self, name: str, how: signal.Signals) -> int:
        """Send a process a signal; the status with which it has ended."""
        process = self._processes.pop(name)
        process.send_signal(how)
        return process.wait(600)

    def workers(self) -> list[str]:
        """The workers that were started and not ended."""
        return [name for name in self._processes if not name.startswith("naive-")]

    def only(self, *names: str, **variables: str) -> None:
        """Let these workers run and no others."""
        for name in set(self._processes) - set(names):
            self.end(name, signal.SIGKILL)
        for name in names:
            self.start(name, **variables)

    def close(self) -> None:
        """End all that runs."""
        self.only()
        self._offsets.close()

    def log(self, name: str, event: str) -> list[dict[str, Any]]:
        """What a worker has logged under an event's name."""
        lines = (self.folder / f"{name}.log").read_text("utf-8", "replace").splitlines()
        found = [json.loads(line) for line in lines if f'"event": "{event}"' in line and line.startswith("{")]
        return [line for line in found if line["event"] == event]

    def has_worked(self, name: str) -> bool:
        """Whether a worker has indexed anything since it was started."""
        port = self._variables[name]["GROUNDSWELL_METRICS_PORT"]
        try:
            told = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        except httpx.TransportError:  # it is not up yet
            return False
        return re.search(r"^groundswell_records_indexed_total [1-9]", told, re.M) is not None

    def lines(self, name: str, logger: str) -> int:
        """How many lines a worker's loggers whose names begin so have written."""
        return (self.folder / f"{name}.log").read_text("utf-8", "replace").count(f'"logger": "{logger}')

    def said_last(self, most: int) -> str:
        """The last lines of all workers' logs, in order of time."""
        lines = [
            (json.loads(line).get("timestamp", ""), path.stem, line)
            for path in self.folder.glob("*.log")
            for line in path.read_text("utf-8", "replace").splitlines()
            if line.startswith("{")
        ]
        return "\n".join(f"{name}: {line}" for _, name, line in sorted(lines)[-most:])

    def retries(self, *stages: str) -> int:
        """How often the workers have tried a batch again, of these stages or of any."""
        lines = [line for name in self.workers() for line in self.log(name, "retrying")]
        return sum(line["stage"] in stages or not stages for line in lines)

    # --- progress ---------------------------------------------------------------------------------------------------

    def wait(self, reached: Callable[[], bool], what: str, *, seconds: float = 600.0) -> None:
        """Return once it is reached; a worker that has ended meanwhile is started again, as its supervisor would.

        A server that is away cannot say, and is asked again.
        """
        until = time.monotonic() + seconds
        while not _said(reached):
            assert time.monotonic() < until, f"not in time: {what}"
            for name in [name for name in self.workers() if self._processes[name].poll() is not None]:
                self.restarts += 1
                self.start(name)
            time.sleep(0.2)

    def committed(self, group: str = GROUP) -> int:
        """How many messages of the raw topic a group has committed."""
        places = self._offsets.ends([NEWS_RAW.name])
        return sum(self._offsets.committed(group, places).values())

    def wait_for_progress(self, group: str = GROUP) -> None:
        """Return once more raw messages are committed than are now."""
        seen: list[int] = []
        self.wait(lambda: seen.append(self.committed(group)) or seen[-1] > seen[0], f"{group} gets on")  # type: ignore[func-returns-value]

    def indexed(self) -> int:
        """How many events the ledger counts as indexed."""
        ledger = wiring.open_ledger(self.settings)
        return sum(entry.passed for entry in ledger.entries() if entry.stage == "index")

    def wait_until_done(self) -> None:
        """Return once every stage has committed all that its topics hold; the ledger must hold then."""
        self.wait(self._is_done, "all is committed")
        self.command("ledger", "--deep", "--wait", "300")

    def _is_done(self) -> bool:
        ends = self._offsets.ends(TOPICS)
        committed = self._offsets.committed(GROUP, ends)
        return all(committed[place] >= end for place, end in ends.items())

    def wait_for_naive(self, source: str) -> None:
        """Return once the control has read all and has nothing in hand."""
        group = naive_consumer.group_of(source)
        ends = self._offsets.ends([NEWS_RAW.name])
        self.wait(lambda: self._offsets.committed(group, ends) == ends, "the control has read all")
        for log in [self.folder / f"{name}.log" for name in self._processes if name.startswith(group)]:
            size = log.stat().st_size
            self.wait(lambda log=log, size=size: b"idle" in log.read_bytes()[size:], "the control is idle")  # type: ignore[misc]

    # --- outcome ----------------------------------------------------------------------------------------------------

    def documents(self, source: str) -> Counter[str]:
        """How many documents the index holds of each of a source's items."""
        return asyncio.run(self._documents(source))

    async def _documents(self, source: str) -> Counter[str]:
        index, found, start = wiring.open_index(self.settings), Counter[str](), None
        query = parse(f'source:"{source}"')
        try:
            while True:
                page = await index.search(SearchRequest(query, start=start, size=MAX_HITS, sort=(("time", "asc"),)))
                last = text_ms(page.hits[-1]["time"]) if page.total > len(page.hits) else None
                found.update(hit["native_id"] for hit in page.hits if last is None or text_ms(hit["time"]) != last)
                if last is None:
                    return found
                start = from_epoch_s(
                    last / 1000
                )  # the next page begins with the millisecond that this one may not have had whole
        finally:
            await index.close()

    def naive_documents(self, source: str) -> Counter[str]:
        """How many documents the control has written of each item."""
        url, found = self.settings.elasticsearch, Counter[str]()
        httpx.post(f"{url}/naive-{source}/_refresh", timeout=120).raise_for_status()
        query: dict[str, Any] = {"size": MAX_HITS, "_source": ["native_id"]}
        page = httpx.post(f"{url}/naive-{source}/_search?scroll=5m", json=query, timeout=120).raise_for_status().json()
        while hits := page["hits"]["hits"]:
            found.update(hit["_source"]["native_id"] for hit in hits)
            after = {"scroll": "5m", "scroll_id": page["_scroll_id"]}
            page = httpx.post(f"{url}/_search/scroll", json=after, timeout=120).raise_for_status().json()
        return found

    def letters(self, source: str) -> Counter[bytes]:
        """How often each record that names the source is a dead letter, as an analyst sees them."""
        box = open_box(self.settings, kept=None)
        raws = [box.read(letter.place)[0].raw for letter in box.page(DeadQuery()).letters]
        return Counter(raw for raw in raws if source.encode() in raw)

    def wait_for_alerts(self, expected: set[str], receiver: Receiver | None = None) -> None:
        """Return once the receiver has got an alert for each of these events; fails where one came under two ids."""
        receiver = receiver or self.receiver
        self._make_deliveries_due()
        self.wait(lambda: expected <= set(_delivered(receiver)), "all alerts are delivered")
        delivered = _delivered(receiver)
        twice = {event: ids for event, ids in delivered.items() if len(ids) > 1}
        assert twice == {}

    def _make_deliveries_due(self) -> None:
        """Pull the schedule of retries, which goes over days, together, and the two minutes for which a dead worker holds its claims."""
        store = wiring.open_alerts(self.settings)
        store.release_all()
        with writing(store.engine) as connection:
            waiting = sa.update(deliveries).where(deliveries.c.status == "pending")
            connection.execute(waiting.values(next_attempt=utc_now()))
        store.engine.dispose()


def _said(reached: Callable[[], bool]) -> bool:
    try:
        return reached()
    except Retryable:
        return False


def _delivered(receiver: Receiver) -> dict[str, set[str]]:
    """The webhook-ids under which each event's alert came."""
    found: dict[str, set[str]] = {}
    for webhook_id, bodies in list(receiver.got.items()):
        for body in bodies:
            if body["data"]["state"] == "active":
                found.setdefault(body["data"]["group"]["id"], set()).add(webhook_id)
    return found


@contextmanager
def away(server: Server, *, killed: bool = False) -> Iterator[None]:
    """A server that is gone while the block runs, and then is started on the same folder and port."""
    server.kill() if killed else server.stop()
    try:
        yield
    finally:
        server.start()


def outcome(load: Load, documents: Counter[str], *, dead: set[int] | None = None) -> Outcome:
    """What became of a load's items, less those that were meant to be dead letters."""
    meant = {str(number) for number in set(range(load.sent)) - (dead or set())}
    assert set(documents) <= meant, f"never sent, or meant to be dead: {sorted(set(documents) - meant)[:5]}"
    return Outcome(load.sent, len(meant - set(documents)), documents.total() - len(documents))


def naive_harm(load: Load, documents: Counter[str], *, dead: set[int] | None = None) -> str:
    """What the naive consumer made of the same load under the same fault; fails where it took no harm, for then nor did anybody."""
    taken = Counter({name: count for name, count in documents.items() if int(name) not in (dead or set())})
    found = outcome(load, taken, dead=dead)
    assert not found.clean, "the fault harms nobody"
    return f"naive consumer: {found.lost} lost, {found.doubled} twice"
