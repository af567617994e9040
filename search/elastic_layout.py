"""How a document lies in Elasticsearch.

The document's own fields are indexed under their own names, so that Kibana shows and searches them. Beside them, under `groundswell`,
lies what its analyzers or types cannot give exactly as the other indexes do: the tokens of our own analyzer, which a whitespace
analyzer only splits; what a source adds, as `name NUL value` terms, so that new names need no new mappings; and which text and extra
fields a document has. Texts are also analysed by their language, for people who search in Kibana.

Nothing is `nested`: a query's conditions on two fields of `entities` may be met by two entities, as in every index of ours.
"""

import re
from typing import Any

import msgspec

from search.analysis import analyze
from search.dates import text_ms
from search.documents import Document, extras, keywords, prefixes, present
from search.mapping import EXTRA, FIELDS, KEYWORD_MAX_CHARS, Field, digest

SEPARATOR = "\0"
OWN = "groundswell"
NAMES = f"{OWN}.names"
TERMS = f"{OWN}.extra"
_ORIGINAL = "original"
_LANGUAGES = ("en", "es", "zh")
_ANALYZERS = {"en": ("english",), "es": ("spanish",), "zh": ("smartcn", "cjk")}  # the first that the cluster has
_KEYS = frozenset({EXTRA, *(field.name.partition(".")[0] for field in FIELDS)})
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?", re.ASCII)


def words_field(field: Field) -> str:
    """The Elasticsearch field that holds the words of `field`."""
    return f"{OWN}.words.{field.name}"


def extra_column(name: str) -> str:
    """The Elasticsearch field by which hits are sorted and counted that have the extra field `name`.

    >>> extra_column("extra.desk.name")
    'groundswell.columns.desk.name'
    """
    return f"{OWN}.columns.{name.removeprefix(f'{EXTRA}.')}"


def candidates() -> list[str]:
    """The analyzers that the mapping would use, where the cluster has them."""
    return sorted({name for names in _ANALYZERS.values() for name in names})


def mappings(analyzers: frozenset[str]) -> dict[str, Any]:
    """The mapping, with those of the `candidates` that the cluster has; unknown fields are kept and not indexed."""
    words = {field.name: {"type": "text", "analyzer": "whitespace", "norms": False} for field in FIELDS if _has_words(field)}
    languages = {
        language: {"type": "text", "analyzer": next((name for name in _ANALYZERS[language] if name in analyzers), "standard")}
        for language in _LANGUAGES
    }
    own = {
        "words": {"properties": words},
        "names": {"type": "keyword", "doc_values": False},
        "extra": {"type": "keyword", "doc_values": False},
        "columns": {"type": "flattened", "index": False},
        "language": {"properties": languages},
        _ORIGINAL: {"type": "keyword", "index": False, "doc_values": False},
    }
    return {
        "dynamic": False,
        "_meta": {"layout": digest()},
        "_source": {"excludes": [f"{OWN}.{name}" for name in own if name != _ORIGINAL]},
        "properties": {
            **{field.name: _TYPES[field.type] for field in FIELDS},
            EXTRA: {"type": "object", "enabled": False},
            OWN: {"properties": own},
        },
    }


_TYPES: dict[str, dict[str, Any]] = {
    "keyword": {"type": "keyword"},
    "text": {"type": "text"},
    "date": {"type": "date"},
    "number": {"type": "double"},
}


def body(document: Document) -> bytes:
    """The JSON that Elasticsearch is given for a document without fault.

    >>> msgspec.json.decode(body({"id": "a", "title": "Debt default"}))["groundswell"]["words"]
    {'title': ['debt default']}
    """
    held = present(document)
    fields = document
    own = _own(document, held)
    if document.keys() - _KEYS or any(_is_odd(field, values) for field, values in held):
        fields = {field.name: normal for field, values in held if (normal := _normal(field, values))}
        own[_ORIGINAL] = msgspec.json.encode(document).decode()
    return msgspec.json.encode({**fields, OWN: own})


def original(source: dict[str, Any]) -> Document:
    """The document as it was written, from what Elasticsearch keeps of it.

    >>> original({"id": "a", "groundswell": {}})
    {'id': 'a'}
    """
    kept: str | None = source.pop(OWN, {}).get(_ORIGINAL)
    if kept is None:
        return source
    document: Document = msgspec.json.decode(kept)
    return document


def _own(document: Document, held: list[tuple[Field, list[Any]]]) -> dict[str, Any]:
    own: dict[str, Any] = {}
    words = {field.name: [" ".join(analyze(value)) for value in values] for field, values in held if _has_words(field)}
    if words:
        own["words"] = words
    names = [field.name for field, _ in held if field.type == "text"]
    if document.get(EXTRA):
        further = extras(document)
        own["extra"] = [f"{name}{SEPARATOR}{value}" for name, values in further.items() for value in dict.fromkeys(values)]
        own["columns"] = {name.removeprefix(f"{EXTRA}."): values for name, values in further.items()}
        names += prefixes(tuple(further))
    own["names"] = names
    language = str(document.get("lang"))[:2]
    if language in _LANGUAGES:
        own["language"] = {language: [value for field, values in held if field.type == "text" for value in values]}
    return own


def _has_words(field: Field) -> bool:
    return field.type == "text" or field.free_text


def _is_odd(field: Field, values: list[Any]) -> bool:
    """Whether Elasticsearch would refuse or index such values in another way than the other indexes do."""
    match field.type:
        case "keyword":
            return any(len(value) > KEYWORD_MAX_CHARS for value in values)
        case "date":
            return not all(_RFC_3339.fullmatch(value) for value in values)
        case "number":
            return any(value == 0 and str(value)[0] == "-" for value in values)  # it sorts -0.0 before 0.0
        case _:
            return False


def _normal(field: Field, values: list[Any]) -> list[Any]:
    match field.type:
        case "keyword":
            return keywords(values)
        case "date":
            return [text_ms(value) for value in values]
        case "number":
            return [value + 0.0 for value in values]
        case _:
            return values
