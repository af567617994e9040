"""Scored records as documents, and the values that a document holds under a field's dotted name."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from core.records import Scored
from search.dates import text_ms
from search.mapping import EXTRA, FIELDS, KEYWORD_MAX_CHARS, Field
from search.patterns import matches, pattern

Document = dict[str, Any]
"""A record as plain JSON values; times are RFC 3339 texts."""

Held = list[tuple[Field, list[Any]]]
"""The mapped fields of which a document holds values, with those values."""

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


def present(document: Document) -> Held:
    """The mapped fields of which the document holds values, with those values.

    >>> [(field.name, values) for field, values in present({"id": "a", "topic": {"label": "debt"}, "other": 1})]
    [('id', ['a']), ('topic.label', ['debt'])]
    """
    found = []
    for key, value in document.items():
        for field, inner in _BY_KEY.get(key, ()):
            values = _flat(value) if inner is None else _inner(value, inner)
            if values:
                found.append((field, values))
    return found


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
    _gather(EXTRA, document.get(EXTRA), 0, found)
    return found


@lru_cache(maxsize=1024)  # a source's events have the same names
def prefixes(names: tuple[str, ...]) -> frozenset[str]:
    """The names themselves and those of the objects that they lie in.

    >>> sorted(prefixes(("extra.desk.floor",)))
    ['extra', 'extra.desk', 'extra.desk.floor']
    """
    return frozenset(name[:end] for name in names for end in (*_dots(name), len(name)))


def keywords(values: list[Any]) -> list[str]:
    """Those values that a keyword field indexes."""
    return [value for value in values if type(value) is str and len(value) <= KEYWORD_MAX_CHARS]


def fault(document: Document, held: Held | None = None) -> str | None:
    """Why no index can take this document, however often it is tried; None where it can. `held` is what is `present` in it, if known.

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
    for field, values in present(document) if held is None else held:
        if (len(values) > 1 or type(values[0]) is not str or field.type not in _TEXTS) and (reason := _misfit(field, values)):
            return f"{field.name}: {reason}"
    return None


def _shape_fault(document: Document) -> str | None:
    for name in _OBJECTS:
        value = document.get(name)
        if type(value) is not dict and value is not None and not all(type(part) is dict for part in _flat(value)):
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
    misfit = _MISFITS[field.type]
    for value in values:
        if reason := misfit(value):
            return f"{repr(value)[:80]} {reason}"
    return None


def _no_text(value: Any) -> str | None:
    return None if type(value) is str else "is no text"


def _no_number(value: Any) -> str | None:
    if type(value) is not float and type(value) is not int:
        return "is no number"
    return None if -1e308 < value < 1e308 else "is not finite"


def _no_date(value: Any) -> str | None:
    moment = text_ms(value) if type(value) is str else None
    if moment is None:
        return "is no RFC 3339 time"
    return None if MIN_DATE_MS <= moment <= MAX_DATE_MS else "is not between 1678 and 2261"


def _inner(value: Any, key: str) -> list[Any]:
    """The leaves under a key, dotted where objects lie in objects."""
    if type(value) is dict and "." not in key:
        return _flat(value.get(key))
    first, _, rest = key.partition(".")
    parts = [part.get(first) for part in _flat(value) if type(part) is dict]
    return [leaf for part in parts for leaf in (_inner(part, rest) if rest else _flat(part))]


def _flat(value: Any) -> list[Any]:
    if type(value) in _SCALARS:  # most values; every microsecond counts here, since all that is indexed or matched comes by
        return [value]
    if value is None:
        return []
    if type(value) is list or type(value) is tuple:
        return [leaf for part in value for leaf in _flat(part)]
    return [value]


def _gather(name: str, value: Any, depth: int, found: dict[str, list[str]]) -> None:
    """Add to `found` the leaves below a name, as texts."""
    if value is None or depth > MAX_EXTRA_DEPTH:
        return
    if type(value) is dict:
        for key, inner in value.items():
            _gather(f"{name}.{key}".replace("\0", "\ufffd"), inner, depth + 1, found)
    elif type(value) is list or type(value) is tuple:
        for part in value:
            _gather(name, part, depth, found)
    else:
        text = value if type(value) is str else msgspec.json.encode(value).decode()
        if len(name) + len(text) <= KEYWORD_MAX_CHARS:  # an index may keep both in one term
            found.setdefault(name, []).append(text)


def _dots(name: str) -> list[int]:
    return [at for at, char in enumerate(name) if char == "."]


def _by_key() -> dict[str, list[tuple[Field, str | None]]]:
    found: dict[str, list[tuple[Field, str | None]]] = {}
    for field in FIELDS:
        key, _, inner = field.name.partition(".")
        found.setdefault(key, []).append((field, inner or None))
    return found


_SCALARS = frozenset((str, float, int, bool))
_TEXTS = ("keyword", "text")
_MISFITS = {"keyword": _no_text, "text": _no_text, "number": _no_number, "date": _no_date}
_BY_KEY = _by_key()
_OBJECTS = (EXTRA, *(key for key, fields in _BY_KEY.items() if fields[0][1] is not None))
