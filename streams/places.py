"""How far each stage has come in each partition of this worker: what is next, what is settled, and what Faust has skipped."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP

from core import log
from core.errors import Retryable
from streams.backlog import readers_of
from streams.continuity import Continuity, Verdict
from streams.ledger import Ledger, Tally
from streams.messages import Place, Received

_Key = tuple[str, str, int]  # stage, topic, partition
_log = log.get(__name__)


class Places:
    """The partitions of one Faust app's worker. `is_current` tells whether those of a generation of the group are still its own.

    With `fresh_broker`, one that was made for this run, a partition without a ledger row begins at offset 0, and the ledger's rows are
    its own.
    """

    def __init__(self, app: Any, ledger: Ledger, is_current: Callable[[int], bool], *, fresh_broker: bool) -> None:
        self._app = app
        self._ledger = ledger
        self._is_current = is_current
        self._fresh_broker = fresh_broker
        self._partitions: dict[_Key, Continuity] = {}
        self._done: dict[_Key, int] = {}
        self._arrived: dict[_Key, float] = {}
        self._still: dict[_Key, int] = {}

    def forget(self) -> None:
        """Know nothing: partitions move."""
        for known in (self._partitions, self._done, self._arrived, self._still):
            known.clear()

    async def judge(self, stage: str, message: Received) -> Verdict:
        """What to do with a message; `Retryable` where it takes a ledger or a broker that is away."""
        partition = self._partition(stage, message.topic, message.partition)
        if partition.expected is None:
            await self._begin(partition, TP(message.topic, message.partition))
        return partition.judge(message.offset)

    def follow(self, stage: str, run: Sequence[Received]) -> bool:
        """Whether a run of one partition's messages simply goes on where the stage was: it has arrived then, and is to be worked off."""
        first, last = run[0], run[-1]
        known = self._partitions.get((stage, first.topic, first.partition))
        whole = last.offset - first.offset + 1 == len(run)
        if known is None or not whole or not known.follows(first.offset, last.offset + 1):
            return False
        self.note_arrival(stage, last)
        return True

    def note_arrival(self, stage: str, message: Received) -> None:
        """The stage has taken a message in."""
        self._arrived[stage, message.topic, message.partition] = time.monotonic()

    async def read_again(self, stage: str, message: Received) -> None:
        """Seek back to what is missing before a message."""
        expected = self._partition(stage, message.topic, message.partition).expected
        assert expected is not None, "a hole lies behind what was expected"
        place = {"stage": stage, "topic": message.topic, "partition": message.partition}
        _log.warning("hole_read_again", **place, expected=expected, found=message.offset)
        await self._rewind(TP(message.topic, message.partition), expected)

    def note_missed(self, stage: str) -> None:
        """The stage has passed messages over: a hole that it meets is of its own making, however often it does."""
        for (name, *_), partition in self._partitions.items():
            if name == stage:
                partition.missed()

    def note_settled(self, stage: str, tallies: Mapping[Place, Mapping[int, Tally]]) -> None:
        """The ledger has counted these offsets."""
        for (topic, number), found in tallies.items():
            key = (stage, topic, number)
            self._done[key] = max(self._done.get(key, 0), max(found) + 1)

    async def read_missing_ends(self, busy: Collection[str]) -> None:
        """Seek back where a stage that is not `busy` has not come to the end of a partition since the last call.

        A hole at a partition's end shows by no later message. Call it every few seconds; while ledger or broker is away, partitions move or
        tables are recovered, it does nothing. Nor where a stage is held up by a slower one: what it lacks is on its way.
        """
        if self._app.rebalancing or self._app.in_recovery or self._app.consumer.waits_for_room:
            self._still.clear()
            return
        try:
            await self._read_missing_ends(busy)
        except Retryable as error:
            _log.warning("ends_not_checked", error=str(error))

    async def _read_missing_ends(self, busy: Collection[str]) -> None:
        generation = self._app.consumer_generation_id
        for place in self._app.consumer.assignment():
            for stage in (name for name in readers_of(place.topic) if name not in busy):
                key = (stage, place.topic, place.partition)
                partition = self._partition(*key)
                await self._begin(partition, place)
                if not self._is_current(generation):
                    return
                expected, end = partition.expected, self._app.consumer.highwater(place)
                if expected is None or end is None or end <= expected:
                    self._still.pop(key, None)
                elif self._still.get(key) == expected:
                    _log.warning(
                        "end_read_again", stage=stage, topic=place.topic, partition=place.partition, expected=expected, end=end
                    )
                    await self._rewind(place, expected)
                    del self._still[key]
                else:
                    self._still[key] = expected

    async def _rewind(self, place: TP, offset: int) -> None:
        """Seek back; what lies in agents' queues already comes to each of them twice."""
        readers = [self._partition(stage, place.topic, place.partition) for stage in readers_of(place.topic)]
        for reader in readers:
            reader.sought(offset)
        generation = self._app.consumer_generation_id
        await self._app.consumer.rewind(place, offset)
        if self._is_current(generation) and (end := self._app.consumer.highwater(place)) is not None:
            for reader in readers:
                reader.sought(offset, end)

    def settled(self, place: TP) -> int | None:
        """The offset up to which every stage that reads the partition has worked it off; None where one cannot tell."""
        offsets = [self._done.get((stage, place.topic, place.partition)) for stage in readers_of(place.topic)]
        return None if None in offsets else min((offset for offset in offsets if offset is not None), default=None)

    def worked_to(self, stage: str, place: Place) -> int | None:
        """The offset up to which a stage has worked a partition off, as this worker or the ledger knows; None where neither does."""
        done = self._done.get((stage, *place))
        if done is not None:
            return done
        settled = self._settled(stage, *place)
        return None if settled is None else settled + 1

    def arrived_s(self, stage: str, place: Place) -> float | None:
        """When the stage last took a message of the partition in, by the monotonic clock; None where it has not."""
        return self._arrived.get((stage, *place))

    async def _begin(self, partition: Continuity, place: TP) -> None:
        """Let a partition of which neither a message nor the ledger tells begin at the committed offset, or where the log begins.

        A stage that holds all its messages has no row yet, and its partition no commit: what Faust skips then would show nowhere.
        """
        if partition.next_offset() is None:
            partition.expected = self._app.consumer._committed_offset.get(place) or await self._earliest(place)

    async def _earliest(self, place: TP) -> int:
        try:
            found: dict[TP, int] = await self._app.consumer.earliest_offsets(place)
        except KafkaError as error:
            raise Retryable(f"the broker does not tell where {place.topic} begins: {error}") from error
        return found[place]

    def _partition(self, stage: str, topic: str, number: int) -> Continuity:
        key = (stage, topic, number)
        if key not in self._partitions:
            self._partitions[key] = Continuity(partial(self._settled, *key), once=self._fresh_broker)
        return self._partitions[key]

    def _settled(self, stage: str, topic: str, number: int) -> int | None:
        settled = self._ledger.settled(stage, topic, number)
        return -1 if settled is None and self._fresh_broker else settled
