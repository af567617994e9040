"""Frequency: so many matches within so long, judged at every match, however late it came."""

from dataclasses import dataclass

from alerts.durations import format_duration
from alerts.rule import Frequency
from alerts.series import LATENESS_US, SeriesState, affected_ends, forget_marks, marks_between, newest_ids, remember, span_us
from alerts.window import Breach
from core.records import Match, TransitionReason

_LEAST_REMEMBERED = 512


@dataclass(frozen=True, slots=True)
class FrequencyWindow:
    """A sliding window (end - within, end] that counts its marks."""

    condition: Frequency

    @property
    def span_us(self) -> int:
        """The length of the window."""
        return span_us(self.condition.within)

    def remember(self, state: SeriesState, match: Match) -> tuple[SeriesState, tuple[int, ...]]:
        """The windows that end at the match or at a later match less than `within` after it."""
        state, mark = remember(state, match, most=max(_LEAST_REMEMBERED, 2 * self.condition.count))
        return state, () if mark is None else affected_ends(state, mark, self.span_us)

    def breach(self, state: SeriesState, end_us: int) -> Breach | None:
        """A breach where the window holds `count` matches or more."""
        start_us = end_us - self.span_us
        marks = marks_between(state, start_us, end_us)
        count = len(marks)
        if count < self.condition.count:
            return None
        sentence = f"{count} events in {format_duration(self.condition.within)} (alerts from {self.condition.count})"
        evidence: dict[str, float | str] = {"events": float(count), "limit": float(self.condition.count)}
        return Breach(start_us, end_us, TransitionReason.FREQUENCY, sentence, evidence, newest_ids(marks))

    def forget(self, state: SeriesState, watermark_us: int) -> SeriesState:
        """The state without marks that no window of a match up to an hour late can hold."""
        return forget_marks(state, watermark_us - self.span_us - max(self.span_us, LATENESS_US))
