"""Event-time watermarks over the partitions of a topic, after Akidau et al., "The Dataflow Model" (VLDB 2015)."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

IDLE_S = 10.0  # a partition that is silent for as long does not hold the others back (Flink calls it idleness)


@dataclass(slots=True)
class Watermarks:
    """The least of the partitions' latest event times, which never goes back; partitions idle for `IDLE_S` are left out."""

    step: timedelta = timedelta(minutes=1)
    _latest: dict[int, tuple[datetime, float]] = field(default_factory=dict)
    _told: datetime | None = None

    def observe(self, partition: int, time: datetime, *, now_s: float) -> None:
        """Take in one event; `now_s` is the wall clock, which only tells idle partitions."""
        latest = self._latest.get(partition)
        self._latest[partition] = (time if latest is None else max(time, latest[0]), now_s)

    def advance(self, *, now_s: float) -> datetime | None:
        """The watermark where it has moved by `step` since it was last told, else None.

        >>> from datetime import UTC
        >>> marks = Watermarks()
        >>> marks.observe(0, datetime(2022, 11, 8, 12, tzinfo=UTC), now_s=1.0)
        >>> marks.observe(1, datetime(2022, 11, 8, 11, tzinfo=UTC), now_s=1.0)
        >>> marks.advance(now_s=1.0).hour, marks.advance(now_s=2.0)
        (11, None)
        """
        live = [time for time, seen_s in self._latest.values() if now_s - seen_s <= IDLE_S]
        if not live:
            return None
        mark = min(live)
        if self._told is not None and mark < self._told + self.step:
            return None
        self._told = mark
        return mark
