"""A query in plain words, for alert rules, saved searches and their confirmations."""

import re

from search.mapping import FieldType, field_of
from search.nodes import (
    And,
    Exists,
    FieldMatch,
    FieldPhrase,
    FieldWildcard,
    FreePhrase,
    FreeText,
    FreeWildcard,
    Leaf,
    MatchAll,
    Node,
    Not,
    Operator,
    Or,
    Range,
)
from search.patterns import spelled
from search.plan import value_text

_COMPARED: dict[Operator, str] = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_DATED: dict[Operator, str] = {">=": "no earlier than", "<=": "no later than", ">": "after", "<": "before"}
_AGO = re.compile(r"now([+-])(\d{1,6})([yMwdhHms])", re.ASCII)
_UNITS = {"y": "year", "M": "month", "w": "week", "d": "day", "h": "hour", "H": "hour", "m": "minute", "s": "second"}


def explain(node: Node) -> str:
    """What a document must be like to match.

    >>> from search.kql import parse
    >>> explain(parse("sentiment.label:negative and topic.label:*"))
    'sentiment.label is negative and topic.label exists'
    >>> explain(parse("(恒大 or title:default*) and not amount < 100 and time >= now-2w"))
    'the text has 恒大 or title has default*, and amount is not less than 100, and time is no earlier than 2 weeks ago'
    """
    match node:
        case MatchAll():
            return "every document matches"
        case And(nodes):
            return _listed(nodes, "and")
        case Or(nodes):
            return _listed(nodes, "or")
        case Not(inner):
            return _denied(inner)
        case _:
            return _leaf(node, denied=False)


def _denied(node: Node) -> str:
    match node:
        case MatchAll():
            return "no document matches"
        case And() | Or() | Not():
            return f"it is not so that {_in_brackets(node)}"
        case _:
            return _leaf(node, denied=True)


def _listed(nodes: tuple[Node, ...], word: str) -> str:
    """The parts joined; lists within the list are set off by commas, deeper ones by brackets."""
    nested = any(isinstance(node, And | Or) for node in nodes)
    parts = [_in_list(node) for node in nodes]
    return (f", {word} " if nested else f" {word} ").join(parts)


def _in_list(node: Node) -> str:
    if isinstance(node, And | Or) and any(isinstance(part, And | Or) for part in node.nodes):
        return _in_brackets(node)
    return explain(node)


def _in_brackets(node: Node) -> str:
    return f"({explain(node)})"


def _leaf(leaf: Leaf, *, denied: bool) -> str:
    match leaf:
        case Exists(name):
            return f"{name} does not exist" if denied else f"{name} exists"
        case FieldMatch(name, None):
            return f"{name} exists" if denied else f"{name} does not exist"
        case FreeText() | FreePhrase() | FreeWildcard():
            return f"the text {_has(denied)} {_sought(leaf)}"
        case Range(name, operator, value):
            compared = _DATED if _type(name) == "date" else _COMPARED
            return f"{name} {_is(denied)} {compared[operator]} {_date(value) if _type(name) == 'date' else value}"
        case FieldMatch(name) | FieldPhrase(name) | FieldWildcard(name) if _type(name) == "text":
            return f"{name} {_has(denied)} {_sought(leaf)}"
        case FieldWildcard(name, parts):
            return f"{name} {_is(denied)} like {spelled(parts)}"
        case FieldMatch(name) | FieldPhrase(name):
            value = leaf.text if isinstance(leaf, FieldPhrase) else value_text(leaf.value)
            return f"{name} {_is(denied)} {'in ' if _type(name) == 'date' else ''}{value or 'empty'}"


def _sought(leaf: FreeText | FreePhrase | FreeWildcard | FieldMatch | FieldPhrase | FieldWildcard) -> str:
    match leaf:
        case FreePhrase(text) | FieldPhrase(_, text):
            return f'"{text}"'
        case FreeWildcard(parts) | FieldWildcard(_, parts):
            words = spelled(parts).split()
        case FreeText(text):
            words = text.split()
        case FieldMatch(_, value):
            words = value_text(value).split()
    return words[0] if len(words) == 1 else f"any of {', '.join(words)}"


def _date(value: str) -> str:
    ago = _AGO.fullmatch(value)
    if ago is None:
        return value
    count = f"{int(ago[2])} {_UNITS[ago[3]]}{'' if int(ago[2]) == 1 else 's'}"
    return f"{count} ago" if ago[1] == "-" else f"{count} from now"


def _type(name: str) -> FieldType | None:
    field = field_of(name)
    return field.type if field else None


def _is(denied: bool) -> str:
    return "is not" if denied else "is"


def _has(denied: bool) -> str:
    return "does not have" if denied else "has"
