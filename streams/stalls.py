"""Ends a worker that has stopped to get on, for its supervisor to restart it.

Faust can hang where nothing raises: a consumer that fetches no more, a recovery that waits for ever, commits that stay where they are;
and its own crash does not reliably exit. A worker whose batches wait for something outside, and are tried again, is none of these.
"""

import faulthandler
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from core import log, metrics
from core.errors import Retryable
from streams.backlog import readers_of
from streams.batches import BatchRunner

TICK_S = 5.0
_log = log.get(__name__)


@dataclass(slots=True)
class Stall:
    """Notices that something waits and does not move."""

    since_s: float | None = None
    _mark: Hashable = field(default=None)

    def seconds(self, now_s: float, mark: Hashable, *, waits: bool) -> float:
        """For how long `mark` has been the same while something waited.

        >>> stall = Stall()
        >>> [stall.seconds(now, mark, waits=True) for now, mark in ((1.0, "a"), (4.0, "a"), (5.0, "b"))]
        [0.0, 3.0, 0.0]
        >>> stall.seconds(9.0, "b", waits=False)
        0.0
        """
        if not waits or mark != self._mark or self.since_s is None:
            self._mark, self.since_s = mark, now_s
        return now_s - self.since_s


class StallWatch:
    """Call `tick` every `TICK_S` in the worker's loop: the process ends `limit_s` after the last tick that found it getting on.

    The end comes from a thread below Python, so it comes also where the loop itself hangs, and leaves where each thread stood in the log.
    """

    def __init__(self, app: Any, runner: BatchRunner, *, limit_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._runner = runner
        self._limit_s = limit_s
        self._now_s = now_s
        self._work, self._commits = Stall(), Stall()

    async def tick(self) -> None:
        """Put the end off, unless nothing moves since the last tick."""
        stalled_s = max(await self._unworked_s(), self._uncommitted_s())
        metrics.STALLED_SECONDS.set(stalled_s)
        if stalled_s < 2 * TICK_S:
            faulthandler.dump_traceback_later(self._limit_s, exit=True)
        elif stalled_s > self._limit_s / 2:
            _log.error("worker_stalls", seconds=round(stalled_s), ends_at_s=self._limit_s)

    async def _unworked_s(self) -> float:
        """For how long messages have waited, or partitions been on the move, and no batch has been begun, tried again or settled."""
        app = self._app
        moving = app.rebalancing or app.in_recovery
        applied = app.tables.recovery.applied
        return self._work.seconds(self._now_s(), (self._runner.steps, applied), waits=moving or await self._has_waiting())

    async def _has_waiting(self) -> bool:
        """Whether a partition has messages that are not fetched, or that a stage was given and has not worked off.

        The end alone does not tell: behind a transactional producer's last message lies a marker, which nobody is given. While the
        ledger does not answer nobody can tell, and the batches that wait for it are tried again.
        """
        try:
            return await self._waits()
        except Retryable as error:
            _log.warning("ledger_does_not_answer", error=str(error))
            return False

    async def _waits(self) -> bool:
        consumer = self._app.consumer
        for place in consumer.assignment():
            end, given = consumer.highwater(place), consumer._read_offset[place]
            stages = readers_of(place.topic)
            if stages and end and (await consumer.position(place) or 0) < end:
                return True
            if given is not None and any(
                (self._runner.places.worked_to(stage, (place.topic, place.partition)) or 0) <= given for stage in stages
            ):
                return True
        return False

    def _uncommitted_s(self) -> float:
        """For how long what is settled has not been committed."""
        behind = {
            place: self._app.consumer._committed_offset[place]
            for place in self._app.consumer.assignment()
            if (settled := self._runner.places.settled(place)) is not None
            and settled > (self._app.consumer._committed_offset[place] or 0)
        }
        return self._commits.seconds(self._now_s(), frozenset(behind.items()), waits=bool(behind))
