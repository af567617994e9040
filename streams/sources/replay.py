"""Recorded events, merged in the order of their event times and sent at a chosen speed."""

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from streams.sources.files import SourceRecord

MAX_GAP_S = (
    3600.0  # silence in the recording is replayed as at most an hour, so that a set from 2015 and one from 2018 can follow
)
_START = datetime.min.replace(tzinfo=UTC)


def merge(sources: Sequence[Iterable[SourceRecord]]) -> Iterator[SourceRecord]:
    """The records of several sources by event time; each source is in time order, and a record without a time follows its predecessor."""
    for _, _, _, record in heapq.merge(*(_keyed(number, source) for number, source in enumerate(sources))):
        yield record


def _keyed(number: int, source: Iterable[SourceRecord]) -> Iterator[tuple[datetime, int, int, SourceRecord]]:
    latest = _START
    for position, record in enumerate(source):
        latest = max(latest, record.time or latest)
        yield latest, number, position, record


@dataclass(slots=True)
class Pace:
    """Holds a replay to `speed` times real time by event time; None = as fast as it goes."""

    speed: float | None
    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _last: datetime | None = None
    _due_s: float = field(default=0.0)

    def wait_for(self, moment: datetime | None) -> None:
        """Return when an event of that time is due."""
        if self.speed is None or moment is None:
            return
        if self._last is None:
            self._due_s = self.now_s()
        else:
            self._due_s += min(MAX_GAP_S, max(0.0, (moment - self._last).total_seconds())) / self.speed
        self._last = moment if self._last is None else max(self._last, moment)
        ahead_s = self._due_s - self.now_s()
        if ahead_s > 0:
            self.sleep(ahead_s)
