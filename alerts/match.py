"""Which events a rule lets through, and under which group keys: stateless, one event at a time."""

import itertools
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from alerts.rule import Average, Rule, Surge
from core.errors import InvalidRecord
from core.ids import content_id
from core.records import Match

SUMMARY_CHARS = 200
MAX_GROUPS = 1000  # an event with ten entities grouped by two lists gives 100; more is a rule or record gone wrong
_MISSING = (None, "")


def matches(rule: Rule, document: dict[str, Any]) -> list[Match]:
    """One match per group key of the scored event, sorted by key; empty where the filter or a field says no.

    `document` is the event's JSON tree; `time` may be a datetime or RFC 3339 text. InvalidRecord where the event has no id or
    time, or more than 1,000 group keys.

    >>> from datetime import timedelta
    >>> from alerts.rule import Filter, Threshold
    >>> rule = Rule(name="fraud", filter=Filter("", lambda event: event["fraud_score"] > 0.9), condition=Threshold(),
    ...     severity="critical", group_by=("terminal_id",), cooldown=timedelta(minutes=30), receivers=())
    >>> event = {"id": "t1", "time": "2026-03-01T08:00:00Z", "fraud_score": 0.97, "terminal_id": "T12", "amount": 431.2,
    ...     "currency": "USD"}
    >>> [(match.group, match.summary) for match in matches(rule, event)]
    [({'terminal_id': 'T12'}, 'amount 431.20 USD at terminal T12')]
    """
    if not rule.filter.accepts(document):
        return []
    value = _value(rule, document)
    if value is None:
        return []
    event_id, time = _identity(document)
    summary = summarise(document)
    found = []
    for group in sorted(group_keys(rule.group_by, document)):
        match_id = content_id("match", rule.name, *group, event_id)
        keyed = dict(zip(rule.group_by, group, strict=True))
        found.append(Match(id=match_id, rule=rule.name, group=keyed, event_id=event_id, time=time, value=value, summary=summary))
    return found


def group_keys(fields: tuple[str, ...], document: dict[str, Any]) -> set[tuple[str, ...]]:
    """The distinct group keys of an event; empty where it lacks one of the fields.

    Fields inside one list of objects are read element by element, so that an id keeps its own name.

    >>> event = {"lang": "en", "entities": [{"id": "A", "name": "Acme"}, {"id": "B", "name": "Bolt"}]}
    >>> sorted(group_keys(("entities.id", "lang", "entities.name"), event))
    [('A', 'en', 'Acme'), ('B', 'en', 'Bolt')]
    >>> group_keys(("entities.id", "topic.label"), event)
    set()
    """
    heads = list(dict.fromkeys(field.split(".")[0] for field in fields))
    options = [_options(head, fields, document) for head in heads]
    if math.prod(len(option) for option in options) > MAX_GROUPS:
        raise InvalidRecord(f"the event has more than {MAX_GROUPS} group keys for {', '.join(fields)}")
    merged = ({key: value for part in choice for key, value in part.items()} for choice in itertools.product(*options))
    return {tuple(choice[field] for field in fields) for choice in merged}


def summarise(document: dict[str, Any]) -> str:
    """The event in one line: a title or text of at most 200 characters, or the payment.

    >>> summarise({"title": "Bank  run\\nin Ruritania"})
    'Bank run in Ruritania'
    """
    for name in ("title", "text", "body"):
        words = document.get(name)
        if isinstance(words, str) and words.strip():
            return cut(" ".join(words.split()), SUMMARY_CHARS)
    amount = document.get("amount")
    if isinstance(amount, int | float):
        where = document.get("terminal_id")
        money = f"amount {amount:.2f} {document.get('currency', '')}".rstrip()
        return money if where is None else f"{money} at terminal {where}"
    return f"event {document.get('id', '')}"


def cut(text: str, most: int) -> str:
    """The text, or its beginning and an ellipsis, at most `most` characters.

    >>> cut("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _identity(document: dict[str, Any]) -> tuple[str, datetime]:
    event_id, time = document.get("id"), document.get("time")
    if not isinstance(event_id, str) or not event_id:
        raise InvalidRecord("a scored event needs an id", field="id")
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError as error:
            raise InvalidRecord(f"{time!r} is not an RFC 3339 time", field="time") from error
    if not isinstance(time, datetime) or time.tzinfo is None:
        raise InvalidRecord("a scored event needs a time with its offset from UTC", field="time")
    return event_id, time


def _value(rule: Rule, document: dict[str, Any]) -> float | None:
    """What the rule aggregates, or None where the event has nothing to count."""
    match rule.condition:
        case Average(field=field):
            found = list(_leaves(document, field.split(".")))
            numbers = [float(leaf) for leaf in found if isinstance(leaf, int | float) and not isinstance(leaf, bool)]
            finite = [number for number in numbers if math.isfinite(number)]
            return math.fsum(finite) / len(finite) if finite else None
        case Surge(of=of):
            return 1.0 if of.accepts(document) else 0.0
        case _:
            return 1.0


def _options(head: str, fields: tuple[str, ...], document: dict[str, Any]) -> list[dict[str, str]]:
    """The distinct ways to fill the fields that begin with `head`."""
    paths = {field: field.split(".")[1:] for field in fields if field.split(".")[0] == head}
    root = document.get(head)
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for element in root if isinstance(root, list | tuple) else [root]:
        leaves = [list(dict.fromkeys(_text(leaf) for leaf in _leaves(element, path))) for path in paths.values()]
        if math.prod(len(values) for values in leaves) + len(found) > MAX_GROUPS:
            raise InvalidRecord(f"the event has more than {MAX_GROUPS} values of {', '.join(paths)}")
        for values in itertools.product(*leaves):
            found[values] = dict(zip(paths, values, strict=True))
    return list(found.values())


def _leaves(node: Any, path: list[str]) -> Iterator[Any]:
    if isinstance(node, list | tuple):
        for element in node:
            yield from _leaves(element, path)
    elif path:
        if isinstance(node, dict):
            yield from _leaves(node.get(path[0]), path[1:])
    elif node not in _MISSING and not isinstance(node, dict):
        yield node


def _text(leaf: Any) -> str:
    """A group value as text, as KQL and JSON write it."""
    if isinstance(leaf, bool):
        return "true" if leaf else "false"
    return cut(str(leaf), 512)
