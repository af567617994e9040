"""Surge: the negative share of the last window is improbably high for the series' own past.

Events fall into buckets of a twelfth of the window by event time; near-duplicate texts count once inside a window. The test is in
`binomial`, the memory in `buckets`.
"""

from dataclasses import dataclass

from msgspec.structs import replace

from alerts.binomial import SHARE_LEVEL, Count, judge
from alerts.buckets import BUCKETS, between, by_window, distinct, freeze, put_text
from alerts.duplicates import text_key
from alerts.durations import format_duration
from alerts.rule import Surge
from alerts.series import MAX_EVENT_IDS, SeriesState, from_us, keep_newest, marks_between, newest_ids, span_us, to_us
from alerts.window import Breach
from core.clock import rfc3339
from core.records import Match, TransitionReason

_LIVE = 3 * BUCKETS  # a match up to two windows behind the watermark is counted, and the earliest window that it touches is whole
_SLACK = BUCKETS  # live buckets beyond that, until a watermark comes


@dataclass(frozen=True, slots=True)
class SurgeWindow:
    """The last 12 buckets, judged against the reference period before them."""

    condition: Surge

    @property
    def span_us(self) -> int:
        """The length of the window."""
        return self.width_us * BUCKETS

    @property
    def width_us(self) -> int:
        """The length of a bucket."""
        return span_us(self.condition.within) // BUCKETS

    @property
    def reference_buckets(self) -> int:
        """The length of the reference period in buckets."""
        return round(self.condition.reference / self.condition.within * BUCKETS)

    def remember(self, state: SeriesState, match: Match) -> tuple[SeriesState, tuple[int, ...]]:
        """The match's time and the ends of later buckets whose window reaches back to it, where it brings a text not yet counted."""
        time_us = to_us(match.time)
        if (time_us, 0) <= state.floor:
            return state, ()
        index, negative = time_us // self.width_us, match.value > 0.0
        buckets = put_text(state.buckets, index, text_key(match.summary, match.id), negative=negative)
        if negative:
            state = keep_newest(state, match, MAX_EVENT_IDS)
        if buckets is state.buckets:
            return state, ()
        state = self._bounded(replace(state, buckets=buckets))
        later = [bucket.index for bucket in between(state.buckets, index + 1, index + BUCKETS - 1)]
        ends = (time_us, *((at + 1) * self.width_us - 1 for at in later))
        return state, ends if negative else tuple(end_us for end_us in ends if self._is_small(state, end_us))

    def breach(self, state: SeriesState, end_us: int) -> Breach | None:
        """A breach where the floors are met, the share and the rate have risen, and p is at most the sensitivity."""
        last = end_us // self.width_us
        first = last - BUCKETS + 1
        window = distinct(between(state.buckets, first, last))
        if window.events < self.condition.min_events or window.negative < self.condition.min_negative:
            return None
        reference = self.reference_windows(state, first)
        rate = sum(count.negative for count in reference) * BUCKETS / self.reference_buckets
        judgement = judge(window, reference)
        risen = window.negative > rate and judgement.p_share <= SHARE_LEVEL
        if not risen or judgement.p > self.condition.sensitivity:
            return None
        share = window.negative / window.events
        evidence: dict[str, float | str] = {
            "events": float(window.events), "negative": float(window.negative), "share": share, "baseline": judgement.baseline,
            "p": judgement.p, "rho": judgement.rho, "negative_per_window_before": rate,
            "reference_events": float(sum(count.events for count in reference)),
            "reference_start": rfc3339(from_us((first - self.reference_buckets) * self.width_us)),
        }  # fmt: skip
        sentence = (
            f"{window.negative} of {window.events} texts negative in {format_duration(self.condition.within)}, "
            f"{share:.0%} against {judgement.baseline:.0%} before (p {judgement.p:.1g})"
        )
        start_us, stop_us = first * self.width_us - 1, (last + 1) * self.width_us - 1
        ids = newest_ids(marks_between(state, start_us, stop_us))
        return Breach(start_us, stop_us, TransitionReason.SURGE, sentence, evidence, ids)

    def forget(self, state: SeriesState, watermark_us: int) -> SeriesState:
        """The state with old buckets frozen, then dropped once no reference reaches them."""
        now = watermark_us // self.width_us
        state = self._frozen(state, now - _LIVE)
        oldest = now - _LIVE - self.reference_buckets
        marks = tuple(mark for mark in state.marks if mark.time_us >= oldest * self.width_us)
        return replace(state, buckets=tuple(b for b in state.buckets if b.index >= oldest), marks=marks)

    def reference_windows(self, state: SeriesState, before: int) -> list[Count]:
        """The counts of the reference period that ends before bucket `before`, one per window length, oldest first."""
        buckets = between(state.buckets, before - self.reference_buckets, before - 1)
        return by_window(buckets, before, -(-self.reference_buckets // BUCKETS))

    def _is_small(self, state: SeriesState, end_us: int) -> bool:
        """Whether a text that is not negative can have brought the window to its least number of events, and so to a breach."""
        last = end_us // self.width_us
        return distinct(between(state.buckets, last - BUCKETS + 1, last)).events <= self.condition.min_events

    def _bounded(self, state: SeriesState) -> SeriesState:
        """The state with as many buckets as a watermark would leave, for the time until one comes."""
        most = _LIVE + _SLACK
        if len(state.buckets) > most and state.buckets[-most - 1].texts is not None:
            state = self._frozen(state, state.buckets[-_LIVE].index)
        return replace(state, buckets=state.buckets[-(self.reference_buckets + most) :])

    def _frozen(self, state: SeriesState, before: int) -> SeriesState:
        """The state with the buckets below `before` frozen; no match is accepted any more where their texts may have stood."""
        buckets, last = freeze(state.buckets, before)
        if last is None:
            return state
        return replace(state, buckets=buckets, floor=max(state.floor, ((last + BUCKETS) * self.width_us - 1, 0)))
