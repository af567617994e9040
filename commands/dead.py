"""`groundswell dead`: browse, show and replay dead letters."""

import sys
from contextlib import nullcontext
from pathlib import Path

from commands import wiring
from commands.output import print_json, print_table
from core.clock import rfc3339, utc_now
from core.dead import DeadQuery, DeadSummary, Replay
from core.errors import ConfigError
from core.settings import Settings
from core.topics import ALL
from streams.dead_archive import DeadArchive
from streams.dead_box import KEPT, DeadBox
from streams.dead_reader import DeadReader
from streams.dead_replays import DeadReplays
from streams.kafka_client import EventProducer

_SHOWN_CHARS = 80


def open_box(settings: Settings, *, kept: int | None = KEPT) -> DeadBox:
    """The dead letters: on the broker, or, with the embedded one, in the data folder."""
    source = DeadReader(settings) if settings.declare_topics else DeadArchive(wiring.dead_file(settings))
    return DeadBox(source, DeadReplays(wiring.open_engine(settings)), utc_now, kept=kept)


def print_dead(settings: Settings, query: DeadQuery, *, limit: int, json: bool) -> None:
    """The newest dead letters that are asked for: with `json` one object a line."""
    found = open_box(settings).page(_checked(query), limit=limit).letters
    if json:
        for letter in found:
            print_json(letter)
        return
    rows = [(each.place, rfc3339(each.time), each.stage, _state(each.replayed), each.reason, _begins(each)) for each in found]
    print_table(("place", "time", "stage", "replayed", "reason", "begins"), rows)


def show_dead(settings: Settings, place: str) -> None:
    """One dead letter, as a JSON line, and then its bytes as they came."""
    letter, replayed = open_box(settings).read(place)
    fields = ("topic", "partition", "offset", "stage", "reason", "time")
    told = {name: getattr(letter, name) for name in fields}
    print_json({"place": place, **told, "bytes": len(letter.raw), "replayed": replayed})
    sys.stdout.flush()
    sys.stdout.buffer.write(letter.raw + b"\n")


def replay_dead(settings: Settings, places: list[str], query: DeadQuery, *, with_file: Path | None) -> None:
    """Send letters to the topic that they came from; scored ids are derived from content, so that twice does no harm."""
    if bool(places) == bool(query.topic):
        raise ConfigError("name either places or --topic")
    if with_file is not None and len(places) != 1:
        raise ConfigError("--with mends one letter: name one place")
    box = open_box(settings, kept=None)
    chosen = places or [letter.place for letter in reversed(box.page(_checked(query)).letters)]
    raw = with_file.read_bytes() if with_file is not None else None
    with EventProducer(settings) if chosen else nullcontext() as producer:
        sent = box.replay(producer, chosen, raw) if producer is not None else 0
    sys.stdout.write(f"sent {sent} records again\n")


def _checked(query: DeadQuery) -> DeadQuery:
    known = {each.name for each in ALL}
    if query.topic is not None and query.topic not in known:
        raise ConfigError(f"there is no topic {query.topic!r}; the topics are {', '.join(sorted(known))}", field="--topic")
    return query


def _state(replayed: Replay | None) -> str:
    if replayed is None:
        return "open"
    return f"{rfc3339(replayed.time)}{', mended' if replayed.mended else ''}"


def _begins(letter: DeadSummary) -> str:
    return letter.begins[:_SHOWN_CHARS]
