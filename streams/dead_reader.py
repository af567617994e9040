"""Reading dead letters back from their topics, outside of the worker."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from core.errors import ConfigError, InvalidRecord
from core.records import DeadLetter
from core.settings import Settings
from core.topics import ALL
from streams.dead_letters import from_message
from streams.messages import Place
from streams.partition_reader import PartitionReader


@dataclass(frozen=True, slots=True, order=True)
class DeadPlace:
    """Where a dead letter lies; its text is `topic:partition:offset`."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place that a text names.

        >>> str(DeadPlace.parse("news.raw.dead:0:7"))
        'news.raw.dead:0:7'
        """
        topic, _, rest = text.partition(":")
        partition, _, offset = rest.partition(":")
        if not (topic and partition.isdecimal() and offset.isdecimal()):
            raise ConfigError(f"{text!r} is no place of a dead letter: write TOPIC.dead:PARTITION:OFFSET, as `dead list` does")
        return cls(topic, int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


class DeadReader:
    """Reads dead-letter topics; commits nothing."""

    def __init__(self, settings: Settings) -> None:
        self._reader = PartitionReader(settings)
        self._next: dict[Place, int] = {}
        self.older = False  # whether `fresh` has left letters out

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()

    def fresh(self, most: int | None) -> Iterator[tuple[str, DeadLetter]]:
        """The letters of all topics that came since the last call: the newest `most` of each partition. Other messages are left out."""
        for place, (begin, end) in self._reader.bounds(topic.dead for topic in ALL).items():
            begin = self._next.get(place, begin)
            if most is not None and end - begin > most:
                begin, self.older = end - most, True
            for found, letter in self._letters(place, begin, end):
                yield str(found), letter
            self._next[place] = end

    def after(self, topic: str, offsets: Mapping[Place, int]) -> tuple[list[DeadLetter], dict[Place, int]]:
        """The topic's letters from `offsets` on (0 where it names none), and the offsets to go on from."""
        letters: list[DeadLetter] = []
        onward = dict(offsets)
        for place, (_, end) in self._reader.bounds([topic]).items():
            begin = onward.get(place, 0)
            if begin < end:
                letters += [letter for _, letter in self._letters(place, begin, end)]
                onward[place] = end
        return letters, onward

    def read(self, text: str) -> DeadLetter:
        """The letter at a place; `ConfigError` where there is none."""
        place = DeadPlace.parse(text)
        for message in self._reader.messages((place.topic, place.partition), place.offset, place.offset + 1):
            return from_message(message.value, message.key, message.headers)
        raise ConfigError(f"there is no dead letter at {place}; see `groundswell dead list`")

    def _letters(self, place: Place, begin: int, end: int) -> Iterator[tuple[DeadPlace, DeadLetter]]:
        for message in self._reader.messages(place, begin, end):
            try:
                yield DeadPlace(*place, message.offset), from_message(message.value, message.key, message.headers)
            except InvalidRecord:
                continue
