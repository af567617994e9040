"""The changelog of a table's partition: who may write it, and what of it holds.

While partitions move two workers can take one for theirs: the old one may be slow to notice, with writes on their way. So whoever takes a
partition over first appends a mark, reads the changelog up to it, and names its mark, by the offset, in all that it appends. What names a
mark behind which there is a newer one is void: its writer had lost the partition (a fencing token, kept in the log itself, as Kafka's own
fencing costs a transaction a save). The new owner meets what is void in front of its next save, and writes its own values over it, so
that compaction, which spares what is younger than five minutes, does not keep the void ones.

Faust 0.15.3 restores tables by the consumer that feeds its agents: through pauses, a queue that is cleared when partitions move, and
offsets that go on behind what was dropped. Here a consumer of its own reads the span that is missing, once.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from core.errors import Retryable
from streams.sender import Record, Sender

MARK_KEY = b"\xff mark"  # of a mark in the changelog, and of the newest one's offset in a table's file; never the UTF-8 of a key
_HEADER = "mark"
_SILENT_POLLS = 20
_POLL_MS = 500
_FETCH_BYTES = 1_000_000  # of a partition at once


class Message(Protocol):
    """What is read of a changelog message."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Log(Protocol):
    """The changelogs' topics, as tables write and read them."""

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> range:
        """Append records in their order; the offsets from the first to the last. `Retryable` where the broker did not take them."""
        ...

    def read(self, spans: Mapping[TP, range]) -> AsyncIterator[tuple[TP, Sequence[Message]]]:
        """What partitions hold of spans, in parts, each partition in order; `Retryable` where the broker does not hand it out."""
        ...


def named_by(mark: int) -> tuple[tuple[str, bytes], ...]:
    """The headers of a message whose writer has taken the partition over with the mark at this offset.

    >>> mark_of(named_by(17)), mark_of(())
    (17, -1)
    """
    return ((_HEADER, b"%d" % mark),)


def mark_of(headers: Sequence[tuple[str, bytes]]) -> int:
    """The mark that a message names; -1 where it names none."""
    return next((int(value) for name, value in headers if name == _HEADER), -1)


class Changelogs:
    """The changelogs on a broker."""

    def __init__(self, sender: Sender, brokers: Sequence[str], *, fetch_wait_ms: int) -> None:
        self._sender = sender
        self._brokers = list(brokers)
        self._fetch_wait_ms = fetch_wait_ms

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> range:
        """As `Sender.append`."""
        return await self._sender.append(topic, partition, records)

    async def read(self, spans: Mapping[TP, range]) -> AsyncIterator[tuple[TP, Sequence[Any]]]:
        """What partitions hold of spans; the last offset of each must be that of a message which is there."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._brokers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=self._fetch_wait_ms,
            max_partition_fetch_bytes=_FETCH_BYTES,
        )
        try:
            await consumer.start()
            places = {TopicPartition(*place): span for place, span in spans.items()}
            consumer.assign(list(places))
            for place, span in places.items():
                consumer.seek(place, span.start)
            async for part in _read(consumer, places):
                yield part
        except KafkaError as error:
            raise Retryable(f"the broker does not hand out a table's changelog: {error}") from error
        finally:
            await consumer.stop()


async def _read(consumer: Any, left: dict[TopicPartition, range]) -> AsyncIterator[tuple[TP, Sequence[Any]]]:
    silent = 0
    while left:
        found = await consumer.getmany(*left, timeout_ms=_POLL_MS)
        silent = 0 if found else silent + 1
        if silent == _SILENT_POLLS:
            raise Retryable(f"the broker hands out nothing of {', '.join(sorted({place.topic for place in left}))}")
        for place, messages in found.items():
            end = left[place].stop
            yield TP(*place), [message for message in messages if message.offset < end]
            if messages[-1].offset >= end - 1:
                del left[place]
                consumer.pause(place)
