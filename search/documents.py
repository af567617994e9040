"""Scored records as documents, and the values that a document holds under a field's dotted name."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from core.records import Scored
from search.dates import text_ms
from search.mapping import EXTRA, FIELDS, KEYWORD_MAX_CHARS, Field
from search.patterns import matches, pattern

Document = dict[str, Any]
"""A record as plain JSON values; times are RFC 3339 texts."""

MAX_ID_BYTES = 512  # Elasticsearch's limit for _id
MAX_EXTRA_DEPTH = 20  # Elasticsearch's index.mapping.depth.limit
# 1678 to 2262: what 64 bits of nanoseconds hold, the range of Elasticsearch's date_nanos and of tantivy's dates
MIN_DATE_MS, MAX_DATE_MS = -9_214_560_000_000, 9_214_646_400_000


def document(record: Scored) -> Document:
    """The record as a document; its field names are those of the index.

    >>> from datetime import UTC, datetime
    >>> from core.records import ScoredText
    >>> time = datetime(2022, 11, 11, tzinfo=UTC)
    >>> text = ScoredText(id="news-1", kind="news", time=time, ingested=time, published=time, source="wire", title="A default",
    ...     lang="en", sentiment=None, topic=None)
    >>> document(text)["time"]
    '2022-11-11T00:00:00Z'
    """
    fields: Document = msgspec.json.decode(msgspec.json.encode(record))  # to_builtins would leave tuples
    return fields


def reader(name: str) -> Callable[[Document], list[Any]]:
    """A function that returns the values of the field `name`, lists taken apart and nulls left out."""
    first, _, inner = name.partition(".")
    if inner:
        return lambda document: _inner(document.get(first), inner)
    return lambda document: _flat(document.get(first))


def present(document: Document) -> Iterator[tuple[Field, list[Any]]]:
    """The mapped fields of which the document holds values, with those values.

    >>> [(field.name, values) for field, values in present({"id": "a", "topic": {"label": "debt"}, "other": 1})]
    [('id', ['a']), ('topic.label', ['debt'])]
    """
    for key, value in document.items():
        for field, inner in _BY_KEY.get(key, ()):
            values = _flat(value) if inner is None else _inner(value, inner)
            if values:
                yield field, values


def keyword_reader(name: str) -> Callable[[Document], list[Any]]:
    """As `reader`, and also for names below `extra`, where `*` is a wildcard.

    >>> keyword_reader("extra.d*")({"extra": {"desk": "x", "day": 2}})
    ['x', '2']
    """
    if not name.startswith(f"{EXTRA}.") and "*" not in name:
        return reader(name)
    if "*" not in name:
        return lambda document: extras(document).get(name, []) if document.get(EXTRA) else []
    parts = pattern(name)
    return lambda document: [value for known, values in extras(document).items() if matches(parts, known) for value in values]


def extras(document: Document) -> dict[str, list[str]]:
    """The keywords below `extra` by dotted name; numbers and booleans as JSON spells them.

    >>> extras({"extra": {"desk": {"floor": 3, "open": True}, "tags": ["a", "b", None]}})
    {'extra.desk.floor': ['3'], 'extra.desk.open': ['true'], 'extra.tags': ['a', 'b']}
    """
    found: dict[str, list[str]] = {}
    for name, value in _below(EXTRA, document.get(EXTRA)):
        text = value if type(value) is str else msgspec.json.encode(value).decode()
        if len(name) + len(text) <= KEYWORD_MAX_CHARS:  # an index may keep both in one term
            found.setdefault(name, []).append(text)
    return found


def prefixes(names: list[str]) -> set[str]:
    """The names themselves and those of the objects that they lie in.

    >>> sorted(prefixes(["extra.desk.floor"]))
    ['extra', 'extra.desk', 'extra.desk.floor']
    """
    return {name[:end] for name in names for end in (*_dots(name), len(name))}


def keywords(values: list[Any]) -> list[str]:
    """Those values that a keyword field indexes."""
    return [value for value in values if type(value) is str and len(value) <= KEYWORD_MAX_CHARS]


def fault(document: Document) -> str | None:
    """Why no index can take this document, however often it is tried; None where it can.

    >>> fault({"kind": "news"}), fault({"id": "a", "amount": "much"})
    ('id: missing; give the document an id', "amount: 'much' is no number")
    """
    id = document.get("id")  # noqa: A001 - the field's name
    if id is None:
        return "id: missing; give the document an id"
    if not isinstance(id, str) or not 0 < len(id.encode("utf-8", "replace")) <= MAX_ID_BYTES:
        return f"id: must be a text of 1 to {MAX_ID_BYTES} bytes"
    if reason := _shape_fault(document):
        return reason
    try:
        msgspec.json.encode(document)
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError) as error:
        return f"is no JSON: {error}"
    for field, values in present(document):
        if reason := _misfit(field, values):
            return f"{field.name}: {reason}"
    return None


def _shape_fault(document: Document) -> str | None:
    for name in _OBJECTS:
        if not all(type(part) is dict for part in _flat(document.get(name))):
            return f"{name}: must be an object"
    extra = document.get(EXTRA)
    if type(extra) is list:
        return f"{EXTRA}: must be an object"
    return f"{EXTRA}: nested deeper than {MAX_EXTRA_DEPTH}; flatten it" if extra and _deeper(extra, MAX_EXTRA_DEPTH) else None


def _deeper(value: Any, limit: int) -> bool:
    """Whether objects and lists lie more than `limit` deep inside each other."""
    parts = value.values() if type(value) is dict else value if type(value) is list else ()
    return limit < 0 or any(_deeper(part, limit - 1) for part in parts if type(part) in (dict, list))


def _misfit(field: Field, values: list[Any]) -> str | None:
    if len(values) > 1 and not field.multiple:
        return "holds several values; it takes one"
    for value in values:
        if reason := _value_misfit(field, value):
            return f"{repr(value)[:80]} {reason}"
    return None


def _value_misfit(field: Field, value: Any) -> str | None:
    match field.type:
        case "number":
            if type(value) not in (int, float):
                return "is no number"
            return None if -1e308 < value < 1e308 else "is not finite"
        case "date":
            moment = text_ms(value) if type(value) is str else None
            if moment is None:
                return "is no RFC 3339 time"
            return None if MIN_DATE_MS <= moment <= MAX_DATE_MS else "is not between 1678 and 2261"
        case _:
            return None if type(value) is str else "is no text"


def _inner(value: Any, key: str) -> list[Any]:
    """The leaves under a key, dotted where objects lie in objects."""
    first, _, rest = key.partition(".")
    if rest:
        return [leaf for part in _flat(value) if type(part) is dict for leaf in _inner(part.get(first), rest)]
    if type(value) is dict:
        return _flat(value.get(key))
    return [leaf for part in _flat(value) if type(part) is dict for leaf in _flat(part.get(key))]


def _flat(value: Any) -> list[Any]:
    if value is None:
        return []
    if type(value) is list or type(value) is tuple:
        return [leaf for part in value for leaf in _flat(part)]
    return [value]


def _below(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    for leaf in _flat(value) if depth <= MAX_EXTRA_DEPTH else ():
        if type(leaf) is dict:
            for key, inner in leaf.items():
                yield from _below(f"{name}.{key}".replace("\0", "\ufffd"), inner, depth + 1)
        else:
            yield name, leaf


def _dots(name: str) -> list[int]:
    return [at for at, char in enumerate(name) if char == "."]


def _by_key() -> dict[str, list[tuple[Field, str | None]]]:
    found: dict[str, list[tuple[Field, str | None]]] = {}
    for field in FIELDS:
        key, _, inner = field.name.partition(".")
        found.setdefault(key, []).append((field, inner or None))
    return found


_BY_KEY = _by_key()
_OBJECTS = (EXTRA, *(key for key, fields in _BY_KEY.items() if fields[0][1] is not None))
