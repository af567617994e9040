"""Average: the mean of a field over a sliding window crosses a limit."""

import math
from dataclasses import dataclass

from alerts.durations import format_duration
from alerts.rule import Average
from alerts.series import LATENESS_US, SeriesState, affected_ends, forget_marks, marks_between, newest_ids, remember, span_us
from alerts.window import Breach
from core.records import Match, TransitionReason

# The mean of 512 sentiment scores (standard deviation below 0.7) has a standard error of 0.03: more memory buys nothing
_MOST_REMEMBERED = 512


@dataclass(frozen=True, slots=True)
class AverageWindow:
    """A sliding window (end - within, end] that averages its marks; where it holds more than 512, the newest 512."""

    condition: Average

    @property
    def span_us(self) -> int:
        """The length of the window."""
        return span_us(self.condition.within)

    def remember(self, state: SeriesState, match: Match) -> tuple[SeriesState, tuple[int, ...]]:
        """The windows that end at the match or at a later match less than `within` after it."""
        state, mark = remember(state, match, most=_MOST_REMEMBERED)
        return state, () if mark is None else affected_ends(state, mark, self.span_us)

    def breach(self, state: SeriesState, end_us: int) -> Breach | None:
        """A breach where at least `min_events` events have a mean beyond the limit."""
        rule = self.condition
        marks = marks_between(state, end_us - self.span_us, end_us)
        if len(marks) < rule.min_events:
            return None
        mean = math.fsum(mark.value for mark in marks) / len(marks)
        below = rule.below is not None and mean < rule.below
        above = rule.above is not None and mean > rule.above
        if not (below or above):
            return None
        word, limit = ("below", rule.below) if below else ("above", rule.above)
        sentence = f"mean {rule.field} {mean:.2f} of {len(marks)} events in {format_duration(rule.within)} ({word} {limit:g})"
        evidence: dict[str, float | str] = {"events": float(len(marks)), "mean": mean, "limit": float(limit or 0.0)}
        return Breach(end_us - self.span_us, end_us, TransitionReason.AVERAGE, sentence, evidence, newest_ids(marks))

    def forget(self, state: SeriesState, watermark_us: int) -> SeriesState:
        """The state without marks that no window of a match up to an hour late can hold."""
        return forget_marks(state, watermark_us - self.span_us - max(self.span_us, LATENESS_US))
