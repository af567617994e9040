"""The tree of a KQL query: what every back end, the predicate and the explanation read.

A wildcard pattern is held as its literal parts, so that a literal `*` cannot be taken for a wildcard:
`neg*` is `("neg", "")`, `*` is `("", "")`, `a*b` is `("a", "b")`.
"""

from dataclasses import dataclass
from typing import Literal

Operator = Literal[">=", "<=", ">", "<"]
Scalar = str | bool | None
Pattern = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MatchAll:
    """Every document."""


@dataclass(frozen=True, slots=True)
class And:
    """Documents that match all of `nodes`."""

    nodes: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """Documents that match at least one of `nodes`."""

    nodes: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """Documents that do not match `node`."""

    node: "Node"


@dataclass(frozen=True, slots=True)
class FieldMatch:
    """`field:value`. `field` may hold `*` as a wildcard; `None` is KQL's null: the field has no value."""

    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class FieldPhrase:
    """`field:"text"`: the words in this order; a keyword is compared whole."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class FieldWildcard:
    """`field:va*e`."""

    field: str
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Exists:
    """`field:*`: the field, or a field below it, has a value; an empty text counts."""

    field: str


@dataclass(frozen=True, slots=True)
class Range:
    """`field >= value`; a date that names a period counts whole: `time > 2022` begins with 2023."""

    field: str
    operator: Operator
    value: str


@dataclass(frozen=True, slots=True)
class FreeText:
    """A bare value: any of its words, in any of the fields that free text searches."""

    text: str


@dataclass(frozen=True, slots=True)
class FreePhrase:
    """A quoted value: its words in this order, in one of the fields that free text searches."""

    text: str


@dataclass(frozen=True, slots=True)
class FreeWildcard:
    """A bare value that holds wildcards."""

    pattern: Pattern


Leaf = FieldMatch | FieldPhrase | FieldWildcard | Exists | Range | FreeText | FreePhrase | FreeWildcard
Node = MatchAll | And | Or | Not | Leaf
