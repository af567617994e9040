"""State tables: bytes by key, in RocksDB, backed by a compacted changelog topic; Faust's tables, written a batch at a time."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import rocksdict
from faust.types import TP

from core import log
from streams.changelog import MARK_KEY, Log, Message, mark_of, named_by
from streams.merge import STATE_KEY

# Faust's defaults reserve 64 MB × 3 of write buffer and up to 2 GB of cache per table and partition; 16 of those outgrow a machine.
_ROCKS_OPTIONS = {
    "write_buffer_size": 4 * 1024**2,
    "max_write_buffer_number": 2,
    "target_file_size_base": 16 * 1024**2,
    "block_cache_size": 8 * 1024**2,
    "block_cache_compressed_size": 0,
    "max_open_files": 64,
}
# Longer than it takes to meet what a former owner wrote, so that compaction leaves no void value as the only one of its key
_CHANGELOG = {"min.compaction.lag.ms": "300000"}
Changes = dict[int, dict[bytes, bytes | None]]
_log = log.get(__name__)


class NotOurs(Exception):
    """The partition of a table is another worker's now, or was given away: nothing was saved of it."""


@dataclass(slots=True)
class Held:
    """A partition that is this worker's to write: the offset of its mark, and of the last message that its file holds."""

    mark: int
    tip: int


