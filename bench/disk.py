"""What an event takes on disk in Kafka, Elasticsearch, tantivy, RocksDB and PostgreSQL: `python -m bench.disk`.

The samples' posts and payments with their labels go through a worker on real servers; its texts are scored by a stub, for what a score
says changes nothing in its size. Then every file is measured, divided by the events that made it. Indexes are measured with their
segments merged, so that it does not count how they were written.
"""

import argparse
import asyncio
import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import sqlalchemy as sa

from bench.soak.books import values
from bench.transactions import events, fill
from bench.workers import check, posts, servers, workers
from commands import wiring
from core.settings import Settings
from core.topics import LABELS_RAW, SCORED, TRANSACTIONS_RAW
from search.tantivy_index import TantivyIndex
from streams.backlog import GROUP, TOPICS, backlog, in_flight
from streams.kafka_client import EventProducer, Offsets

_STILL_S = 10.0
_LIMIT_S = 3_600.0
_BATCH = Settings().index_batch
_ANSWER_S = 300.0
_TABLES = ("alerts", "transitions", "deliveries", "ledger")


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes on disk of one thing, and how many of `what` made them."""

    place: str
    what: str
    bytes: int
    count: int

    def row(self) -> str:
        """Markdown: bytes each, and megabytes for a million."""
        each = self.bytes / max(self.count, 1)
        return f"| {self.place} | {self.what} | {self.count} | {self.bytes / 1e6:.1f} | {each:.0f} |"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many events went through."""

    texts: int
    payments: int
    labels: int


def measure(texts: int, payments: int) -> Iterator[Size]:
    """All sizes, after the events have gone through."""
    with servers(Settings(index="elasticsearch", threads=1)) as settings:
        with closing(Offsets(settings)) as offsets:
            offsets.create()
        inputs = events(payments)
        counts = Counts(texts, payments, sum(each.label for each in inputs))
        fill(settings, inputs, TRANSACTIONS_RAW.name, LABELS_RAW.name)
        with EventProducer(settings) as producer:
            for message in itertools.islice(posts(settings), texts):
                producer.send(message)
            producer.flush()
        with workers(settings, count=1, milliseconds=1.0) as started:
            _wait(settings, started, texts + payments)
        yield from kafka_sizes(settings.data / "kafka" / "log", counts)
        yield from elasticsearch_sizes(settings, counts)
        yield from tantivy_sizes(settings, settings.data / "tantivy", counts)
        yield Size("RocksDB, tables of a worker", "payment", folder_bytes(settings.data / "worker-1" / "faust"), payments)
        yield from postgres_sizes(settings)


def _wait(settings: Settings, started: list["subprocess.Popen[bytes]"], indexed: int) -> None:
    """Return once everything is worked off and has stayed so."""
    ledger, until_s, still_s = wiring.open_ledger(settings), time.monotonic() + _LIMIT_S, None
    with closing(Offsets(settings)) as offsets:
        while time.monotonic() < until_s:
            check(started, settings)
            ends, entries = offsets.ends(TOPICS), ledger.entries()
            done = sum(entry.passed for entry in entries if entry.stage == "index")
            is_done = done >= indexed and not backlog(ends, entries) and not in_flight(ends, entries)
            still_s = (still_s or time.monotonic()) if is_done else None
            if still_s is not None and time.monotonic() - still_s > _STILL_S:
                return
            time.sleep(1.0)
    raise SystemExit(f"the events were not worked off within {_LIMIT_S:.0f} s")


def kafka_sizes(log: Path, counts: Counts) -> Iterator[Size]:
    """The logs of each topic, by the events that it is about; dead letters and alerts are left out, since they come as they come."""
    topics = sorted({folder.name.rpartition("-")[0] for folder in log.iterdir() if folder.is_dir()})
    for topic in topics:
        size = sum(path.stat().st_size for folder in log.glob(f"{topic}-[0-9]*") for path in folder.glob("*.log"))
        if size and not topic.startswith(("__", "alerts")) and not topic.endswith(".dead"):
            what, count = _about(topic, counts)
            yield Size(f"Kafka, `{topic}`", what, size, count)


def _about(topic: str, counts: Counts) -> tuple[str, int]:
    if topic == LABELS_RAW.name:
        return "label", counts.labels
    if topic.startswith(("news", "social", "text", f"{GROUP}-series")):
        return "text", counts.texts
    return "payment", counts.payments


def elasticsearch_sizes(settings: Settings, counts: Counts) -> Iterator[Size]:
    """The indices of each kind, merged."""
    with httpx.Client(base_url=settings.elasticsearch, timeout=_ANSWER_S) as client:
        client.post("/_forcemerge", params={"max_num_segments": 1, "flush": "true"}).raise_for_status()
        found = client.get("/_stats/store").raise_for_status().json()["indices"]
    for kind, what, count in (("texts", "text", counts.texts), ("transactions", "payment", counts.payments)):
        names = [name for name in found if name.startswith(f"{settings.elasticsearch_prefix}-{kind}")]
        yield Size(
            f"Elasticsearch, {kind}", what, sum(found[name]["primaries"]["store"]["size_in_bytes"] for name in names), count
        )


def tantivy_sizes(settings: Settings, folder: Path, counts: Counts) -> Iterator[Size]:
    """The embedded index of each kind of event, made of what the scored topics hold."""
    for topic, what, count in zip(SCORED, ("text", "payment"), (counts.texts, counts.payments), strict=True):
        target = folder / topic.name
        target.mkdir(parents=True)
        asyncio.run(_write(settings, topic.name, target))
        yield Size(f"tantivy, `{topic.name}`", what, folder_bytes(target), count)


async def _write(settings: Settings, topic: str, folder: Path) -> None:
    index = TantivyIndex.open(folder, writable=True)
    documents = [json.loads(value) for value in values(settings, topic) if value]  # marks have none
    for at in range(0, len(documents), _BATCH):
        await index.write(documents[at : at + _BATCH])
    await index.close()


def postgres_sizes(settings: Settings) -> Iterator[Size]:
    """Our tables with their indexes."""
    with wiring.connect(settings).connect() as connection:
        for table in _TABLES:
            size = connection.execute(sa.text("SELECT pg_total_relation_size(:table)"), {"table": table}).scalar_one()
            rows = connection.execute(sa.text(f'SELECT count(*) FROM "{table}"')).scalar_one()
            yield Size(f"PostgreSQL, `{table}`", "row", int(size), int(rows))


def folder_bytes(folder: Path) -> int:
    """The size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--payments", type=int, default=20_000)
    asked = parser.parse_args()
    print("| On disk | each | how many | MB | bytes each |\n|---|---|---|---|---|")
    for size in measure(asked.texts, asked.payments):
        print(size.row(), flush=True)


if __name__ == "__main__":
    main()
