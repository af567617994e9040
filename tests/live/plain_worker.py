"""A worker of one stage with a table, on our transport. It can be given a fault.

It writes each id that it has worked off to one file, and what its table should hold and does not to another.

`python -m tests.live.plain_worker BROKER FOLDER NAME [FAULT]`; the folder holds what workers share: ledger and ids.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import faust

from alerts.database import open_engine
from alerts.migrate import upgrade
from core import log
from core.settings import Settings
from core.topics import NEWS_RAW
from streams import app as ours
from streams.batches import BatchRunner, Stage
from streams.changelog import Changelogs
from streams.ledger import Ledger
from streams.messages import Received, Worked
from streams.sender import Sender
from streams.stalls import TICK_S, StallWatch
from streams.tables import StateTable
from streams.transport import Consumer, Transport

STAGE = "score_texts"
STALL_S = 20.0
_AGAIN_S = 0.3
_ASKED = 10  # messages of a batch
_SEEK_S = {"seeks late": 1.0, "seeks too late": 60.0}  # as with many partitions, and as with a broker that is busy


def build(settings: Settings, folder: Path, name: str, fault: str) -> faust.App:
    """The app: what `streams/app.py` puts around a stage, around one that only remembers."""
    app = ours._faust_app(settings)
    sender = Sender(app, partitions=settings.partitions)
    ledger = open_shared(folder)
    runner = BatchRunner(app, ledger, sender, max_dead_ratio=1.0)
    app.transport = Transport(app.conf.broker_consumer, app, fetch_wait_ms=100, settled=runner.places.settled)
    app.tables.changelogs = Changelogs(sender, settings.broker.split(","), fetch_wait_ms=100)
    table = StateTable(app, app.tables.changelogs, "seen", partitions=settings.partitions)
    ours._register(app, runner, Stage(STAGE, _remember(folder / f"{name}.ids", table, fault), 64, table=table))
    app.on_partitions_revoked.connect(runner.give_away)
    app.on_partitions_assigned.connect(runner.take_over)
    app.timer(5.0)(runner.read_missing_ends)
    app.timer(TICK_S)(StallWatch(app, runner, limit_s=STALL_S).tick)
    if fault == "reads again":
        app.timer(_AGAIN_S)(partial(_read_again, app, runner))
    if fault == "commits nothing":
        app.transport.Consumer.commit = _commit_nothing
    if fault in _SEEK_S:
        app.transport.Consumer.seek_to_committed = _late_once(_SEEK_S[fault])
        app.conf.broker_request_timeout = 11.0  # no less than that of a session
    return app


def open_shared(folder: Path) -> Ledger:
    """The ledger of all workers on the folder."""
    engine = open_engine(f"sqlite:///{folder / 'ledger.sqlite'}")
    upgrade(engine)
    return Ledger(engine, epoch="test")


def _remember(file: Path, table: StateTable, fault: str) -> Callable[[Sequence[Received]], Any]:
    output, forgotten = file.open("ab", buffering=0), file.with_suffix(".forgotten").open("ab", buffering=0)

    async def work(batch: Sequence[Received]) -> Worked:
        if fault == "raises" and any(message.value.endswith(b"7") for message in batch):
            raise RuntimeError("the fault")
        if fault == "hangs" and batch[-1].offset > 10:
            await asyncio.Event().wait()
        if fault == "reads again":
            await asyncio.sleep(_AGAIN_S / 10)  # agents' queues fill
        for message in batch:
            table.put(message.partition, str(message.offset), message.value)
        for message in batch[:_ASKED]:  # of what came before it: that its table has it, whoever had the partition then
            earlier = str(Random(message.offset).randrange(message.offset + 1))
            if table.get(message.partition, earlier) is None:
                forgotten.write(f"{message.topic}/{message.partition}/{earlier}\n".encode())
        output.write(b"".join(message.value + b"\n" for message in batch))
        return Worked(absorbed=list(batch))

    return work


async def _read_again(app: faust.App, runner: BatchRunner, *_: Any) -> None:
    """What another stage does that misses something a little before what this one has come to."""
    for place in app.consumer.assignment():
        worked_to = runner.places.worked_to(STAGE, (place.topic, place.partition))
        if place.topic == NEWS_RAW.name and worked_to is not None:
            await runner.places._rewind(place, max(worked_to - 50, 0))


async def _commit_nothing(_self: Any, *_: Any, **__: Any) -> bool:
    return False


def _late_once(seconds: float) -> Callable[[Any], Any]:
    wait = iter([seconds])

    async def seek(consumer: Any) -> Any:
        await asyncio.sleep(next(wait, 0.0))
        return await super(Consumer, consumer).seek_to_committed()

    return seek


Build = Callable[[Settings, Path, str, str], faust.App]  # broker, shared folder, name, fault


def main(build: Build, broker: str, folder: str, name: str, fault: str = "") -> None:
    """Run until told to stop."""
    log.configure(level="INFO")
    settings = Settings(broker=broker, data=Path(folder) / name)
    settings.data.mkdir(exist_ok=True)
    app = build(settings, Path(folder), name, fault)
    faust.Worker(
        app, override_logging=False, loglevel=None, redirect_stdouts=False, quiet=True, daemon=True
    ).execute_from_commandline()


if __name__ == "__main__":
    main(build, *sys.argv[1:])
