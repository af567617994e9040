"""Reading ranges of partitions outside of the worker; nothing is committed."""

from collections.abc import Iterable, Iterator
from typing import Any, Self

import kafka
from kafka.errors import KafkaError

from core.errors import ConfigError, Retryable
from core.settings import Settings
from streams.kafka_client import MAX_REQUEST_BYTES, connection
from streams.messages import Place, Received

_POLL_MS = 2_000
_SILENT_POLLS = 15  # a broker that hands nothing out for half a minute does not answer
_ANSWER_MS = 30_000


class PartitionReader:
    """One connection that reads partitions, one after the other."""

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

    def bounds(self, topics: Iterable[str]) -> dict[Place, tuple[int, int]]:
        """By topic and partition, the first offset that is kept and the one behind the last; topics that are not there are left out."""
        try:
            places = [
                kafka.TopicPartition(topic, number)
                for topic in topics
                for number in sorted(self._consumer.partitions_for_topic(topic) or ())
            ]
            begins = self._consumer.beginning_offsets(places, timeout_ms=_ANSWER_MS)
            ends = self._consumer.end_offsets(places, timeout_ms=_ANSWER_MS)
        except KafkaError as error:
            raise Retryable(f"the broker does not tell its offsets: {error}") from error
        return {(place.topic, place.partition): (begins[place], ends[place]) for place in places}

    def messages(self, place: Place, begin: int, end: int) -> Iterator[Received]:
        """The messages of a partition from `begin` to before `end`, as far as it holds them; `Retryable` where it does not answer."""
        partition = kafka.TopicPartition(*place)
        kept = self.bounds([place[0]]).get(place, (0, 0))
        begin, end = max(begin, kept[0]), min(end, kept[1])
        if begin >= end:
            return
        try:
            self._consumer.assign([partition])
            self._consumer.seek(partition, begin)
            yield from self._polled(partition, end)
        except KafkaError as error:
            raise Retryable(f"{place[0]} cannot be read: {error}") from error

    def _polled(self, partition: Any, end: int) -> Iterator[Received]:
        silent = 0
        while self._consumer.position(partition) < end:  # it passes over offsets without messages too
            polled = self._consumer.poll(timeout_ms=_POLL_MS).get(partition, [])
            silent = 0 if polled else silent + 1
            if silent == _SILENT_POLLS:
                raise Retryable(f"{partition.topic}: the broker does not hand out what lies before its end")
            for each in polled:
                if each.offset < end:
                    yield Received(
                        each.topic,
                        each.partition,
                        each.offset,
                        each.key,
                        each.value or b"",
                        each.timestamp / 1000.0,
                        tuple(each.headers),
                    )
