"""The record of a change of state: deterministic ids, a line for people, and a query that shows the events again."""

from datetime import datetime

from alerts.lifecycle import resolves_at
from alerts.match import cut
from alerts.rule import Rule, Surge
from alerts.series import Episode, SeriesState, from_us, marks_between, newest_ids
from alerts.window import Breach
from core.clock import rfc3339
from core.ids import content_id
from core.records import AlertState, Transition, TransitionReason


def firing(rule: Rule, group: dict[str, str], opened: Episode, breach: Breach, *, decided: datetime) -> Transition:
    """The transition to active."""
    return Transition(
        id=_transition_id(opened.alert_id, AlertState.ACTIVE),
        alert_id=opened.alert_id,
        rule=rule.name,
        group=group,
        severity=rule.severity,
        state=AlertState.ACTIVE,
        reason=breach.reason,
        time=from_us(opened.opened_us),
        decided=decided,
        summary=f"{rule.name}{_label(group)}: {breach.sentence}",
        query=query_for(rule, group, breach.start_us, breach.end_us),
        evidence={**breach.evidence, "window_start": _text(breach.start_us), "window_end": _text(breach.end_us)},
        event_ids=breach.event_ids,
    )


def resolving(rule: Rule, state: SeriesState, episode: Episode, span: int, *, decided: datetime) -> Transition:
    """The transition to inactive of an alert whose windows are `span` microseconds long; its events are those still remembered."""
    start_us = episode.first_us - max(span, 1)
    return Transition(
        id=_transition_id(episode.alert_id, AlertState.INACTIVE),
        alert_id=episode.alert_id,
        rule=rule.name,
        group=state.group,
        severity=rule.severity,
        state=AlertState.INACTIVE,
        reason=TransitionReason.WINDOW_PASSED,
        time=from_us(resolves_at(rule, episode, span)),
        decided=decided,
        summary=f"{rule.name}{_label(state.group)}: {TransitionReason.WINDOW_PASSED.value}",
        query=query_for(rule, state.group, start_us, episode.last_us),
        evidence={
            "opened": _text(episode.opened_us),
            "last_breach": _text(episode.last_us),
            "window_start": _text(start_us),
            "window_end": _text(episode.last_us),
        },
        event_ids=newest_ids(marks_between(state, start_us, episode.last_us)),
    )


def query_for(rule: Rule, group: dict[str, str], start_us: int, end_us: int) -> str:
    r"""KQL for the events of one series after `start_us` up to `end_us`.

    >>> from datetime import timedelta
    >>> from alerts.rule import Filter, Threshold
    >>> rule = Rule(name="r", filter=Filter("kind:news or kind:social", bool), condition=Threshold(), severity="info",
    ...     group_by=("entities.id",), cooldown=timedelta(minutes=30), receivers=())
    >>> query_for(rule, {"entities.id": 'A"B'}, 999_999, 1_999_000)
    '(kind:news or kind:social) and entities.id:"A\\"B" and time >= "1970-01-01T00:00:01Z" and time < "1970-01-01T00:00:02Z"'
    """
    filters = [rule.filter.text, rule.condition.of.text] if isinstance(rule.condition, Surge) else [rule.filter.text]
    terms = [f"{field}:{_quoted(value)}" for field, value in group.items()]
    # an index keeps milliseconds, rounded down
    first, beyond = (start_us + 1) // 1000 * 1000, (end_us // 1000 + 1) * 1000
    span = f'time >= "{_text(first)}" and time < "{_text(beyond)}"'
    return " and ".join([*(f"({text})" for text in filters), *terms, span])


def _transition_id(alert_id: str, state: AlertState) -> str:
    return content_id("transition", alert_id, state.value)


def _label(group: dict[str, str]) -> str:
    pairs = ", ".join(f"{field} {cut(value, 80)}" for field, value in group.items())
    return f" ({pairs})" if pairs else ""


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text(time_us: int) -> str:
    return rfc3339(from_us(time_us))
