"""Batches from a Faust stream: what is there, at once, instead of what has come after a fixed wait.

Faust's `noack_take` hands a batch over when it is full or `within` is over, counted from the batch before: 50 ms a hop where batches
rarely fill, and a wake-up every 50 ms where nothing comes.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any


async def take(stream: Any, most: int, *, within_s: float = 0.0) -> AsyncIterator[list[Any]]:
    """Events as soon as there are any, at most `most` at once; with `within_s`, as many as come so soon after the first.

    Nothing is acked. While the caller works a batch off, at most `most` further events are taken from the stream's queue.
    """
    waiting: list[Any] = []
    some, room = asyncio.Event(), asyncio.Event()
    full = asyncio.Event()

    async def put(value: Any) -> Any:
        waiting.append(stream.current_event)
        some.set()
        if len(waiting) >= most:
            full.set()
            room.clear()
            await room.wait()
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
        room.set()
        if batch:
            yield batch
