"""State tables: bytes by key, in RocksDB, backed by a compacted changelog topic; written from inside a batch."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faust
import faust.streams
from aiokafka.errors import KafkaError
from faust.exceptions import ProducerSendError

from core.errors import Retryable
from streams.messages import Received

# Faust's defaults reserve 64 MB × 3 of write buffer and up to 2 GB of cache per table and partition; 16 of those outgrow a machine.
_ROCKS_OPTIONS = {
    "write_buffer_size": 4 * 1024**2,
    "max_write_buffer_number": 2,
    "target_file_size_base": 16 * 1024**2,
    "block_cache_size": 8 * 1024**2,
    "block_cache_compressed_size": 0,
    "max_open_files": 64,
}


class RecordedTable(faust.Table):
    """Faust's table, which remembers the changelog messages that are not confirmed yet. The app is built with `Table=RecordedTable`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unconfirmed: list[Any] = []

    def send_changelog(self, *args: Any, **kwargs: Any) -> Any:
        """Send a change to the changelog topic, soon."""
        sent = super().send_changelog(*args, **kwargs)
        self.unconfirmed.append(sent)
        return sent


class StateTable:
    """A table whose partitions are those of the topic that feeds it: a key is read and written under a message of its partition."""

    def __init__(self, app: Any, name: str, *, partitions: int) -> None:
        self._table = app.Table(
            name,
            key_type=bytes,
            value_type=bytes,
            partitions=partitions,
            options=_ROCKS_OPTIONS,
        )

    def get(self, message: Received, key: str) -> bytes | None:
        """The value, or None."""
        with _under(message):
            try:
                value: bytes = self._table[key.encode()]
            except KeyError:
                return None
            return value

    def put(self, message: Received, key: str, value: bytes) -> None:
        """Set the value, here at once and in the changelog soon: await `confirm` before acking `message`."""
        with _under(message):
            self._table[key.encode()] = value

    def delete(self, message: Received, key: str) -> None:
        """Forget the key; nothing where it is not there."""
        with _under(message):
            self._table.pop(key.encode(), None)

    async def confirm(self) -> None:
        """Return once the broker has every change made so far; `Retryable` where it did not take one."""
        while self._table.unconfirmed:
            try:
                await self._table.unconfirmed[0]
            except (KafkaError, ProducerSendError) as error:
                raise Retryable(f"the broker did not take a table's change: {error}") from error
            self._table.unconfirmed.pop(0)

    def items(self, message: Received) -> Iterator[tuple[str, bytes]]:
        """All keys and values of the partition that `message` came from."""
        store = self._table.data
        for key, value in store._visible_items(store._db_for_partition(message.partition)):
            yield key.decode(), value


@contextmanager
def _under(message: Received) -> Iterator[None]:
    """Make `message` Faust's current event.

    Inside `noack_take` there is none, since another task reads the stream, and Faust refuses to write a table without it (its issue
    497). The private variable is the only way in; the live tests hold it to its meaning.
    """
    token = faust.streams._current_event.set(weakref.ref(message.event))
    try:
        yield
    finally:
        faust.streams._current_event.reset(token)
