"""Plans as tantivy queries, built from its query objects: its own query parser misreads negations and prefixes."""

from collections.abc import Callable, Iterable
from datetime import datetime

from tantivy import FieldType, Occur, Query, Schema, Searcher

from search.analysis import Clause, Phrase
from search.dates import bounds_ms
from search.mapping import EXTRA, Field
from search.nodes import Operator, Pattern
from search.patterns import beyond, matches, pattern, regex
from search.plan import All, AllOf, AnyOf, DateRange, Has, NoneOf, NumberRange, Plan, Term, TermPattern, TermRange, Words
from search.tantivy_schema import NAMES, SEPARATOR, words_field

_IN_NAME = f"[^{SEPARATOR}]*"


class QueryBuilder:
    """Builds queries against one searcher, whose term dictionaries the ranges over keywords read."""

    def __init__(self, schema: Schema, searcher: Searcher, now: datetime) -> None:
        self._schema = schema
        self._searcher = searcher
        self._now = now

    def build(self, planned: Plan) -> Query:
        """The query that admits what the plan admits."""
        match planned:
            case All():
                return Query.all_query()
            case AllOf(plans):
                return all_of(self.build(part) for part in plans)
            case AnyOf(plans):
                return any_of(self.build(part) for part in plans)
            case NoneOf(inner):
                return none_of(self.build(inner))
            case Term() | TermPattern() | TermRange():
                return self._keyword(planned)
            case NumberRange(field, operator, number):
                return self.number(field.name, operator, number)
            case DateRange(field, operator, text):
                return self.between_ms(field.name, *bounds_ms(operator, text, self._now))
            case Words(field, clauses):
                return any_of(self._clause(words_field(field), clause) for clause in clauses)
            case Has(field):
                return self.has(field)

    def term(self, field: Field, text: str) -> Query:
        """Documents of which a keyword is `text`."""
        if not _is_extra(field):
            return Query.term_query(self._schema, field.name, text)
        if "*" in field.name:
            return self._extra_matching(field, (text,))
        return Query.term_query(self._schema, EXTRA, f"{field.name}{SEPARATOR}{text}")

    def number(self, name: str, operator: Operator | None, number: float) -> Query:
        """Documents of which a number compares so; None is equality."""
        number += 0.0  # -0.0 would lie below 0.0
        low = number if operator in (None, ">=", ">") else None
        high = number if operator in (None, "<=", "<") else None
        return Query.range_query(
            self._schema,
            name,
            FieldType.Float,
            low,
            high,
            include_lower=operator != ">",
            include_upper=operator != "<",
        )

    def between_ms(self, name: str, low: int | None, high: int | None) -> Query:
        """Documents of which a date lies from `low` to `high`, both included."""
        if low is None and high is None:
            return Query.exists_query(name)
        if low is not None and high is not None and low > high:
            return Query.empty_query()
        return Query.range_query(self._schema, name, FieldType.Integer, low, high)

    def has(self, field: Field) -> Query:
        """Documents that hold a value of the field."""
        if "*" in field.name:
            return self._matching(NAMES, pattern(field.name))
        if field.type == "text" or _is_extra(field):
            return Query.term_query(self._schema, NAMES, field.name)
        return Query.exists_query(field.name)

    def _keyword(self, planned: Term | TermPattern | TermRange) -> Query:
        field = planned.field
        match planned:
            case Term(_, text):
                return self.term(field, text)
            case TermPattern(_, parts):
                return self._extra_matching(field, parts) if _is_extra(field) else self._matching(field.name, parts)
            case TermRange(_, operator, bound):
                return self._terms_beyond(field, beyond(operator, bound))

    def _terms_beyond(self, field: Field, admits: Callable[[str], bool]) -> Query:
        """tantivy has no range over texts: the admitted terms are read from the dictionary."""
        if _is_extra(field):
            return self._read_terms(EXTRA, _literal_start(field), _extra_test(field, admits))
        return self._read_terms(field.name, "", admits)

    def _matching(self, name: str, parts: Pattern) -> Query:
        try:
            return Query.regex_query(self._schema, name, regex(parts))
        except ValueError:  # above 1,000 states of the automaton: a literal of 980 bytes or 53 wildcards
            return self._read_terms(name, parts[0], lambda term: matches(parts, term))

    def _extra_matching(self, field: Field, parts: Pattern) -> Query:
        expression = f"{regex(pattern(field.name), anything=_IN_NAME)}{SEPARATOR}{regex(parts)}"
        try:
            return Query.regex_query(self._schema, EXTRA, expression)
        except ValueError:  # as above
            return self._read_terms(EXTRA, _literal_start(field), _extra_test(field, lambda value: matches(parts, value)))

    def _read_terms(self, name: str, prefix: str, admits: Callable[[str], bool]) -> Query:
        terms = [term for term, _ in self._searcher.terms_with_prefix(name, prefix) if admits(term)]
        return Query.term_set_query(self._schema, name, terms)

    def _clause(self, name: str, clause: Clause) -> Query:
        return all_of(self._phrase(name, phrase) for phrase in clause)

    def _phrase(self, name: str, phrase: Phrase) -> Query:
        literal = all(len(parts) == 1 for parts in phrase)
        if len(phrase) == 1:
            return Query.term_query(self._schema, name, phrase[0][0]) if literal else self._matching(name, phrase[0])
        if literal:
            return Query.phrase_query(self._schema, name, [parts[0] for parts in phrase])
        return Query.regex_phrase_query(self._schema, name, [regex(parts) for parts in phrase])


def all_of(queries: Iterable[Query]) -> Query:
    """Documents that all of the queries admit."""
    every = list(queries)
    return every[0] if len(every) == 1 else Query.boolean_query([(Occur.Must, query) for query in every])


def any_of(queries: Iterable[Query]) -> Query:
    """Documents that one of the queries admits; none where there is no query."""
    every = list(queries)
    return every[0] if len(every) == 1 else Query.boolean_query([(Occur.Should, query) for query in every])


def none_of(query: Query) -> Query:
    """Documents that the query does not admit; a boolean query of exclusions alone would find none."""
    return Query.boolean_query([(Occur.Must, Query.all_query()), (Occur.MustNot, query)])


def _is_extra(field: Field) -> bool:
    return field.name == EXTRA or field.name.startswith(f"{EXTRA}.") or "*" in field.name


def _literal_start(field: Field) -> str:
    """What every term of this name, or of names that this pattern matches, begins with."""
    parts = pattern(field.name)
    return parts[0] if len(parts) > 1 else f"{field.name}{SEPARATOR}"


def _extra_test(field: Field, admits: Callable[[str], bool]) -> Callable[[str], bool]:
    """A test of a term of `extra` by its name and its value."""
    parts = pattern(field.name)

    def test(term: str) -> bool:
        name, _, value = term.partition(SEPARATOR)
        return matches(parts, name) and admits(value)

    return test
