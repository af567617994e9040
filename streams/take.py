"""Batches from a Faust stream: what is there, at once, instead of what has come after a fixed wait.

Faust's `noack_take` hands a batch over when it is full or `within` is over, counted from the batch before: 50 ms a hop where batches
rarely fill, and a wake-up every 50 ms where nothing comes.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any


class Overflow:
    """What becomes of events that find no room: they wait, and all behind them; while `passing`, they are passed over and counted.

    What was passed over must be read again. For a stage that waits for a server that is away, so that others on its topic go on.
    """

    def __init__(self) -> None:
        self.passing = False
        self.passed = 0
        self.room = asyncio.Event()

    def begin(self) -> None:
        """Pass over what finds no room, and what has been waiting for it."""
        self.passing = True
        self.room.set()

    def end(self) -> None:
        """Wait for room again."""
        self.passing = False


async def take(stream: Any, most: int, *, within_s: float = 0.0, overflow: Overflow | None = None) -> AsyncIterator[list[Any]]:
    """Events as soon as there are any, at most `most` at once; with `within_s`, as many as come so soon after the first.

    Nothing is acked. While the caller works a batch off, at most `most` further events are taken from the stream's queue.
    """
    waiting: list[Any] = []
    some, full = asyncio.Event(), asyncio.Event()
    overflow = overflow or Overflow()

    async def room() -> bool:
        while len(waiting) >= most and not overflow.passing:
            overflow.room.clear()
            await overflow.room.wait()
        return len(waiting) < most

    async def put(value: Any) -> Any:
        event = stream.current_event
        if not await room():
            overflow.passed += 1
            return value
        waiting.append(event)
        some.set()
        if len(waiting) >= most:
            full.set()
            await room()
        return value

    stream.enable_acks = False
    stream.add_processor(put)
    stream._enable_passive(aiter(stream.channel))
    while not stream.should_stop:
        await stream.wait_for_stopped(some)
        if within_s and waiting:
            await stream.wait_for_stopped(full, timeout=within_s)
        batch = waiting[:]
        waiting.clear()
        for event in (some, full):
            event.clear()
        overflow.room.set()
        if batch:
            yield batch
