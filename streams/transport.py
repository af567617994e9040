"""A Faust transport that commits what was acked, and no more: mends of faust-streaming 0.15.3 as subclasses of its aiokafka driver."""

from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP


class Consumer(driver.Consumer):
    """Faust's consumer, whose commits neither crawl nor swallow the message after a gap."""

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Mark the missing offsets before `offset_to` as acked.

        Faust passes the offset of the message that it is about to deliver as the gap's last one; that message then counts as acked
        before it was worked off, and stands twice in the list that commits are computed from, which then crawl by one a tick.
        """
        await super()._add_gap(tp, offset_from, offset_to - 1)

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit: after the longest run of acked messages, duplicates dropped first."""
        acked = self._acked[tp]
        acked[:] = sorted(set(acked))
        offset: int | None = super()._new_offset(tp)
        return offset


class Transport(driver.Transport):
    """Faust's aiokafka transport with the mended consumer."""

    Consumer: Any = Consumer
