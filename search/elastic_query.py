"""Plans as Elasticsearch's query DSL: pure, no client is touched.

Everything stands in filter context: hits are sorted by fields, so no score is computed.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from core.errors import QueryError
from search.analysis import Clause, Phrase
from search.dates import bounds_ms
from search.elastic_layout import NAMES, SEPARATOR, TERMS, words_field
from search.mapping import EXTRA, KEYWORD_MAX_CHARS, Field
from search.nodes import Operator, Pattern
from search.patterns import pattern, spelled
from search.plan import All, AllOf, AnyOf, DateRange, Has, NoneOf, NumberRange, Plan, Term, TermPattern, TermRange, Words

Dsl = dict[str, Any]

NONE: Dsl = {"match_none": {}}
_ALL: Dsl = {"match_all": {}}
_LONGEST_BYTES = 900  # of a pattern: Lucene refuses automata of above 1,000 states, of which a byte takes one
_LONGEST_BOUND = 100  # of a range over names with wildcards: a regular expression that nests once a character
_ANYTHING = "(.|\n)*"
_NOTHING = "#"  # under the flag EMPTY
_IN_NAME = f"[^{SEPARATOR}]*"
_BOUNDS = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt"}


def dsl(planned: Plan, now: datetime) -> Dsl:
    """The query that admits what the plan admits; raises QueryError for patterns that are longer than Lucene takes.

    >>> from datetime import UTC
    >>> from search.kql import parse
    >>> from search.plan import plan
    >>> dsl(plan(parse("lang:en and not amount > 5")), datetime(2022, 11, 11, tzinfo=UTC))
    {'bool': {'filter': [{'term': {'lang': {'value': 'en'}}}, {'bool': {'must_not': [{'range': {'amount': {'gt': 5.0}}}]}}]}}
    """
    match planned:
        case All():
            return _ALL
        case AllOf(plans):
            return all_of([dsl(part, now) for part in plans])
        case AnyOf(plans):
            return any_of([dsl(part, now) for part in plans])
        case NoneOf(NoneOf(inner)):
            return dsl(inner, now)
        case NoneOf(inner):
            return {"bool": {"must_not": [dsl(inner, now)]}}
        case Term(field, text):
            return _term(field, text)
        case TermPattern(field, parts):
            return _extra_pattern(field, parts) if _is_extra(field) else _pattern(field.name, parts)
        case TermRange(field, operator, text):
            return _term_range(field, operator, text)
        case NumberRange(field, operator, number):
            return _number(field.name, operator, number + 0.0)  # -0.0 would lie below 0.0
        case DateRange(field, operator, text):
            return between_ms(field.name, *bounds_ms(operator, text, now))
        case Words(field, clauses):
            return _words(words_field(field), clauses)
        case Has(field):
            return _has(field)


def all_of(queries: Sequence[Dsl]) -> Dsl:
    """Documents that all of the queries admit."""
    return queries[0] if len(queries) == 1 else {"bool": {"filter": list(queries)}}


def any_of(queries: Sequence[Dsl]) -> Dsl:
    """Documents that one of the queries admits; none where there is no query."""
    if not queries:
        return NONE
    return queries[0] if len(queries) == 1 else {"bool": {"should": list(queries), "minimum_should_match": 1}}


def between_ms(name: str, low: int | None, high: int | None) -> Dsl:
    """Documents of which a date lies from `low` to `high`, both included."""
    if low is None and high is None:
        return {"exists": {"field": name}}
    if low is not None and high is not None and low > high:
        return NONE
    bounds = {"gte": low, "lte": high}
    return {"range": {name: {**{key: ms for key, ms in bounds.items() if ms is not None}, "format": "epoch_millis"}}}


def _number(name: str, operator: Operator | None, number: float) -> Dsl:
    return {"range": {name: {_BOUNDS[operator]: number} if operator else {"gte": number, "lte": number}}}


def _term(field: Field, text: str) -> Dsl:
    if len(text) > KEYWORD_MAX_CHARS:  # such a value is not indexed, and Lucene refuses to look for it
        return NONE
    if not _is_extra(field):
        return {"term": {field.name: {"value": text}}}
    if "*" in field.name:
        return _extra_pattern(field, (text,))
    sought = f"{field.name}{SEPARATOR}{text}"
    return NONE if len(sought) > KEYWORD_MAX_CHARS else {"term": {TERMS: {"value": sought}}}


def _term_range(field: Field, operator: Operator, bound: str) -> Dsl:
    if _bytes((bound,)) > _LONGEST_BYTES:
        raise QueryError(f"the bound is longer than {_LONGEST_BYTES} bytes; shorten it", query=bound[:80], position=0)
    if not _is_extra(field):
        return {"range": {field.name: {_BOUNDS[operator]: bound}}}
    if "*" in field.name:
        return _regexp(f"{_name_regex(field)}{SEPARATOR}{_beyond(operator, bound)}")
    first, after = f"{field.name}{SEPARATOR}", f"{field.name}\x01"  # all values of the name lie between them
    rest = {"lt": after} if operator in (">", ">=") else {"gte": first}
    return {"range": {TERMS: {_BOUNDS[operator]: first + bound, **rest}}}


def _has(field: Field) -> Dsl:
    if "*" in field.name:
        return _pattern(NAMES, pattern(field.name))
    if field.type == "text" or _is_extra(field):
        return {"term": {NAMES: {"value": field.name}}}
    return {"exists": {"field": field.name}}


def unindexed(planned: Plan) -> frozenset[str]:
    """The fields that a query must read from the stored documents, since it asks for a prefix that is too long for an index."""
    match planned:
        case AllOf(plans) | AnyOf(plans):
            return frozenset().union(*map(unindexed, plans))
        case NoneOf(inner):
            return unindexed(inner)
        case TermPattern(field, parts) if not _is_extra(field) and _is_prefix(parts) and _bytes(parts) > _LONGEST_BYTES:
            return frozenset({field.name})
        case _:
            return frozenset()


def _is_prefix(parts: Pattern) -> bool:
    return len(parts) == 2 and bool(parts[0]) and not parts[1]


def _bytes(parts: Pattern) -> int:
    return sum(len(part.encode("utf-8", "replace")) for part in parts)


def _pattern(name: str, parts: Pattern) -> Dsl:
    if _is_prefix(parts) and _bytes(parts) > _LONGEST_BYTES:
        return {"prefix": {name: {"value": parts[0]}}}
    if _is_prefix(parts):
        return {"range": {name: {"gte": parts[0], **_below_successor(parts[0])}}}  # no limit to how many terms it covers
    return {"wildcard": {name: {"value": _wildcard(parts)}}}


def _below_successor(prefix: str) -> dict[str, str]:
    """The bound under which all texts lie that begin with `prefix`; none where it ends in the last of all characters.

    >>> _below_successor("ab")
    {'lt': 'ac'}
    """
    start = prefix.rstrip("\U0010ffff")
    if not start:
        return {}
    following = ord(start[-1]) + 1
    return {"lt": start[:-1] + chr(0xE000 if 0xD800 <= following <= 0xDFFF else following)}  # UTF-8 knows no surrogates


def _wildcard(parts: Pattern) -> str:
    _check_length(parts)
    return spelled(parts).replace("?", "\\?")


def _check_length(parts: Pattern) -> None:
    if _bytes(parts) > _LONGEST_BYTES:
        message = f"the pattern is longer than {_LONGEST_BYTES} bytes; shorten it"
        raise QueryError(message, query=spelled(parts)[:80], position=0)


def _extra_pattern(field: Field, parts: Pattern) -> Dsl:
    _check_length(parts)
    if "*" in field.name:
        return _regexp(f"{_name_regex(field)}{SEPARATOR}{_regex(parts, _ANYTHING)}")
    return _pattern(TERMS, (f"{field.name}{SEPARATOR}{parts[0]}", *parts[1:]))


def _name_regex(field: Field) -> str:
    return _regex(pattern(field.name), _IN_NAME)


def _regexp(expression: str) -> Dsl:
    return {"regexp": {TERMS: {"value": expression, "flags": "EMPTY"}}}


def _regex(parts: Iterable[str], anything: str) -> str:
    r"""A regular expression of Lucene's for the whole text.

    >>> print(_regex(("a.b", "c"), "x*"))
    a\.bx*c
    """
    return anything.join("".join(map(_literal, part)) for part in parts)


def _literal(char: str) -> str:
    return f"\\{char}" if char.isascii() and char.isprintable() and not char.isalnum() else char


def _beyond(operator: Operator, bound: str) -> str:
    """A regular expression of the texts that compare so to `bound`, by code points.

    >>> _beyond("<=", "b") == f"(()|([\\0-a]){_ANYTHING}|b())"
    True
    """
    if len(bound) > _LONGEST_BOUND:
        message = f"a range over several fields compares with at most {_LONGEST_BOUND} characters; name the field"
        raise QueryError(message, query=bound[:80], position=0)
    above = operator in (">", ">=")
    end = {">=": f"({_ANYTHING})", ">": "(.|\n)" + _ANYTHING, "<=": "()", "<": _NOTHING}[operator]
    for char in reversed(bound):
        others = _range_above(char) if above else _range_below(char)
        shorter = "" if above else "()|"
        first = f"({others}){_ANYTHING}|" if others else ""
        end = f"({shorter}{first}{_literal(char)}{end})"
    return end


def _range_above(char: str) -> str:
    return "" if char == "\U0010ffff" else f"[{_literal(chr(ord(char) + 1))}-\U0010ffff]"


def _range_below(char: str) -> str:
    return "" if char == "\0" else f"[\0-{_literal(chr(ord(char) - 1))}]"


def _words(name: str, clauses: tuple[Clause, ...]) -> Dsl:
    """Single words together in one query: a text of thousands of words stays below the limit of clauses."""
    words = [found for clause in clauses if (found := _one_word(clause)) is not None]
    others = [_clause(name, clause) for clause in clauses if _one_word(clause) is None]
    return any_of([*([{"terms": {name: words}}] if words else []), *others])


def _one_word(clause: Clause) -> str | None:
    return clause[0][0][0] if len(clause) == len(clause[0]) == len(clause[0][0]) == 1 else None


def _clause(name: str, clause: Clause) -> Dsl:
    return all_of([_phrase(name, phrase) for phrase in clause])


def _phrase(name: str, phrase: Phrase) -> Dsl:
    if len(phrase) == 1:
        return {"term": {name: {"value": phrase[0][0]}}} if len(phrase[0]) == 1 else _pattern(name, phrase[0])
    if all(len(parts) == 1 for parts in phrase):
        return {"match_phrase": {name: {"query": " ".join(parts[0] for parts in phrase)}}}
    spans = [_span(name, parts) for parts in phrase]
    return {"span_near": {"clauses": spans, "slop": 0, "in_order": True}}


def _span(name: str, parts: Pattern) -> Dsl:
    if len(parts) == 1:
        return {"span_term": {name: {"value": parts[0]}}}
    return {"span_multi": {"match": {"wildcard": {name: {"value": _wildcard(parts)}}}}}


def _is_extra(field: Field) -> bool:
    return field.name == EXTRA or field.name.startswith(f"{EXTRA}.") or "*" in field.name