class StateTable:
    """A table whose partitions are those of the topics that feed it. A partition is taken over (`take_over`) before it is used.

    Changes are seen by `get` at once and written by `save`: first to the changelog, then, in one step with the offset up to which the
    changelog is there, to RocksDB. So after a kill the file is never ahead of the changelog, from which it is brought up to date. The
    key of a partition's `state` is the last of a save: whoever recovers it has all that was saved before.

    Faust's own writes (`table[key] = value`) make a message and a future each, 250 µs, only under a current event, and write
    RocksDB before the changelog has the change. Declaring tables and assigning their partitions are Faust's.
    """

    def __init__(self, app: Any, changelogs: Log, name: str, *, partitions: int) -> None:
        self._changelogs = changelogs
        self._changes: Changes = {}
        self._held: dict[int, Held] = {}
        self._table = app.Table(
            name, key_type=bytes, value_type=bytes, partitions=partitions, options=_ROCKS_OPTIONS, extra_topic_configs=_CHANGELOG
        )

    @property
    def topic(self) -> str:
        """The changelog's."""
        name: str = self._table.changelog_topic_name
        return name

    def get(self, partition: int, key: str) -> bytes | None:
        """The value, or None."""
        return self._get(partition, key.encode())

    def put(self, partition: int, key: str, value: bytes) -> None:
        """Set the value, here at once and for good with `save`."""
        self._changes.setdefault(partition, {})[key.encode()] = value

    def delete(self, partition: int, key: str) -> None:
        """Forget the key; nothing where it is not there."""
        self._changes.setdefault(partition, {})[key.encode()] = None

    def state(self, partition: int) -> bytes | None:
        """What the stage keeps for a partition as a whole."""
        return self._get(partition, STATE_KEY)

    def put_state(self, partition: int, value: bytes) -> None:
        """Set that, behind all changes so far."""
        changes = self._changes.setdefault(partition, {})
        changes.pop(STATE_KEY, None)
        changes[STATE_KEY] = value

    def items(self, partition: int) -> Iterator[tuple[str, bytes]]:
        """All keys and values of a partition."""
        changes = self._changes.get(partition, {})
        for key, value in {**dict(self._database(partition).items()), **changes}.items():
            if value is not None and key not in self._own_keys:
                yield key.decode(), value

    def part(self, partition: int, begin: bytes, size: int) -> tuple[list[tuple[str, bytes]], bytes | None]:
        """The next `size` saved values from the key `begin` on, as they are now; and where the next part begins, None at the end."""
        changes, found = self._changes.get(partition, {}), []
        rows = self._database(partition).items(from_key=begin)
        key = None
        for key, saved in islice(rows, size):
            value = changes.get(key, saved)
            if value is not None and key not in self._own_keys:
                found.append((key.decode(), value))
        return found, None if key is None else key + b"\0"

    def changes(self) -> Changes:
        """A copy of what is not saved yet, for `give_up`."""
        return {partition: dict(changes) for partition, changes in self._changes.items()}

    def give_up(self, changes: Changes) -> None:
        """Give up all changes that were made since `changes` was asked for."""
        self._changes = changes

    async def save(self) -> None:
        """Return once the changes are in the changelog and in RocksDB; `Retryable` where the broker did not take them.

        `NotOurs` where a partition has been given away, or another worker's mark lies before them.
        """
        for partition, changes in list(self._changes.items()):
            held = self._held.get(partition)
            if held is None:
                raise NotOurs(f"{self.topic}/{partition} was given away")
            pending = changes
            while pending:
                appended = await self._append(partition, held, pending)
                alien = await self._alien_keys(partition, held, appended, len(pending))
                if self._held.get(partition) is not held:
                    raise NotOurs(f"{self.topic}/{partition} was given away in a save")
                self._write(partition, pending, appended[-1])
                held.tip = appended[-1]
                pending = {key: self._get(partition, key) for key in alien}
            del self._changes[partition]

    def let_go(self) -> None:
        """Write no partition any more until it is taken over."""
        self._held.clear()

    async def mark(self, partition: int) -> range:
        """Append this worker's mark to the changelog; what of it the file lacks, up to the mark."""
        self._held.pop(partition, None)
        tip = self._database(partition).get(self._table.data.offset_key)
        mark = (await self._changelogs.append(self.topic, partition, [(MARK_KEY, b"", ())]))[-1]
        return range(0 if tip is None else int(tip) + 1, mark + 1)

    def restore(self, partition: int, messages: Sequence[Message]) -> None:
        """Bring the file up to date by the next messages of the changelog that it lacks; what is void is left out."""
        newest = int(self._database(partition).get(MARK_KEY) or -1)
        valid: dict[bytes, bytes | None] = {}
        for message in messages:
            if message.key == MARK_KEY:
                newest = message.offset
            elif mark_of(message.headers) >= newest:
                valid[message.key] = message.value
        if messages:
            self._write(partition, {**valid, MARK_KEY: b"%d" % newest}, messages[-1].offset)

    def hold(self, partition: int, mark: int) -> None:
        """The file holds all up to this worker's mark: the partition may be used."""
        self._held[partition] = Held(mark, mark)

    async def _append(self, partition: int, held: Held, changes: Mapping[bytes, bytes | None]) -> range:
        headers = named_by(held.mark)
        return await self._changelogs.append(self.topic, partition, [(key, value, headers) for key, value in changes.items()])

    async def _alien_keys(self, partition: int, held: Held, appended: range, count: int) -> set[bytes]:
        """The keys that a former owner has written between our last save and the end of this one; `NotOurs` where it is a new owner.

        Where a send was repeated since its answer was lost, our own messages lie there too.
        """
        if appended.start == held.tip + 1 and len(appended) == count:
            return set()
        place, alien = TP(self.topic, partition), set[bytes]()
        async with aclosing(self._changelogs.read({place: range(held.tip + 1, appended.stop)})) as parts:  # type: ignore[type-var]
            async for _, messages in parts:
                if any(message.key == MARK_KEY for message in messages):
                    raise NotOurs(f"{self.topic}/{partition} was taken over by another worker")
                alien |= {message.key for message in messages if mark_of(message.headers) != held.mark}
        if alien:
            _log.warning("former_owner_wrote", topic=self.topic, partition=partition, keys=len(alien))
        return alien

    def _write(self, partition: int, changes: Mapping[bytes, bytes | None], tip: int) -> None:
        """Write values to the file, in one step with the offset up to which it holds the changelog."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(self._table.data.offset_key, str(tip).encode())
        self._database(partition).write(batch)

    def _get(self, partition: int, key: bytes) -> bytes | None:
        changes = self._changes.get(partition)
        if changes is not None and key in changes:
            return changes[key]
        value: bytes | None = self._database(partition).get(key)
        return value

    @property
    def _own_keys(self) -> tuple[bytes, ...]:
        return STATE_KEY, MARK_KEY, self._table.data.offset_key

    def _database(self, partition: int) -> Any:
        """Faust's RocksDB of a partition."""
        return self._table.data._db_for_partition(partition)


async def take_over(changelogs: Log, partitions: Mapping[TP, StateTable]) -> AsyncIterator[int]:
    """Take partitions of tables over, by their changelogs' partitions: each is marked, read up to its mark, and held.

    Yields how many messages were applied, part by part. `Retryable` where the broker does not answer; what was applied stays so.
    """
    spans = {place: await table.mark(place.partition) for place, table in partitions.items()}
    async with aclosing(changelogs.read(spans)) as parts:  # type: ignore[type-var]
        async for place, messages in parts:
            partitions[place].restore(place.partition, messages)
            if messages and messages[-1].offset == spans[place][-1]:
                partitions[place].hold(place.partition, spans[place][-1])
            yield len(messages)
