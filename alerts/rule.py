"""What a rule is: a filter, a condition over the events that pass it, and who is told."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from alerts.durations import format_duration

Predicate = Callable[[dict[str, Any]], bool]
Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class Filter:
    """A KQL text and the predicate it compiles to; two filters are equal when their texts are."""

    text: str
    accepts: Predicate = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Every event that passes the filter is an alert."""


@dataclass(frozen=True, slots=True)
class Frequency:
    """At least `count` events of one series within `within`."""

    count: int
    within: timedelta


@dataclass(frozen=True, slots=True)
class Average:
    """The mean of `field` over the last `within` is below `below`, or above `above`; exactly one of the two is set."""

    field: str
    within: timedelta
    min_events: int
    below: float | None = None
    above: float | None = None


@dataclass(frozen=True, slots=True)
class Surge:
    """The share of events that pass `of` within `within` is improbably high for the series' own `reference` period before it.

    `sensitivity` is the p-value at or below which the alert fires: lower = fewer alerts.
    """

    of: Filter
    within: timedelta
    reference: timedelta
    min_events: int
    min_negative: int
    sensitivity: float


Condition = Threshold | Frequency | Average | Surge


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the rule file, validated. `group_by` empty means one series for the whole rule."""

    name: str
    filter: Filter
    condition: Condition
    severity: Severity
    group_by: tuple[str, ...]
    cooldown: timedelta
    receivers: tuple[str, ...]
    description: str = ""


def within(condition: Condition) -> timedelta:
    """The length of the condition's window; zero where each event is judged alone.

    >>> within(Frequency(5, timedelta(minutes=10)))
    datetime.timedelta(seconds=600)
    """
    return timedelta(0) if isinstance(condition, Threshold) else condition.within


def describe(rule: Rule) -> str:
    """The rule in one plain sentence.

    >>> rule = Rule(name="card-burst", filter=Filter("fraud_score >= 0.9", bool), condition=Frequency(5, timedelta(minutes=10)),
    ...     severity="warning", group_by=("terminal_id",), cooldown=timedelta(minutes=30), receivers=("console",))
    >>> describe(rule)
    'card-burst (warning): per terminal_id, at least 5 events in 10m match `fraud_score >= 0.9`; one alert per 30m, to console'
    """
    per = f"per {', '.join(rule.group_by)}, " if rule.group_by else ""
    told = f"to {', '.join(rule.receivers)}" if rule.receivers else "recorded but sent to no one"
    sentence = _sentence(rule.condition, rule.filter.text)
    return f"{rule.name} ({rule.severity}): {per}{sentence}; one alert per {format_duration(rule.cooldown)}, {told}"


def _sentence(condition: Condition, text: str) -> str:
    match condition:
        case Threshold():
            return f"any event matches `{text}`"
        case Frequency(count, length):
            return f"at least {count} events in {format_duration(length)} match `{text}`"
        case Average():
            bound = f"below {condition.below:g}" if condition.below is not None else f"above {condition.above:g}"
            events = f"at least {condition.min_events} events in {format_duration(condition.within)}"
            return f"the mean {condition.field} of {events} is {bound}, of `{text}`"
        case Surge():
            floors = f"at least {condition.min_negative} of {condition.min_events} or more events"
            against = f"p <= {condition.sensitivity:g} against the {format_duration(condition.reference)} before"
            return f"{floors} in {format_duration(condition.within)} match `{condition.of.text}` ({against}), of `{text}`"
