"""A gate that bounds what is in flight, for a broker that forgets what nobody has read in time."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Gate:
    """Lets records through until `max_records` or `max_bytes` may be in flight, then waits until less than half of both are.

    `backlog()` tells how many messages any stage has still to work off; it is asked only when the allowance is used up. A record that
    is in flight has at least one such message, so the bytes in flight are at most the backlog times the largest record of late. While
    it waits it calls `on_wait`, which must confirm what was sent so far (else the backlog would be told too low).
    """

    backlog: Callable[[], int]
    max_records: int
    max_bytes: int
    on_wait: Callable[[], None]
    sleep: Callable[[float], None] = time.sleep
    should_stop: Callable[[], bool] = lambda: False
    _records: int = field(default=0)
    _bytes: int = field(default=0)
    _recent: deque[int] = field(default_factory=deque)

    def take(self, size: int) -> bool:
        """Let one record of `size` bytes through; False if it was told to stop instead. One larger than the bound goes alone."""
        if (self._records < 1 or self._bytes < size) and not self._wait(size):
            return False
        self._records -= 1
        self._bytes -= size
        self._recent.append(size)
        if len(self._recent) > self.max_records:
            self._recent.popleft()
        return not self.should_stop()

    def _wait(self, size: int) -> bool:
        """Wait until there is room for one of `size` and half of both bounds is free; False if it was told to stop instead."""
        self.on_wait()
        largest = max(self._recent, default=0)
        while not self._has_room(waiting := self.backlog(), waiting * largest, size):
            if self.should_stop():
                return False
            self.sleep(0.02)
        self._records = self.max_records - waiting
        self._bytes = max(self.max_bytes - waiting * largest, size)
        return True

    def _has_room(self, waiting: int, flying_bytes: int, size: int) -> bool:
        if waiting == 0:
            return True
        return waiting <= self.max_records // 2 and flying_bytes <= min(self.max_bytes // 2, self.max_bytes - size)
