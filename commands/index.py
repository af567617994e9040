"""`groundswell index`: the index of scored events on servers."""

import asyncio
import sys
from collections.abc import Iterable
from itertools import islice

from commands import wiring
from core.errors import ConfigError
from core.settings import Settings
from core.topics import SCORED
from search.elastic_upgrade import upgrade
from streams.indexing import IndexEvents
from streams.messages import Received
from streams.partition_reader import PartitionReader

_AT_ONCE = 1_000  # messages


def upgrade_index(settings: Settings) -> None:
    """Build those indices anew that another version has made, and print their names."""
    if settings.index == "embedded":
        raise ConfigError("the embedded index is built anew from an empty folder; set index to elasticsearch", field="index")
    names = asyncio.run(upgrade(wiring.elastic_cluster(settings), settings.elasticsearch_prefix))
    for name in names:
        sys.stdout.write(f"{name}\n")
    sys.stdout.write(f"{len(names)} indices built anew\n")


def rebuild_index(settings: Settings) -> None:
    """Write all events of the scored topics to the index, and print how many there are: an event that is there stays one document."""
    wiring.check_index(settings)
    with PartitionReader(settings) as reader:
        bounds = reader.bounds(topic.name for topic in SCORED)
        messages = (message for place, (begin, end) in bounds.items() for message in reader.messages(place, begin, end))
        indexed, refused = asyncio.run(_write(settings, messages))
    gone = sum(begin for begin, _ in bounds.values())
    sys.stdout.write(f"indexed {indexed} messages of the scored topics; {refused} refused; {gone} are no longer in the topics\n")


async def _write(settings: Settings, messages: Iterable[Received]) -> tuple[int, int]:
    """How many messages were indexed, and how many could not be; marks of event time are neither."""
    index, indexed, refused = wiring.open_index(settings, writable=True), 0, 0
    work, source = IndexEvents(index), iter(messages)
    try:
        while batch := list(islice(source, _AT_ONCE)):
            worked = await work(batch)
            refused += len(worked.dead)
            indexed += len(batch) - len(worked.dead) - len(worked.absorbed)
    finally:
        await index.close()
    return indexed, refused
