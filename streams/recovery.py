"""Recovery of tables in Faust's place: Faust decides when, `streams/changelog.py` how.

Faust 0.15.3 also takes an answer that is late for its own end (`Recovery._wait` raises `ServiceStopped`): recovery then ends for good and
without a word, and the worker's partitions stand still. Here it begins again, unless it gets on.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, ServiceStopped
from faust.tables.recovery import Recovery as FaustRecovery
from faust.types import TP

from core import log
from core.errors import Retryable
from streams.changelog import Log
from streams.tables import StateTable, take_over

_AGAIN_S = 1.0
_log = log.get(__name__)


class Recovery(FaustRecovery):  # type: ignore[misc]  # Faust exports it untyped
    """Faust's recovery, which takes tables over as they do it, and a late answer for a rebalance."""

    tables: "Tables"
    applied = 0  # messages of changelogs, since the worker's start

    async def _seek_offsets(self, _consumer: Any, tps: Iterable[TP], offsets: dict[TP, int], _title: str) -> None:
        """Take the tables over; Faust finds then that they lack nothing."""
        states = {tp: self.tables.states[tp.topic] for tp in tps}
        while states:
            try:
                async for count in take_over(self.tables.changelogs, states):
                    self.applied += count
                break
            except Retryable as error:
                _log.warning("recovery_tried_again", error=str(error))
                await asyncio.sleep(_AGAIN_S)
        for tp in states:
            offsets[tp] = self.active_highwaters[tp]

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ASYNC109 — as Faust calls it
        work = asyncio.ensure_future(coro)
        try:
            while True:
                applied = self.applied
                try:
                    await super()._wait(asyncio.shield(work), timeout=timeout)
                    return
                except ServiceStopped:
                    if self.should_stop:
                        raise
                    if self.applied == applied:
                        _log.warning("recovery_begins_again", late_after_s=timeout)
                        self.signal_recovery_start.set()
                        raise RebalanceAgain from None
        finally:
            work.cancel()


class Tables(TableManager):  # type: ignore[misc]  # Faust exports it untyped
    """Faust's tables, with that recovery. All of them are `states`, by the changelog's topic, in `changelogs`."""

    changelogs: Log
    states: dict[str, StateTable]
    _recovery: Recovery | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.states = {}

    @property
    def recovery(self) -> Recovery:
        """The one recovery of all tables."""
        if self._recovery is None:
            self._recovery = Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
