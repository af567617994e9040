"""`groundswell ingest`: files and feeds into the raw topics of any broker."""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import httpx

from commands import wiring
from commands.clockwork import run_jobs
from core import log
from core.clock import utc_now
from core.codec import MAX_RECORD_BYTES
from core.errors import ConfigError
from core.settings import Settings
from core.topics import RAW
from streams.dead_letters import dead_letter_of
from streams.kafka_client import EventProducer
from streams.messages import Received
from streams.sources.files import SourceRecord, read_file
from streams.sources.formats import load_format
from streams.sources.replay import Pace
from streams.sources.rss import Feed, poll_into

_MAX_DEAD_BYTES = 1_900_000  # what a dead-letter topic takes, less headers
_log = log.get(__name__)


def ingest_file(settings: Settings, kind: str, file: Path, *, speed: float | None, record_format: str | None) -> None:
    """Send a file's records; those that cannot go into the topic go to its dead letters. Ends with a line that counts both."""
    chosen = load_format(record_format) if record_format is not None else None
    if chosen is None and file.suffix == ".csv":
        raise ConfigError("a CSV file needs --format: tabformer, sparkov, handbook, or a YAML file", file=str(file))
    sent, dead = send(settings, _at_pace(read_file(file, kind, chosen), Pace(speed)), str(file))
    sys.stderr.write(f"sent {sent[kind]} records to {RAW[kind].name}, {dead[kind]} to {RAW[kind].dead}\n")


def _at_pace(records: Iterable[SourceRecord], pace: Pace) -> Iterator[SourceRecord]:
    """The records, each when it is due."""
    for record in records:
        pace.wait_for(record.time)
        yield record


def send(settings: Settings, records: Iterable[SourceRecord], origin: str) -> tuple[Counter[str], Counter[str]]:
    """How many records of each kind went to their topics, and how many to the dead letters, whose reason names `origin`."""
    sent, dead = Counter[str](), Counter[str]()
    with EventProducer(settings) as producer:
        gate = wiring.open_gate(settings, producer)
        for record in records:
            if gate is not None:
                gate.take(len(record.raw))
            reason = record.reason or _too_big(record)
            if reason is None:
                producer.send(record.message())
                sent[record.kind] += 1
            else:
                _send_dead(producer, record, reason, origin)
                dead[record.kind] += 1
        producer.flush()
    return sent, dead


def _too_big(record: SourceRecord) -> str | None:
    size = len(record.raw)
    return f"record of {size} bytes; at most {MAX_RECORD_BYTES} are taken" if size > MAX_RECORD_BYTES else None


def _send_dead(producer: EventProducer, record: SourceRecord, reason: str, origin: str) -> None:
    """Send a dead letter; of a record too big even for that, the beginning (the file still holds it: the reason names the line)."""
    told = f"{origin}:{record.line}: {reason}"
    sys.stderr.write(f"groundswell: {told}\n")
    source = Received(RAW[record.kind].name, -1, record.line, None, record.raw[:_MAX_DEAD_BYTES], time.time())
    producer.send(dead_letter_of(source, told, stage="ingest", now_s=time.time()))


def ingest_feeds(settings: Settings, urls: list[str], *, every_s: float, once: bool) -> None:
    """Poll feeds and send what is new, every `every_s` seconds until stopped."""
    with EventProducer(settings) as producer, httpx.Client() as client:
        poll = partial(poll_feeds, [Feed(url) for url in urls], client, producer)
        if once:
            poll()
            return
        run_jobs({poll: every_s})


def poll_feeds(feeds: list[Feed], client: httpx.Client, producer: EventProducer) -> None:
    """Send what is new in the feeds; it is confirmed on return."""
    count = poll_into(feeds, client, utc_now, producer.send)
    producer.flush()
    _log.info("feeds_polled", feeds=len(feeds), items=count)
