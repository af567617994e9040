"""The fields of an indexed document: one table that the index, the queries, their warnings and the documentation share."""

import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from search.nodes import Pattern
from search.patterns import matches, pattern

FieldType = Literal["keyword", "text", "date", "number"]

EXTRA = "extra"
KEYWORD_MAX_CHARS = (
    8191  # Lucene refuses terms above 32,766 bytes, and a character takes at most 4: longer values are stored, not indexed
)
LAYOUT = 1  # raise it when analysis.py or a back end's layout changes what an index holds


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its dotted name, how it is compared, and a line for people.

    `free_text`: a bare value searches it by words. `multiple`: a document may hold several values.
    """

    name: str
    type: FieldType
    help: str
    free_text: bool = False
    multiple: bool = False


FIELDS: tuple[Field, ...] = (
    Field("id", "keyword", "id derived from the content; a replay overwrites the same id"),
    Field("kind", "keyword", "news, social or transaction"),
    Field("time", "date", "event time"),
    Field("ingested", "date", "when the event was scored"),
    Field("published", "date", "when the text was published, as its source says"),
    Field("source", "keyword", "who published the text"),
    Field("native_id", "keyword", "the id that the source gave"),
    Field("title", "text", "headline", free_text=True),
    Field("body", "text", "article text", free_text=True),
    Field("text", "text", "text of a post", free_text=True),
    Field("author", "keyword", "who wrote the post"),
    Field("url", "keyword", "where the text was found"),
    Field("followers", "number", "followers of the author"),
    Field("lang", "keyword", "language, such as en or zh"),
    Field("sentiment.label", "keyword", "negative, neutral or positive"),
    Field("sentiment.negative", "number", "probability that the text is negative, 0..1"),
    Field("sentiment.neutral", "number", "probability that the text is neutral, 0..1"),
    Field("sentiment.positive", "number", "probability that the text is positive, 0..1"),
    Field("sentiment.score", "number", "positive minus negative, -1..1, lower = worse news"),
    Field("topic.label", "keyword", "most probable topic"),
    Field("topic.score", "number", "probability of the topic, 0..1"),
    Field("topic.labels", "keyword", "all topics of the text, the most probable first, then its region", multiple=True),
    Field("topic.model.name", "keyword", "model that gave the topic, where it is not the text's"),
    Field("topic.model.version", "keyword", "its version"),
    Field("reason", "keyword", "why a text has no sentiment or topic"),
    Field("entities.id", "keyword", "ids of the companies or products that the text names", multiple=True),
    Field("entities.name", "keyword", "names of the companies or products that the text names", free_text=True, multiple=True),
    Field("entities.mention", "keyword", "how the text spells them", multiple=True),
    Field("entities.start", "number", "character offset at which a mention starts", multiple=True),
    Field("entities.end", "number", "character offset at which a mention ends", multiple=True),
    Field("model.name", "keyword", "model that gave the scores"),
    Field("model.version", "keyword", "its version"),
    Field("customer_id", "keyword", "who paid"),
    Field("terminal_id", "keyword", "where the payment was made"),
    Field("amount", "number", "amount in units of the currency"),
    Field("currency", "keyword", "ISO 4217 code"),
    Field("channel", "keyword", "how the payment was made"),
    Field("country", "keyword", "country of the payment"),
    Field("fraud_score", "number", "probability of fraud, 0..1, higher = riskier"),
    Field("reasons", "text", "what raised the fraud score, the weightiest first", free_text=True, multiple=True),
)

FREE_TEXT: tuple[Field, ...] = tuple(field for field in FIELDS if field.free_text)
BY_NAME: dict[str, Field] = {field.name: field for field in FIELDS}


def field_of(name: str) -> Field | None:
    """The field of this exact name; any name below `extra.` is a keyword; None where the name is unknown.

    >>> field_of("sentiment.label").type, field_of("extra.desk").type, field_of("sentimnt")
    ('keyword', 'keyword', None)
    """
    known = BY_NAME.get(name)
    if known is None and name.startswith(f"{EXTRA}.") and "*" not in name:
        return _extra(name)
    return known


def fields_of(name: str) -> tuple[Field, ...]:
    """The fields that `name` stands for; `*` in it is a wildcard, under which `extra` is one field with a wildcard in its name.

    >>> [field.name for field in fields_of("topic.*")]
    ['topic.label', 'topic.score', 'topic.labels', 'topic.model.name', 'topic.model.version']
    >>> [field.name for field in fields_of("extra.d*k")]
    ['extra.d*k']
    """
    if "*" not in name:
        field = field_of(name)
        return () if field is None else (field,)
    parts = pattern(name)
    known = tuple(field for field in FIELDS if matches(parts, field.name))
    return (*known, _extra(name)) if _reaches_extra(parts) else known


def fields_below(name: str) -> tuple[Field, ...]:
    """The fields whose names begin with `name` and a dot.

    >>> [field.name for field in fields_below("model")]
    ['model.name', 'model.version']
    """
    return tuple(field for field in FIELDS if field.name.startswith(f"{name}."))


def nearest_fields(name: str, *, limit: int = 3) -> list[str]:
    """The names of fields most like `name`, the likest first; empty where none is like it.

    >>> nearest_fields("sentimnt.label")[0]
    'sentiment.label'
    >>> nearest_fields("label")
    ['topic.label', 'sentiment.label', 'topic.labels']
    """
    wanted = name.lower()

    def likeness(known: str) -> float:
        last = known.rsplit(".", 1)[-1]
        whole = difflib.SequenceMatcher(None, wanted, known).ratio()
        return max(whole, difflib.SequenceMatcher(None, wanted, last).ratio() - 0.01)  # the whole name decides a tie

    ranked = sorted(((likeness(known), known) for known in BY_NAME), key=lambda one: (-one[0], len(one[1])))
    best = ranked[0][0]
    return [known for score, known in ranked[:limit] if score >= 0.6 and score > best - 0.1]


@cache
def digest() -> str:
    """A hash of the table and layout; an index built under another one must be built anew."""
    rows: Iterator[str] = (f"{field.name}:{field.type}:{field.free_text}:{field.multiple}" for field in FIELDS)
    return hashlib.sha256("\n".join([str(LAYOUT), *rows]).encode()).hexdigest()


def _extra(name: str) -> Field:
    return Field(name, "keyword", "a field that the source sent beyond those known", multiple=True)


def _reaches_extra(parts: Pattern) -> bool:
    prefix = f"{EXTRA}."
    return parts[0].startswith(prefix) or prefix.startswith(parts[0])
