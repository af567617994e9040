"""What in a query cannot match as its author meant, and what to write instead."""

from collections.abc import Iterator

from search.mapping import Field, fields_below, fields_of, nearest_fields
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
    Or,
    Range,
)
from search.patterns import spelled
from search.plan import AnyOf, Words, existing_fields, number, on_field, plan, value_text


def warnings(node: Node) -> list[str]:
    """What in the query cannot match anything, with what to write instead; in the order of the query, without repeats.

    >>> warnings(FieldMatch("sentimnt.label", "negative"))
    ['no field is named sentimnt.label; did you mean sentiment.label?']
    >>> warnings(Range("amount", ">", "much"))
    ['amount holds numbers, and "much" is none']
    """
    found = (warning for leaf in leaves(node) if (warning := _warning(leaf)))
    return list(dict.fromkeys(found))


def leaves(node: Node) -> Iterator[Leaf]:
    """The leaves of the tree, from left to right."""
    match node:
        case MatchAll():
            return
        case And(nodes) | Or(nodes):
            for part in nodes:
                yield from leaves(part)
        case Not(inner):
            yield from leaves(inner)
        case _:
            yield node


def _warning(leaf: Leaf) -> str | None:
    if isinstance(leaf, FreeText | FreePhrase | FreeWildcard):
        return None if plan(leaf) != AnyOf(()) else "a text without letters or digits matches nothing"
    if isinstance(leaf, Exists) or (isinstance(leaf, FieldMatch) and leaf.value is None):
        return None if existing_fields(leaf.field) else _unknown(leaf.field)
    fields = fields_of(leaf.field)
    if not fields:
        return _unknown(leaf.field)
    if "*" in leaf.field:
        return None
    return _misfit(leaf, fields[0])


def _misfit(leaf: Leaf, field: Field) -> str | None:
    """Why the leaf cannot match, or not as one would think, on a field of this type."""
    if isinstance(leaf, Range) and field.type == "keyword" and number(leaf.value) is not None:
        return f'{field.name} holds texts: {leaf.operator} compares them letter by letter, so "10" comes before "9"'
    if isinstance(leaf, Range) and field.type == "text":
        return f"{field.name} holds words, which have no order; search for a word instead"
    planned = on_field(leaf, field)
    if planned is None:
        kind = {"number": "numbers", "date": "dates such as 2022-11-11 or now-2w"}[field.type]
        return f"{field.name} holds {kind}, and {_quoted(leaf)} is none"
    if isinstance(planned, Words) and not planned.clauses:
        return f"{_quoted(leaf)} holds no letter or digit and matches nothing"
    return None


def _quoted(leaf: Leaf) -> str:
    match leaf:
        case FieldMatch(_, value):
            return f'"{value_text(value)}"'
        case FieldPhrase(_, text) | Range(_, _, text):
            return f'"{text}"'
        case FieldWildcard(_, parts):
            return f'"{spelled(parts)}"'
        case _:
            return "this"


def _unknown(name: str) -> str:
    if below := fields_below(name):
        return f"{name} is an object; name a field of it: {', '.join(field.name for field in below)}"
    near = nearest_fields(name)
    hint = f"did you mean {' or '.join(near)}?" if near else "fields that a source adds are called extra.<name>"
    return f"no field is named {name}; {hint}"
