"""What travels between the transaction stages: parcels of steps, and the watermarks of where they come from.

A step is a payment or a label on its way. Its source is a partition that one worker at a time reads (`transactions.raw/2`); its
number rises within the source, so that a step that is sent twice, after a restart, is known by its number.

None of them can be part of a cycle; untracked by the garbage collector (`gc=False`), thousands that are held cost it nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import inf
from zlib import crc32

import msgspec

from core.errors import InvalidRecord
from core.records import Label, Transaction
from core.topics import Topic
from streams.messages import Outgoing

_MAX_BYTES = 200_000  # of steps in a parcel; brokers take 1 MB a message, and the embedded one keeps 5 MB a partition
Key = tuple[float, int, str, int]


class Mark(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a source promises: nothing before `time_s` comes any more but what is late. `high_s` is the latest event time it has seen."""

    source: str
    time_s: float = -inf
    high_s: float = -inf


class Step(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`source` is a place among the parcel's marks; `partition` and `offset` tell which raw message the step was."""

    source: int
    number: int
    partition: int
    offset: int


class Payment(Step, frozen=True, array_like=True, gc=False, tag="payment"):
    """A payment; past the customer's stage with the customer's history, as `models.fraud.history.Ring.encode` gives it.

    `ratio` tells how unusual its amount is for the customer (`models.fraud.usual.ratios`).
    """

    transaction: Transaction
    customer_ring: bytes = b""
    ratio: float = 0.0

    @property
    def key(self) -> Key:
        """Its place in the order in which steps are worked off."""
        return self.transaction.time.timestamp(), 1, self.transaction.id, 0


class LooseLabel(Step, frozen=True, array_like=True, gc=False, tag="label"):
    """A label that does not know yet to which customer and terminal it belongs."""

    label: Label

    @property
    def key(self) -> Key:
        """Labels come before the payments of their very time."""
        return self.label.time.timestamp(), 0, self.label.transaction_id, 0


class Place(Step, frozen=True, array_like=True, gc=False, tag="place"):
    """Which customer and terminal a payment belongs to, and its time."""

    transaction_id: str
    customer_id: str
    terminal_id: str
    time_s: float

    @property
    def key(self) -> Key:
        """That of its payment."""
        return self.time_s, 1, self.transaction_id, 0


class PlacedLabel(Step, frozen=True, array_like=True, gc=False, tag="placed"):
    """A label that knows where it belongs; `paid_s` is the time of its payment."""

    label: Label
    customer_id: str
    terminal_id: str
    paid_s: float

    @property
    def key(self) -> Key:
        """That of a label; right behind its payment where it is from no later time than that."""
        time_s, name = self.label.time.timestamp(), self.label.transaction_id
        return (time_s, 0, name, 0) if time_s > self.paid_s else (self.paid_s, 1, name, 1)


AnyStep = Payment | LooseLabel | Place | PlacedLabel


class Parcel(msgspec.Struct, frozen=True, array_like=True):
    """Steps for one partition, and what their sources promise once these have been taken in."""

    marks: tuple[Mark, ...]
    steps: tuple[msgspec.Raw, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_parcel_decoder = msgspec.msgpack.Decoder(Parcel)
_step_decoder = msgspec.msgpack.Decoder(AnyStep)


def decode_parcel(raw: bytes) -> Parcel:
    """The parcel in a message, its steps still encoded; `InvalidRecord` where there is none."""
    try:
        return _parcel_decoder.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidRecord(f"not a parcel between transaction stages: {error}") from error


def decode_step(raw: msgspec.Raw, marks: Sequence[Mark]) -> AnyStep:
    """One step of a parcel; `InvalidRecord` where there is none, or its source is not among the marks."""
    try:
        step: AnyStep = _step_decoder.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidRecord(f"not a step between transaction stages: {error}") from error
    if not 0 <= step.source < len(marks):
        raise InvalidRecord(f"the step's source {step.source} is none of the parcel's {len(marks)}")
    return step


class StepCount:
    """Counts the records of one partition's parcels from its beginning on as its merge does: a step that comes again by its number not."""

    def __init__(self) -> None:
        self.total = 0
        self._numbers: dict[str, int] = {}

    def take(self, raw: bytes) -> None:
        """Count a message; one that is no parcel, or a step that is none, is a dead letter and so a record."""
        try:
            parcel = decode_parcel(raw)
        except InvalidRecord:
            self.total += 1
            return
        for each in parcel.steps:
            try:
                step = decode_step(each, parcel.marks)
            except InvalidRecord:
                self.total += 1
                continue
            source = parcel.marks[step.source].source
            if step.number > self._numbers.get(source, -1):
                self._numbers[source] = step.number
                self.total += 1


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key on the topics that the worker writes.

    CRC-32 is in C, unlike aiokafka's murmur2 (7 µs a key). Tables and topics agree because every message that feeds a table is
    placed by this function; what others send to the raw topics may be placed in any way.

    >>> partition_of(b"C1", 4) == partition_of(b"C1", 4)
    True
    """
    return crc32(key) % partitions


class Parcels:
    """Parcels being filled, one or more for each partition of a topic; every partition gets the marks."""

    def __init__(self, topic: Topic, partitions: int) -> None:
        self._topic = topic
        self._steps: list[list[bytes]] = [[] for _ in range(partitions)]

    def add(self, key: str, step: AnyStep) -> None:
        """Put a step into the parcel of its key's partition."""
        self._steps[partition_of(key.encode(), len(self._steps))].append(_encoder.encode(step))

    def messages(self, marks: Iterable[Mark], *, always: bool) -> Iterator[Outgoing]:
        """The parcels as messages; `always` sends the marks also where there are no steps.

        Where steps need several parcels, only the last one promises anything.
        """
        told = tuple(marks)
        silent = tuple(Mark(mark.source, high_s=mark.high_s) for mark in told)
        for partition, steps in enumerate(self._steps):
            parts = list(_parts(steps))
            for place, part in enumerate(parts):
                parcel = Parcel(told if place == len(parts) - 1 else silent, tuple(map(msgspec.Raw, part)))
                yield Outgoing(self._topic.name, _encoder.encode(parcel), partition=partition)
            if always and not parts:
                yield Outgoing(self._topic.name, _encoder.encode(Parcel(told)), partition=partition)


def _parts(steps: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """The steps in runs of at most `_MAX_BYTES`, or one step."""
    begin = size = 0
    for place, step in enumerate(steps):
        if size + len(step) > _MAX_BYTES and place > begin:
            yield steps[begin:place]
            begin, size = place, 0
        size += len(step)
    if begin < len(steps):
        yield steps[begin:]
