"""What partitions promise in which nothing arrives, so that they do not hold up the others.

A raw partition's mark is the latest event time it has seen (of payments and labels, less `lateness_s`). One that is silent would keep
that for ever; and where all are silent, the last payments would never be let go, and no alert on texts would resolve. So the owner of a
raw partition that has been worked off to its end, and in which nothing has arrived for `idle_s`, promises the latest event time that
was known of any partition `idle_s` ago. The promise is a message in the log like any other mark: a reader never decides by its own
clock, and a restarted one reads the same.

The promise is true as long as an event comes at most `idle_s` after an event of later time. It need not hold for lateness: that is
allowed by the marks of the partitions that are not silent. What breaks it counts as late.

In a replay at full speed, seconds of arrival are days of event time; there `idle_s` covers what producers and brokers reorder between
partitions. A lone payment is scored `idle_s` after it has come, and the time of four hops.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, nextafter
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP

from core import log
from core.errors import Retryable
from core.topics import TEXT_SCORED, TRANSACTIONS_BY_CUSTOMER, TRANSACTIONS_BY_ID, TRANSACTIONS_RAW
from streams.batches import BatchRunner
from streams.messages import Outgoing
from streams.sender import Sender
from streams.steps import Mark, Parcels
from streams.watermarks import mark_messages

_TICK_S = 0.05
_log = log.get(__name__)


@dataclass(slots=True)
class Tide:
    """The latest event time that this worker has seen of any source, and what it was some time ago."""

    high_s: float = -inf
    _past: deque[tuple[float, float]] = field(default_factory=deque)

    def rise(self, high_s: float) -> None:
        """Take in what a source has seen."""
        self.high_s = max(self.high_s, high_s)

    def known(self, until_s: float, *, now_s: float) -> float:
        """The tide at `until_s`, by the clock of `now_s`; -inf where it was not asked for by then.

        >>> tide = Tide(5.0)
        >>> tide.known(0.0, now_s=1.0), tide.known(1.0, now_s=2.0)
        (-inf, 5.0)
        """
        self._past.append((now_s, self.high_s))
        while len(self._past) > 1 and self._past[1][0] <= until_s:
            self._past.popleft()
        at_s, high_s = self._past[0]
        return high_s if at_s <= until_s else -inf


Promise = Callable[[list[TP], float], Iterable[Outgoing]]
Learn = Mapping[str, Callable[[Iterable[int]], None]]


@dataclass(frozen=True, slots=True)
class Watched:
    """Raw topics whose silent partitions are spoken for.

    `stage` reads them, `promise` makes the messages, `learn` lets the tide know, by topic, what the states of partitions tell. A promise
    is worth sending where it is more than `step_s` beyond the last.
    """

    topics: Sequence[str]
    stage: str
    tide: Tide
    promise: Promise
    learn: Learn = field(default_factory=dict)
    step_s: float = 0.0


class Silence:
    """Watches raw partitions of this worker and sends what the silent ones promise."""

    def __init__(self, app: Any, runner: BatchRunner, sender: Sender, watched: Watched, *, idle_s: float) -> None:
        self._app = app
        self._runner = runner
        self._sender = sender
        self._watched = watched
        self._idle_s = idle_s
        self._learned: set[TP] = set()
        self._since: dict[TP, float] = {}
        self._told: dict[TP, float] = {}

    async def watch(self) -> None:
        """Promise until the app stops."""
        while not self._app.should_stop:
            await asyncio.sleep(_TICK_S)
            try:
                await self._promise(time.monotonic())
            except (KafkaError, Retryable) as error:
                _log.warning("promise_failed", error=str(error))

    def forget(self) -> None:
        """Begin anew: partitions may have moved."""
        self._learned.clear()
        self._since.clear()
        self._told.clear()

    async def _promise(self, now_s: float) -> None:
        if self._app.rebalancing or self._app.in_recovery:
            self.forget()
            return
        for tp in self._app.consumer.assignment() - self._learned:
            if tp.topic in self._watched.learn:
                self._watched.learn[tp.topic]([tp.partition])
            self._learned.add(tp)
        high_s = self._watched.tide.known(now_s - self._idle_s, now_s=now_s)
        silent = [tp for tp in self._silent(now_s) if high_s > self._told.get(tp, -inf) + self._watched.step_s]
        if not silent:
            return
        ends = await self._app.consumer.highwaters(*silent)
        done = [tp for tp in silent if await self._is_done(tp, ends)]
        if done:
            await self._sender.send(self._watched.promise(done, high_s))
            self._told.update(dict.fromkeys(done, high_s))

    def _silent(self, now_s: float) -> list[TP]:
        """The raw partitions in which nothing has arrived for `idle_s`."""
        silent = []
        for tp in self._app.consumer.assignment():
            if tp.topic in self._watched.topics:
                arrived_s = self._runner.places.arrived_s(self._watched.stage, (tp.topic, tp.partition))
                since_s = self._since.setdefault(tp, now_s) if arrived_s is None else arrived_s
                if since_s <= now_s - self._idle_s:
                    silent.append(tp)
        return silent

    async def _is_done(self, tp: TP, ends: Mapping[TP, int]) -> bool:
        """Whether all that the partition holds was worked off: by this worker, by what the ledger says, or by what was committed before."""
        worked = self._runner.places.worked_to(self._watched.stage, (tp.topic, tp.partition)) or 0
        committed = self._app.consumer._committed_offset.get(tp) or 0
        if max(worked, committed) >= ends[tp]:
            return True
        return not worked and not committed and (await self._app.consumer.earliest_offsets(tp))[tp] == ends[tp]


def payment_promises(places: list[TP], high_s: float, *, partitions: int) -> list[Outgoing]:
    """The messages by which silent partitions of payments and labels promise that nothing up to `high_s` comes any more.

    >>> places = [TP("labels.raw", 0)], [TP("transactions.raw", 0)]
    >>> [len(payment_promises(each, 7.0, partitions=2)) for each in places]
    [2, 4]
    """
    marks = {tp: Mark(source_name(tp.topic, tp.partition), nextafter(high_s, inf)) for tp in places}
    payments = [mark for tp, mark in marks.items() if tp.topic == TRANSACTIONS_RAW.name]
    told = list(Parcels(TRANSACTIONS_BY_ID, partitions).messages(marks.values(), always=True))
    if payments:
        told += Parcels(TRANSACTIONS_BY_CUSTOMER, partitions).messages(payments, always=True)
    return told


def text_promises(places: list[TP], high_s: float, *, partitions: int) -> list[Outgoing]:
    """The like for news and posts."""
    return list(mark_messages(TEXT_SCORED, [Mark(source_name(tp.topic, tp.partition), high_s) for tp in places], partitions))


def source_name(topic: str, partition: int) -> str:
    """The name of a partition as a source of steps.

    >>> source_name("labels.raw", 1)
    'labels.raw/1'
    """
    return f"{topic}/{partition}"
