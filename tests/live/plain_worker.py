"""A worker of one stage with a table, on our transport: it writes each id that it has worked off to a file, and can be given a fault.

`python -m tests.live.plain_worker BROKER FOLDER NAME [FAULT]`; the folder holds what workers share: ledger and ids.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import faust

from alerts.database import open_engine
from alerts.migrate import upgrade
from core import log
from core.settings import Settings
from streams import app as ours
from streams.batches import BatchRunner, Stage
from streams.ledger import Ledger
from streams.messages import Received, Worked
from streams.sender import Sender
from streams.stalls import TICK_S, StallWatch
from streams.tables import StateTable
from streams.transport import Transport

STAGE = "score_texts"
STALL_S = 20.0


def build(settings: Settings, folder: Path, name: str, fault: str) -> faust.App:
    """The app: what `streams/app.py` puts around a stage, around one that only remembers."""
    app = ours._faust_app(settings)
    sender = Sender(app, partitions=settings.partitions)
    ledger = open_shared(folder)
    runner = BatchRunner(app, ledger, sender, max_dead_ratio=1.0)
    app.transport = Transport(app.conf.broker_consumer, app, fetch_wait_ms=100, settled=runner.settled)
    table = StateTable(app, sender, "seen", partitions=settings.partitions)
    ours._register(app, runner, Stage(STAGE, _remember(folder / f"{name}.ids", table, fault), 64, table=table))
    app.on_partitions_revoked.connect(runner.give_away)
    app.on_partitions_assigned.connect(runner.take_over)
    app.timer(5.0)(runner.read_missing_ends)
    app.timer(TICK_S)(StallWatch(app, runner, limit_s=STALL_S).tick)
    if fault == "commits nothing":
        app.transport.Consumer.commit = _commit_nothing
    return app


def open_shared(folder: Path) -> Ledger:
    """The ledger of all workers on the folder."""
    engine = open_engine(f"sqlite:///{folder / 'ledger.sqlite'}")
    upgrade(engine)
    return Ledger(engine, epoch="test")


def _remember(file: Path, table: StateTable, fault: str) -> Callable[[Sequence[Received]], Any]:
    output = file.open("ab", buffering=0)

    async def work(batch: Sequence[Received]) -> Worked:
        if fault == "raises" and any(message.value.endswith(b"7") for message in batch):
            raise RuntimeError("the fault")
        if fault == "hangs" and batch[-1].offset > 10:
            await asyncio.Event().wait()
        for message in batch:
            table.put(message.partition, message.value.decode(), b"1")
        output.write(b"".join(message.value + b"\n" for message in batch))
        return Worked(absorbed=list(batch))

    return work


async def _commit_nothing(_self: Any, *_: Any, **__: Any) -> bool:
    return False


def main(broker: str, folder: str, name: str, fault: str = "") -> None:
    """Run until told to stop."""
    log.configure(level="INFO")
    settings = Settings(broker=broker, data=Path(folder) / name)
    settings.data.mkdir(exist_ok=True)
    app = build(settings, Path(folder), name, fault)
    faust.Worker(
        app, override_logging=False, loglevel=None, redirect_stdouts=False, quiet=True, daemon=True
    ).execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:])
