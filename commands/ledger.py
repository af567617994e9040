"""`groundswell ledger`: whether nothing was lost and nothing counted twice, held against the topics and the index."""

import asyncio
import hashlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from commands import wiring
from commands.output import print_json, print_table
from core.clock import utc_now
from core.errors import ConfigError, InvalidRecord
from core.settings import Settings
from core.topics import ALL, SCORED
from search.nodes import MatchAll
from streams.backlog import GROUP, TOPICS, Place, readers_of
from streams.conservation import PARCELS, Facts, Key, Letter, Line, dead_lines, hop_lines, partition_lines
from streams.dead_letters import from_message
from streams.indexed import Origin, look_up
from streams.kafka_client import Offsets
from streams.ledger import Ledger
from streams.messages import Received
from streams.partition_reader import PartitionReader
from streams.steps import StepCount

_ASK_EVERY_S = 0.5
_TITLES = {
    "partition": "What came to each stage, in messages, and what became of its records",
    "hop": "What was sent on from stage to stage, in records",
    "dead letters": "Dead letters of each stage",
    "index": "The index",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command was asked for; `wait_s` is how long to wait until nothing is in flight."""

    deep: bool
    wait_s: float | None
    json: bool


def check_ledger(settings: Settings, asked: Asked) -> bool:
    """Print all checks, and on standard error those that do not hold; whether all do."""
    ledger = wiring.open_ledger(settings)
    with PartitionReader(settings) as reader, closing(Offsets(settings)) as offsets:
        source = _Source(settings, ledger, reader, offsets)
        lines = source.waited(asked.wait_s) if asked.wait_s is not None else []
        facts, dead = source.facts(deep=asked.deep)
        letters, strange = source.letters(dead)
        lines += [*partition_lines(facts), *hop_lines(facts)]
        lines += dead_lines(facts, letters, gone=sum(begin for begin, _ in dead.values()))
        lines += [*strange, asyncio.run(_index_line(settings, source, facts, letters))]
    _print(lines, json=asked.json)
    failed = [line for line in lines if line.holds is False]
    for line in failed:
        sys.stderr.write(f"groundswell: {line.of} does not hold: {line.reason}\n")
    return not failed


class _Source:
    """Where the facts come from."""

    def __init__(self, settings: Settings, ledger: Ledger, reader: PartitionReader, offsets: Offsets) -> None:
        self._settings = settings
        self._ledger = ledger
        self._reader = reader
        self._offsets = offsets

    def waited(self, wait_s: float) -> list[Line]:
        """Return once nothing is in flight; a line that does not hold where that is not so after `wait_s`."""
        until_s = time.monotonic() + wait_s
        while waiting := self._waiting():
            if time.monotonic() > until_s:
                reason = (
                    f"{waiting} messages are still in flight after {wait_s:g} s: see `groundswell topics lag`, or wait longer"
                )
                return [Line("wait", "nothing in flight", {"in flight": waiting}, False, reason)]
            time.sleep(_ASK_EVERY_S)
        return []

    def facts(self, *, deep: bool) -> tuple[Facts, dict[Place, tuple[int, int]]]:
        """What the ledger and the topics say, and the bounds of the dead-letter topics; `ConfigError` where the epoch is another's."""
        committed = self._offsets.committed(GROUP, self._offsets.ends(TOPICS)) if self._settings.declare_topics else None
        entries = self._ledger.entries()
        dead = self._reader.bounds(topic.dead for topic in ALL)
        bounds = self._reader.bounds(TOPICS)
        if not entries and (others := self._ledger.epochs()):
            epoch = self._settings.epoch or self._settings.broker
            raise ConfigError(
                f"the ledger has nothing of epoch {epoch!r}; it has {', '.join(others)}: set `epoch`, or --broker as workers do"
            )
        return Facts(entries, bounds, committed, self._ledger.earlier(), self._records, deep), dead

    def letters(self, bounds: dict[Place, tuple[int, int]]) -> tuple[list[Letter], list[Line]]:
        """The dead letters up to `bounds`, and a line for each topic that holds what is none."""
        found: list[Letter] = []
        lines = []
        for topic, places in groupby(sorted(bounds), key=lambda place: place[0]):
            strange = 0
            for message in self.read(places, bounds):
                try:
                    letter = from_message(message.value, message.key, message.headers)
                except InvalidRecord:
                    strange += 1
                    continue
                digest = hashlib.blake2b(letter.raw, digest_size=16).digest()
                found.append(Letter(letter.stage, letter.topic, letter.partition, letter.offset, digest))
            if strange:
                figures = {"topic": topic, "messages": strange}
                lines.append(
                    Line("dead letters", topic, figures, False, f"{strange} messages are no dead letters: who writes them?")
                )
        return found, lines

    def read(self, places: Iterable[Place], bounds: dict[Place, tuple[int, int]]) -> Iterator[Received]:
        """The messages of several partitions within their bounds."""
        for place in places:
            yield from self._reader.messages(place, *bounds[place])

    def _waiting(self) -> int:
        entries = self._ledger.entries()
        facts = Facts(entries, self._reader.bounds(TOPICS), None, {}, self._records)
        return sum(facts.waiting((stage, *place)) for place in facts.bounds for stage in readers_of(place[0]))

    def _records(self, key: Key, begin: int, end: int) -> int:
        messages = self._reader.messages(key[1:], begin, end)
        if key[0] not in PARCELS:
            return sum(1 for _ in messages)
        count = StepCount()
        for message in messages:
            count.take(message.value)
        return count.total


async def _index_line(settings: Settings, source: _Source, facts: Facts, letters: Sequence[Letter]) -> Line:
    """The index held against the scored topics, up to what the stage `index` has worked off."""
    index = wiring.open_index(settings)
    rows = [row for row in facts.entries if row.stage == "index"]
    try:
        if not facts.deep:
            figures = {"events": sum(row.passed for row in rows), "documents": await index.count(MatchAll())}
            return Line(
                "index", "events in the index", figures, None, "an event that came twice is one document; --deep compares ids"
            )
        scored = {topic.name for topic in SCORED}
        bounds = {(row.topic, row.partition): (facts.bounds[row.topic, row.partition][0], row.offset + 1) for row in rows}
        refused: set[Origin] = {(each.topic, each.partition, each.offset) for each in letters if each.stage == "index"}
        found = await look_up(index, source.read(sorted(bounds), bounds), refused, not_before=_not_before(settings))
        gone = sum(begin for (topic, _), (begin, _) in bounds.items() if topic in scored)
        note = f"{gone} messages are no longer in the scored topics; their events were not looked for" if gone else ""
        return found.line(await index.count(MatchAll()), note)
    finally:
        await index.close()


def _not_before(settings: Settings) -> datetime | None:
    """The event time before which the index may have deleted events by their age; None where it never does."""
    days = settings.elasticsearch_keep_days if settings.index == "elasticsearch" else 0
    return utc_now() - timedelta(days=days) if days else None


def _print(lines: Sequence[Line], *, json: bool) -> None:
    if json:
        for line in lines:
            print_json({"check": line.check, "of": line.of, **line.figures, "holds": line.holds, "reason": line.reason})
        return
    for check, title in _TITLES.items():
        found = [line for line in lines if line.check == check]
        if found:
            sys.stdout.write(f"{title}\n")
            names = [name for name in found[0].figures if name not in ("stage", "topic", "partition")]
            rows = [
                (line.of, *(_cell(line.figures.get(name)) for name in names), _VERDICTS[line.holds], line.reason)
                for line in found
            ]
            print_table(("", *names, "holds", "why"), rows)
            sys.stdout.write("\n")


_VERDICTS = {True: "yes", False: "NO", None: "untold"}


def _cell(value: object) -> str:
    return "" if value is None else str(value)
