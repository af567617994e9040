"""How a document lies in tantivy.

Keywords are raw terms with a column; dates are milliseconds in an integer (tantivy's own dates are indexed in whole seconds); numbers
are floats; texts are the analyzer's tokens, joined by spaces for a tokenizer that only splits them. What a source adds lies in one
field, `extra`, as `name NUL value`, so that new names need no new columns. `names` holds which text and extra fields a document has.
"""

from functools import cache
from typing import Any

import msgspec
import tantivy

from search.analysis import analyze
from search.dates import text_ms
from search.documents import Document, Held, extras, keywords, prefixes
from search.mapping import EXTRA, FIELDS, KEYWORD_MAX_CHARS, Field

NAMES = "names"
STORED = "stored"
SEPARATOR = "\0"
Row = dict[str, list[Any]]
"""The values of each tantivy field."""


def words_field(field: Field) -> str:
    """The tantivy field that holds the words of `field`; a keyword that free text searches has one beside it."""
    return field.name if field.type == "text" else f"{field.name}.words"


@cache
def schema() -> tantivy.Schema:
    """The schema of the mapping."""
    builder = tantivy.SchemaBuilder()
    for field in FIELDS:
        match field.type:
            case "keyword":
                builder.add_text_field(field.name, fast=True, tokenizer_name="raw", index_option="basic")
            case "date":
                builder.add_integer_field(field.name, indexed=True, fast=True)
            case "number":
                builder.add_float_field(field.name, indexed=True, fast=True)
        if field.type == "text" or field.free_text:
            builder.add_text_field(words_field(field), tokenizer_name="whitespace", index_option="position")
    builder.add_text_field(EXTRA, fast=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field(NAMES, tokenizer_name="raw", index_option="basic")
    builder.add_bytes_field(STORED, stored=True)
    return builder.build()


def row(document: Document, held: Held) -> Row:
    """The values of each tantivy field, for a document without fault and what is `present` in it.

    >>> from search.documents import present
    >>> event = {"id": "a", "title": "Debt default", "amount": 2}
    >>> found = row(event, present(event))
    >>> found["title"], found["amount"]
    (['debt default'], [2.0])
    """
    fields: Row = {STORED: [msgspec.json.encode(document)]}
    names: list[str] = []
    for field, values in held:
        match field.type:
            case "keyword":
                single = len(values) == 1 and len(values[0]) <= KEYWORD_MAX_CHARS
                fields[field.name] = values if single else list(dict.fromkeys(keywords(values)))
            case "date":
                fields[field.name] = [text_ms(value) for value in values]
            case "number":
                fields[field.name] = [value + 0.0 for value in values]  # -0.0 would be another term than 0.0
            case "text":
                names.append(field.name)
        if field.type == "text" or field.free_text:
            fields[words_field(field)] = [" ".join(analyze(value)) for value in values]
    if document.get(EXTRA):
        further = extras(document)
        fields[EXTRA] = [f"{name}{SEPARATOR}{value}" for name, values in further.items() for value in dict.fromkeys(values)]
        names += prefixes(tuple(further))
    fields[NAMES] = names
    return fields
