"""A gate that bounds what is in flight, for a broker that forgets what nobody has read in time."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Gate:
    """Lets records through until `max_records` or `max_bytes` are in flight, then waits until `backlog()` is below half of that.

    `backlog()` tells how many messages any stage has still to work off; it is asked only when the allowance is used up. While it
    waits it calls `on_wait`, which must confirm what was sent so far (else the backlog would be told too low).
    """

    backlog: Callable[[], int]
    max_records: int
    max_bytes: int
    on_wait: Callable[[], None]
    sleep: Callable[[float], None] = time.sleep
    should_stop: Callable[[], bool] = lambda: False
    _records: int = field(default=0)
    _bytes: int = field(default=0)

    def take(self, size: int) -> bool:
        """Let one record of `size` bytes through; False if it was told to stop instead."""
        if self._records < 1 or self._bytes < size:
            self.on_wait()
            while (waiting := self.backlog()) > self.max_records // 2:
                if self.should_stop():
                    return False
                self.sleep(0.05)
            self._records = self.max_records - waiting
            self._bytes = max(self.max_bytes, size)
        self._records -= 1
        self._bytes -= size
        return not self.should_stop()
