"""A worker as Faust's documentation shows it, on Faust's own transport: the control for `plain_worker.py`, with the same faults.

`python -m tests.live.plain_faust BROKER FOLDER NAME [FAULT]` writes each id to a file when it has worked it off.
"""

import sys
from pathlib import Path
from typing import Any

import faust
from faust.tables.manager import TableManager

from core.settings import Settings
from core.topics import NEWS_RAW
from streams import app as ours
from tests.live.plain_worker import main


def build(settings: Settings, folder: Path, name: str, fault: str) -> faust.App:
    """The app: Faust's transport, agents, table, recovery and acks, with our settings of the client."""
    app = ours._faust_app(settings)
    app.conf.TableManager = TableManager
    app.conf.stream_buffer_maxsize = 4096  # Faust's own: here an event is a message, and not a run
    source = app.topic(NEWS_RAW.name, value_serializer="raw", value_type=bytes, key_serializer="raw", key_type=bytes)
    output = (folder / f"{name}.ids").open("ab", buffering=0)
    seen = app.Table("seen", key_type=str, value_type=str, partitions=settings.partitions)

    async def one_by_one(stream: Any) -> None:
        async for value in stream:
            seen[value.decode()] = "1"
            output.write(value + b"\n")

    async def batches_that_raise(stream: Any) -> None:
        async for batch in stream.take(64, within=0.5):
            if any(value.endswith(b"7") for value in batch):
                raise RuntimeError("the fault")
            output.write(b"".join(value + b"\n" for value in batch))

    async def batches(stream: Any) -> None:
        async for events in stream.noack_take(64, within=0.05):
            output.write(b"".join(event.value + b"\n" for event in events))
            for event in events:
                await stream.ack(event)

    app.agent(source, name="remember")({"raises": batches_that_raise, "acks itself": batches}.get(fault, one_by_one))
    return app


if __name__ == "__main__":
    main(build, *sys.argv[1:])
