"""The embedded broker: librdkafka's mock cluster, from confluent-kafka's wheel, in this process's memory.

It keeps about 5 MB a partition and drops the oldest silently, so whoever produces to it bounds what is in flight (`backlog.py`),
and it is gone with its process, so table state is kept in RocksDB in the data folder (`forget_offsets`).
"""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import rocksdict
from confluent_kafka import Producer

from core.errors import Retryable
from streams.changelog import MARK_KEY
from streams.merge import STATE_KEY, TABLES

# The mock cluster answers ApiVersions 4 in a form that kafka-python cannot read; 2.3 is the newest version it speaks with it.
EMBEDDED_VERSION = "2.3"
_PARTITIONS = 4  # the mock cluster's own default, and what it gives every topic that it creates on demand
_OFFSET_KEY = b"__faust\0offset__"  # faust.stores.rocksdb.Store.offset_key


class EmbeddedBroker:
    """A Kafka broker on a free loopback port until closed; topics come into being, with 4 partitions, when first named."""

    partitions = _PARTITIONS

    def __init__(self) -> None:
        self._producer: Any = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "embedded", "log_level": 3})
        brokers = self._producer.list_topics(timeout=10).brokers
        if not brokers:
            raise Retryable("the embedded broker did not start; try again")
        broker = next(iter(brokers.values()))
        self.address = f"{broker.host}:{broker.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop the broker; what it holds is gone."""
        self._producer = None


def forget_offsets(tables: Path) -> int:
    """Make table files forget how far they had read a broker that is gone; the number of files treated.

    A table file remembers the last changelog offset it holds. On a fresh broker the offsets start at 0 again, and Faust refuses
    a file that claims to be ahead of its changelog. What a merge remembers of its sources are numbers of the old broker's messages too:
    it would take the new ones for messages that come again, and drop them. The histories stay.
    """
    files = sorted(path for path in tables.rglob("*.db") if path.is_dir())
    for path in files:
        table = rocksdict.Rdict(str(path), options=rocksdict.Options(raw_mode=True))
        try:
            merges = path.name.rpartition("-")[0] in TABLES.values()
            for key in (_OFFSET_KEY, MARK_KEY, *([STATE_KEY] if merges else [])):
                if table.get(key) is not None:
                    table.delete(key)
        finally:
            table.close()
    return len(files)
