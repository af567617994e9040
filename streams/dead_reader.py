"""Reading dead letters back from their topics, outside of the worker."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import kafka
from kafka.errors import KafkaError

from core.errors import ConfigError, InvalidRecord, Retryable
from core.records import DeadLetter
from core.settings import Settings
from streams.dead_letters import from_message
from streams.kafka_client import MAX_REQUEST_BYTES, connection

_POLL_MS = 2_000


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
    """Reads dead-letter topics from their beginning; commits nothing."""

    def __init__(self, settings: Settings) -> None:
        try:
            self._consumer = kafka.KafkaConsumer(
                **connection(settings), enable_auto_commit=False, max_partition_fetch_bytes=MAX_REQUEST_BYTES
            )
        except KafkaError as error:
            raise ConfigError(f"no Kafka broker answers at {settings.broker} ({error}); check --broker") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def newest(self, topics: Iterable[str], limit: int | None = None) -> list[tuple[str, DeadLetter]]:
        """The newest letters of the topics, newest first; all without `limit`. Messages that are no dead letters are left out."""
        found: list[tuple[DeadPlace, DeadLetter]] = []
        for topic in topics:
            for partition in sorted(self._consumer.partitions_for_topic(topic) or ()):
                found += self._partition(topic, partition, limit)
        found.sort(key=lambda pair: pair[1].time, reverse=True)
        return [(str(place), letter) for place, letter in found[:limit]]

    def after(self, topic: str, offsets: Mapping[tuple[str, int], int]) -> tuple[list[DeadLetter], dict[tuple[str, int], int]]:
        """The topic's letters from `offsets` on (0 where it names none), and the offsets to go on from."""
        letters: list[DeadLetter] = []
        onward = dict(offsets)
        for number in sorted(self._consumer.partitions_for_topic(topic) or ()):
            end = self._bounds(kafka.TopicPartition(topic, number))[1]
            begin = onward.get((topic, number), 0)
            if begin < end:
                letters += [letter for _, letter in self._partition(topic, number, end - begin)]
                onward[topic, number] = end
        return letters, onward

    def read(self, text: str) -> DeadLetter:
        """The letter at a place; `ConfigError` where there is none."""
        place = DeadPlace.parse(text)
        partition = kafka.TopicPartition(place.topic, place.partition)
        for message in self._messages(partition, place.offset, place.offset + 1):
            return from_message(message.value or b"", message.key, message.headers)
        raise ConfigError(f"there is no dead letter at {place}; see `groundswell dead list`")

    def _partition(self, topic: str, number: int, limit: int | None) -> list[tuple[DeadPlace, DeadLetter]]:
        partition = kafka.TopicPartition(topic, number)
        begin, end = self._bounds(partition)
        letters = []
        for message in self._messages(partition, begin if limit is None else max(begin, end - limit), end):
            try:
                letters.append(
                    (DeadPlace(topic, number, message.offset), from_message(message.value or b"", message.key, message.headers))
                )
            except InvalidRecord:
                continue
        return letters

    def _messages(self, partition: Any, start: int, end: int) -> list[Any]:
        """The messages of `[start, end)` that the partition holds."""
        if start >= min(end, self._bounds(partition)[1]):
            return []
        self._consumer.assign([partition])
        self._consumer.seek(partition, start)
        messages: list[Any] = []
        while not messages or messages[-1].offset < end - 1:
            polled = self._consumer.poll(timeout_ms=_POLL_MS).get(partition, [])
            if not polled:
                break
            messages += polled
        return [message for message in messages if message.offset < end]

    def _bounds(self, partition: Any) -> tuple[int, int]:
        try:
            return self._consumer.beginning_offsets([partition])[partition], self._consumer.end_offsets([partition])[partition]
        except KafkaError as error:
            raise Retryable(f"the broker does not tell the offsets of {partition.topic}: {error}") from error
