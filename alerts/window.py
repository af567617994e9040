"""What every kind of rule window promises, and what a breach of one is."""

from dataclasses import dataclass
from typing import Protocol

from alerts.series import SeriesState
from core.records import Match, TransitionReason


@dataclass(frozen=True, slots=True)
class Breach:
    """The condition holds for the events after `start_us` up to and including `end_us` (event time, microseconds).

    `sentence` says so in words and `evidence` in numbers; `event_ids` are of the window, newest first, at most 20.
    """

    start_us: int
    end_us: int
    reason: TransitionReason
    sentence: str
    evidence: dict[str, float | str]
    event_ids: tuple[str, ...]


class Window(Protocol):
    """The memory and the test of one rule condition; pure, every method returns a new state."""

    @property
    def span_us(self) -> int:
        """The window's length; 0 where each match is judged alone."""

    def remember(self, state: SeriesState, match: Match) -> tuple[SeriesState, tuple[int, ...]]:
        """The state with the match, and the event times at which a window ends that the match can have changed.

        A match that is known already, or too old to be known, changes nothing.
        """

    def breach(self, state: SeriesState, end_us: int) -> Breach | None:
        """The breach of the window that ends at `end_us`, or None."""

    def forget(self, state: SeriesState, watermark_us: int) -> SeriesState:
        """The state without what no later match can need."""
