"""The words of a query that a page marks in the texts it shows."""

from collections.abc import Iterator

from search.mapping import fields_of
from search.nodes import (
    And,
    FieldMatch,
    FieldPhrase,
    FieldWildcard,
    FreePhrase,
    FreeText,
    FreeWildcard,
    Node,
    Or,
)

MAX_WORDS = 50  # the page makes one regular expression of them


def highlighted_words(node: Node) -> list[str]:
    """Words, phrases (with inner spaces) and wildcards (with `*`) that `node` looks for in texts; nothing that it excludes.

    >>> from search.kql import parse
    >>> highlighted_words(parse('title:"chapter 11" and bankrupt* and not rumour and lang:en'))
    ['chapter 11', 'bankrupt*']
    """
    return list(dict.fromkeys(word for word in _words(node) if word.strip("* ")))[:MAX_WORDS]


def _words(node: Node) -> Iterator[str]:
    match node:
        case And(nodes) | Or(nodes):
            for part in nodes:
                yield from _words(part)
        case FreeText(text):
            yield from text.split()
        case FreePhrase(text):
            yield text
        case FreeWildcard(pattern):
            yield "*".join(pattern)
        case FieldMatch(field, str(text)) if _is_text(field):
            yield from text.split()
        case FieldPhrase(field, text) if _is_text(field):
            yield text
        case FieldWildcard(field, pattern) if _is_text(field):
            yield "*".join(pattern)


def _is_text(field: str) -> bool:
    return any(known.free_text for known in fields_of(field))
