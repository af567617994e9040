"""The state machine of one series: (state, match or watermark) -> (state, transitions). Pure; event time decides.

A match is judged in every window that it can have changed, so the order of arrival loses no breach, and a repeated match
changes nothing. `decided` is the wall clock: it stamps transitions and decides nothing.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from alerts.average import AverageWindow
from alerts.frequency import FrequencyWindow
from alerts.lifecycle import admit, forget_episodes, overflow, release_held, resolve_due
from alerts.rule import Average, Condition, Frequency, Rule, Surge, Threshold
from alerts.series import Episode, SeriesState, to_us
from alerts.surge import SurgeWindow
from alerts.threshold import ThresholdWindow
from alerts.transitions import firing, resolving
from alerts.window import Window
from core.records import Match, Transition

__all__ = ["SeriesState", "advance", "evaluate"]


def evaluate(
    rule: Rule, state: SeriesState | None, match: Match, *, decided: datetime
) -> tuple[SeriesState, tuple[Transition, ...]]:
    """The state after `match`, and the alerts that it fires, in the order of event time.

    >>> from datetime import timedelta, UTC
    >>> from alerts.rule import Filter
    >>> rule = Rule(name="burst", filter=Filter("amount > 100", bool), condition=Frequency(2, timedelta(minutes=10)),
    ...     severity="warning", group_by=("terminal_id",), cooldown=timedelta(minutes=30), receivers=())
    >>> now, state = datetime(2026, 3, 1, tzinfo=UTC), None
    >>> for n in (1, 2, 3):
    ...     match = Match(id=f"m{n}", rule="burst", group={"terminal_id": "T1"}, event_id=f"e{n}",
    ...         time=now + timedelta(minutes=n), value=1.0, summary="amount 120.00 USD")
    ...     state, transitions = evaluate(rule, state, match, decided=now)
    ...     print([(transition.state.value, transition.time.minute) for transition in transitions])
    []
    [('active', 2)]
    []
    """
    series = _Series(rule, window_of(rule.condition), decided)
    state, ends = series.window.remember(state or SeriesState(group=match.group), match)
    transitions: list[Transition] = []
    for end_us in ends:
        state, fired = series.judge(state, end_us, match.summary)
        transitions.extend(fired)
    return state, tuple(transitions)


def advance(
    rule: Rule, state: SeriesState, watermark: datetime, *, decided: datetime
) -> tuple[SeriesState | None, tuple[Transition, ...]]:
    """The state once no event before `watermark` is expected, and what that resolves; None where nothing is left to keep.

    A breach that a cooldown held back fires here if its window still holds when the cooldown ends.
    """
    series, watermark_us = _Series(rule, window_of(rule.condition), decided), to_us(watermark)
    state, transitions = series.resolve(state, watermark_us)
    state, ends = release_held(rule, state, watermark_us)
    for end_us in ends:
        state, fired = series.judge(state, end_us)
        transitions += fired
    if ends:
        state, resolved = series.resolve(state, watermark_us)
        transitions += resolved
    state = series.window.forget(state, watermark_us)
    state = forget_episodes(rule, state, watermark_us, series.window.span_us)
    return (state if state.episodes or state.marks or state.buckets else None), transitions


def window_of(condition: Condition) -> Window:
    """The window that judges the condition."""
    match condition:
        case Threshold():
            return ThresholdWindow()
        case Frequency():
            return FrequencyWindow(condition)
        case Average():
            return AverageWindow(condition)
        case Surge():
            return SurgeWindow(condition)


@dataclass(frozen=True, slots=True)
class _Series:
    """What stays the same while one match or watermark is worked through."""

    rule: Rule
    window: Window
    decided: datetime

    def judge(self, state: SeriesState, end_us: int, summary: str = "") -> tuple[SeriesState, tuple[Transition, ...]]:
        """The state and transitions after the window that ends at `end_us`; `summary` tells of the event that changed it."""
        breach = self.window.breach(state, end_us)
        if breach is None:
            return state, ()
        state, opened = admit(self.rule, state, end_us, self.window.span_us)
        if opened is None:
            return state, ()
        told = replace(breach, sentence=f"{breach.sentence}: {summary}") if summary else breach
        fired = firing(self.rule, state.group, opened, told, decided=self.decided)
        state, dropped = overflow(state)
        return state, (fired, *(self._end(state, episode) for episode in dropped))

    def resolve(self, state: SeriesState, watermark_us: int) -> tuple[SeriesState, tuple[Transition, ...]]:
        """The state and transitions once the watermark has passed."""
        state, due = resolve_due(self.rule, state, watermark_us, self.window.span_us)
        return state, tuple(self._end(state, episode) for episode in due)

    def _end(self, state: SeriesState, episode: Episode) -> Transition:
        return resolving(self.rule, state, episode, self.window.span_us, decided=self.decided)
