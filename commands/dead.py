"""`groundswell dead`: browse, show and replay dead letters."""

import sys
from pathlib import Path

from commands import wiring
from commands.output import print_json, print_table
from core.clock import rfc3339
from core.errors import ConfigError
from core.records import DeadLetter
from core.settings import Settings
from core.topics import ALL, DEAD_SUFFIX
from streams.dead_archive import DeadArchive
from streams.dead_reader import DeadReader
from streams.kafka_client import EventProducer
from streams.messages import Outgoing

_SHOWN_BYTES = 80


def print_dead(settings: Settings, *, topic: str | None, limit: int, json: bool) -> None:
    """The newest dead letters: with `json` one object a line."""
    found = _source(settings).newest(_dead_topics(topic), limit)
    if json:
        for place, letter in found:
            print_json({"place": place, **_as_json(letter)})
        return
    rows = [
        (
            str(place),
            rfc3339(letter.time),
            letter.stage,
            letter.reason,
            letter.raw[:_SHOWN_BYTES].decode("utf-8", "backslashreplace"),
        )
        for place, letter in found
    ]
    print_table(("place", "time", "stage", "reason", "begins"), rows)


def show_dead(settings: Settings, place: str) -> None:
    """One dead letter, as a JSON line, and then its bytes as they came."""
    letter = _source(settings).read(place)
    print_json({"place": place, **_as_json(letter)})
    sys.stdout.flush()
    sys.stdout.buffer.write(letter.raw + b"\n")


def replay_dead(settings: Settings, places: list[str], *, topic: str | None, with_file: Path | None) -> None:
    """Send letters to the topic that they came from; scored ids are derived from content, so that twice does no harm."""
    if bool(places) == bool(topic):
        raise ConfigError("name either places or --topic")
    if with_file is not None and len(places) != 1:
        raise ConfigError("--with mends one letter: name one place")
    source = _source(settings)
    letters = [source.read(place) for place in places] or [letter for _, letter in source.newest(_dead_topics(topic))]
    raw = with_file.read_bytes() if with_file is not None else None
    with EventProducer(settings) as producer:
        for letter in letters:
            producer.send(Outgoing(letter.topic, letter.raw if raw is None else raw, key=letter.key))
        producer.flush()
    sys.stdout.write(f"sent {len(letters)} records again\n")


def _source(settings: Settings) -> DeadReader | DeadArchive:
    """Where dead letters are kept: on the broker, or, with the embedded one, in the data folder."""
    return DeadReader(settings) if settings.declare_topics else DeadArchive(wiring.dead_file(settings))


def _dead_topics(topic: str | None) -> list[str]:
    known = {each.name for each in ALL}
    if topic is not None and topic not in known:
        raise ConfigError(f"there is no topic {topic!r}; the topics are {', '.join(sorted(known))}", field="--topic")
    return [name + DEAD_SUFFIX for name in ([topic] if topic else sorted(known))]


def _as_json(letter: DeadLetter) -> dict[str, object]:
    """The letter's fields but its bytes, of which only the number."""
    return {
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "stage": letter.stage,
        "reason": letter.reason,
        "time": letter.time,
        "bytes": len(letter.raw),
    }
