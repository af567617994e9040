"""Forgetting: what nobody looks back on any more is deleted from a table, a slice at a time, as the watermark moves."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from streams.tables import StateTable

_SLICE = 256  # values looked at in one go; 6 µs each
_EVERY_S = 43_200.0  # event time between two passes


@dataclass(slots=True)
class Sweep:
    """Deletes the values of a table whose `until_s`, an event time, is over."""

    table: StateTable
    until_s: Callable[[bytes], float]
    _begin: dict[int, bytes] = field(default_factory=dict)
    _due_s: dict[int, float] = field(default_factory=dict)

    def advance(self, partition: int, now_s: float) -> list[tuple[str, bytes]]:
        """Look at the partition's next values where a pass is due at `now_s`; what was deleted."""
        if now_s == -inf or now_s < self._due_s.get(partition, -inf):
            return []
        values, begin = self.table.part(partition, self._begin.get(partition, b""), _SLICE)
        expired = [(key, value) for key, value in values if self.until_s(value) < now_s]
        for key, _ in expired:
            self.table.delete(partition, key)
        if begin is not None:
            self._begin[partition] = begin
        else:
            self._begin.pop(partition, None)
            self._due_s[partition] = now_s + _EVERY_S
        return expired
