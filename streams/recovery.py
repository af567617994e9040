"""Recovery of tables that begins again where the broker is slow: Faust 0.15.3 takes a late answer for its own end.

Its `Recovery._wait` raises `ServiceStopped` once the time for an answer is over. Recovery then ends for good and without a word, and the
worker's partitions stand still.
"""

from typing import Any

from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, ServiceStopped
from faust.tables.recovery import Recovery as FaustRecovery

from core import log

_log = log.get(__name__)


class Recovery(FaustRecovery):  # type: ignore[misc]  # Faust exports it untyped
    """Faust's recovery, which takes a late answer for a rebalance: it begins again."""

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ASYNC109 — as Faust calls it
        try:
            await super()._wait(coro, timeout=timeout)
        except ServiceStopped:
            if self.should_stop:
                raise
            _log.warning("recovery_begins_again", late_after_s=timeout)
            self.signal_recovery_start.set()
            raise RebalanceAgain from None


class Tables(TableManager):  # type: ignore[misc]  # Faust exports it untyped
    """Faust's tables, with that recovery."""

    _recovery: Recovery | None

    @property
    def recovery(self) -> Recovery:
        """The one recovery of all tables."""
        if self._recovery is None:
            self._recovery = Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
