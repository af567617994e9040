"""A query tree with the mapping applied: what each leaf means for the type of its field.

The back ends and the predicate carry out a plan; none of them looks at types or at KQL's rules again, so they cannot disagree on them.
Dates stay as the user wrote them: `now` is resolved when the plan is carried out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.clock import utc_now
from search.analysis import Clause, any_pattern, any_word, phrase
from search.dates import period
from search.mapping import EXTRA, FREE_TEXT, Field, fields_below, fields_of
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
    Pattern,
    Range,
    Scalar,
)

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class All:
    """Every document."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """Documents that all of `plans` admit."""

    plans: "tuple[Plan, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Documents that one of `plans` admits; none where there is no plan."""

    plans: "tuple[Plan, ...]"


@dataclass(frozen=True, slots=True)
class NoneOf:
    """Documents that `plan` does not admit."""

    plan: "Plan"


@dataclass(frozen=True, slots=True)
class Term:
    """One of the keyword's values is `text`."""

    field: Field
    text: str


@dataclass(frozen=True, slots=True)
class TermPattern:
    """One of the keyword's values matches `pattern`."""

    field: Field
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class TermRange:
    """One of the keyword's values lies beyond `text`, by code points."""

    field: Field
    operator: Operator
    text: str


@dataclass(frozen=True, slots=True)
class NumberRange:
    """One of the numbers compares so; `=` is equality."""

    field: Field
    operator: Operator | None
    number: float


@dataclass(frozen=True, slots=True)
class DateRange:
    """The date lies so to the period that `text` names; without an operator, within it."""

    field: Field
    operator: Operator | None
    text: str


@dataclass(frozen=True, slots=True)
class Words:
    """The field's text, cut into words, satisfies one of `clauses`; also keywords that free text searches."""

    field: Field
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Has:
    """The field has a value. A name below `extra` may be that of an object and may hold `*`."""

    field: Field


FieldPlan = Term | TermPattern | TermRange | NumberRange | DateRange | Words | Has
Plan = All | AllOf | AnyOf | NoneOf | FieldPlan


def plan(node: Node) -> Plan:
    """The plan of a query; a leaf on an unknown field, or with a value that its field cannot hold, admits nothing.

    >>> plan(FieldMatch("amount", "100"))
    ... # doctest: +ELLIPSIS
    NumberRange(field=Field(name='amount', ...), operator=None, number=100.0)
    >>> plan(FieldMatch("sentimnt", "negative"))
    AnyOf(plans=())
    """
    match node:
        case MatchAll():
            return All()
        case And(nodes):
            return AllOf(tuple(plan(part) for part in nodes))
        case Or(nodes):
            return AnyOf(tuple(plan(part) for part in nodes))
        case Not(inner):
            return NoneOf(plan(inner))
        case FreeText(text):
            return _free(any_word(text))
        case FreePhrase(text):
            return _free(phrase(text))
        case FreeWildcard(parts):
            return _free(any_pattern(parts))
        case Exists(name):
            return _any([Has(field) for field in existing_fields(name)])
        case FieldMatch(name, None):
            return NoneOf(plan(Exists(name)))
        case _:
            return _any([found for field in fields_of(node.field) if (found := on_field(node, field)) is not None])


def number(text: str) -> float | None:
    """The finite number that a query's value spells; None where it spells none.

    >>> number("-1.5e3"), number("1_000"), number("nan"), number("1e999")
    (-1500.0, None, None, None)
    """
    value = float(text) if _NUMBER.fullmatch(text) else None
    return None if value is None or value in (float("inf"), float("-inf")) else value


def value_text(value: Scalar) -> str:
    """A bare value as text; KQL's true and false are the words where the field is no boolean.

    >>> value_text(True)
    'true'
    """
    return value if isinstance(value, str) else str(value).lower()


def _free(clauses: tuple[Clause, ...]) -> Plan:
    return AnyOf(tuple(Words(field, clauses) for field in FREE_TEXT) if clauses else ())


def _any(plans: Sequence[FieldPlan]) -> Plan:
    return plans[0] if len(plans) == 1 else AnyOf(tuple(plans))


def existing_fields(name: str) -> tuple[Field, ...]:
    """The fields of which one must have a value for `name:*`: for an object's name, those below it."""
    if name == EXTRA:
        return (Field(EXTRA, "keyword", "any further field", multiple=True),)
    return fields_of(name) or fields_below(name)


def on_field(node: Leaf, field: Field) -> FieldPlan | None:
    """The plan of one leaf for one of the fields that its name stands for; None where its value does not fit the type."""
    match node:
        case FieldMatch(_, value):
            return Words(field, any_word(value_text(value))) if field.type == "text" else _value(field, value_text(value))
        case FieldPhrase(_, text):
            return Words(field, phrase(text)) if field.type == "text" else _value(field, text)
        case FieldWildcard(_, parts):
            return _wildcard(field, parts)
        case Range(_, operator, text):
            return _range(field, operator, text)
        case _:
            raise AssertionError(f"{node} names no field")


def _value(field: Field, text: str) -> FieldPlan | None:
    if field.type == "keyword":
        return Term(field, text)
    return _range(field, None, text)


def _wildcard(field: Field, parts: Pattern) -> FieldPlan | None:
    if field.type == "keyword":
        return TermPattern(field, parts)
    return Words(field, any_pattern(parts)) if field.type == "text" else None


def _range(field: Field, operator: Operator | None, text: str) -> FieldPlan | None:
    match field.type:
        case "keyword" if operator:
            return TermRange(field, operator, text)
        case "number" if (value := number(text)) is not None:
            return NumberRange(field, operator, value)
        case "date" if period(text, utc_now()) is not None:
            return DateRange(field, operator, text)
        case _:
            return None
