"""Threshold: every match is a breach of its own."""

from dataclasses import dataclass

from alerts.series import LATENESS_US, MAX_EVENT_IDS, SeriesState, forget_marks, keep_newest, marks_between, newest_ids, to_us
from alerts.window import Breach
from core.records import Match, TransitionReason


@dataclass(frozen=True, slots=True)
class ThresholdWindow:
    """A window of no length: it holds one event time."""

    @property
    def span_us(self) -> int:
        """Zero."""
        return 0

    def remember(self, state: SeriesState, match: Match) -> tuple[SeriesState, tuple[int, ...]]:
        """The match's own time. A repeated match meets the alert that it raised, which covers it."""
        return keep_newest(state, match, MAX_EVENT_IDS), (to_us(match.time),)

    def breach(self, state: SeriesState, end_us: int) -> Breach | None:
        """A breach where a match has that very time."""
        found = marks_between(state, end_us - 1, end_us)
        if not found:
            return None
        return Breach(end_us - 1, end_us, TransitionReason.THRESHOLD, "matched", {"events": float(len(found))}, newest_ids(found))

    def forget(self, state: SeriesState, watermark_us: int) -> SeriesState:
        """The state without the marks that lie an hour behind the watermark."""
        return forget_marks(state, watermark_us - LATENESS_US)
