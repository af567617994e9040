"""State tables: bytes by key, in RocksDB, backed by a compacted changelog topic; Faust's tables, written a batch at a time."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import rocksdict

from streams.merge import STATE_KEY
from streams.sender import Sender

# Faust's defaults reserve 64 MB × 3 of write buffer and up to 2 GB of cache per table and partition; 16 of those outgrow a machine.
_ROCKS_OPTIONS = {
    "write_buffer_size": 4 * 1024**2,
    "max_write_buffer_number": 2,
    "target_file_size_base": 16 * 1024**2,
    "block_cache_size": 8 * 1024**2,
    "block_cache_compressed_size": 0,
    "max_open_files": 64,
}
Changes = dict[int, dict[bytes, bytes | None]]


class StateTable:
    """A table whose partitions are those of the topics that feed it.

    Changes are seen by `get` at once and written by `save`: first to the changelog, then, in one step with the offset up to which the
    changelog is there, to RocksDB. So after a kill the file is never ahead of the changelog, from which Faust brings it up to date. The
    key of a partition's `state` is the last of a save: whoever recovers it has all that was saved before.

    Faust's own writes (`table[key] = value`) make a message and a future each, 250 µs, only under a current event, and write
    RocksDB before the changelog has the change. Declaring, assigning and recovering tables are Faust's.
    """

    def __init__(self, app: Any, sender: Sender, name: str, *, partitions: int) -> None:
        self._sender = sender
        self._changes: Changes = {}
        self._table = app.Table(name, key_type=bytes, value_type=bytes, partitions=partitions, options=_ROCKS_OPTIONS)

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
        saved = {key: value for key, value in self._database(partition).items() if key != self._table.data.offset_key}
        for key, value in {**saved, **changes}.items():
            if value is not None and key != STATE_KEY:
                yield key.decode(), value

    def part(self, partition: int, begin: bytes, size: int) -> tuple[list[tuple[str, bytes]], bytes | None]:
        """The next `size` saved values from the key `begin` on, as they are now; and where the next part begins, None at the end."""
        changes, found = self._changes.get(partition, {}), []
        rows = self._database(partition).items(from_key=begin)
        key = None
        for key, saved in islice(rows, size):
            value = changes.get(key, saved)
            if value is not None and key not in (STATE_KEY, self._table.data.offset_key):
                found.append((key.decode(), value))
        return found, None if key is None else key + b"\0"

    def changes(self) -> Changes:
        """A copy of what is not saved yet, for `restore`."""
        return {partition: dict(changes) for partition, changes in self._changes.items()}

    def restore(self, changes: Changes) -> None:
        """Give up all changes that were made since `changes` was asked for."""
        self._changes = changes

    async def save(self) -> None:
        """Return once the changes are in the changelog and in RocksDB; `Retryable` where the broker did not take them."""
        store, topic = self._table.data, self._table.changelog_topic_name
        for partition, changes in list(self._changes.items()):
            last = await self._sender.append(topic, partition, [(key, value, ()) for key, value in changes.items()])
            batch = rocksdict.WriteBatch(raw_mode=True)
            for key, value in changes.items():
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)
            batch.put(store.offset_key, str(last).encode())
            self._database(partition).write(batch)
            del self._changes[partition]

    def _get(self, partition: int, key: bytes) -> bytes | None:
        changes = self._changes.get(partition)
        if changes is not None and key in changes:
            return changes[key]
        value: bytes | None = self._database(partition).get(key)
        return value

    def _database(self, partition: int) -> Any:
        """Faust's RocksDB of a partition."""
        return self._table.data._db_for_partition(partition)
