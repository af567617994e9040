"""What one query finds in one searcher: counts, sorted pages, aggregations."""

import itertools
from typing import Any

import msgspec
from tantivy import DocAddress, Order, Query, Searcher, SearchResult

from search.aggregations import Aggregation, DateHistogram, MetricOf, Terms, histogram_bucket, interval_keys, over, refused
from search.documents import Document
from search.mapping import BY_NAME, EXTRA, Field
from search.ordering import Ordering, in_order
from search.patterns import escaped
from search.tantivy_query import QueryBuilder, all_of, none_of
from search.tantivy_schema import SEPARATOR, STORED

# terms asked for beyond those wanted, since tantivy orders ties as they come; each counts towards its limit of 65,000 buckets, with
# those below it
_TERMS_SLACK, _TERMS_SLACK_NESTING = 1000, 50


class TantivyResults:
    """The documents of `searcher` that `query` admits."""

    def __init__(self, searcher: Searcher, builder: QueryBuilder, query: Query) -> None:
        self._searcher = searcher
        self._builder = builder
        self._query = query

    def count(self) -> int:
        """How many there are."""
        # ordered by a column, since scores would be computed otherwise
        return _total(self._searcher.search(self._query, limit=1, order_by_field="time"))

    def page(self, ordering: Ordering, *, offset: int, size: int) -> list[Document]:
        """Documents `offset` to `offset + size` of the ordering."""
        if not size:
            return []
        if any(field.multiple for field, _ in ordering):
            every = [self._stored(address) for address in self._addresses(self._query)]
            return in_order(every, ordering)[offset : offset + size]
        return [self._stored(address) for address in self._sorted(self._query, ordering, offset, offset + size)[offset:]]

    def get(self, id: str) -> Document | None:  # noqa: A002 - the field's name
        """The document with this id, whatever the query."""
        found = self._searcher.search(self._builder.term(BY_NAME["id"], id), limit=1, count=False).hits
        return self._stored(found[0][1]) if found else None

    def aggregate(self, aggregations: dict[str, Aggregation]) -> dict[str, Any]:
        """Elasticsearch's answer to the aggregations."""
        if not aggregations:
            return {}
        try:
            answer = self._searcher.aggregate(self._query, _requests(aggregations))
        except ValueError as error:
            if "limit was exceeded" not in str(error):
                raise
            raise refused(
                ", ".join(aggregations), f"more buckets than can be held; ask for fewer terms or longer intervals ({error})"
            ) from error
        return {name: self._answer(aggregation, answer[name]) for name, aggregation in aggregations.items()}

    def _sorted(self, query: Query, ordering: Ordering, first: int, end: int) -> list[DocAddress]:
        """The addresses up to `end`, in order from `first` on.

        tantivy sorts by one column, so each group of equal values is sorted by the next column in turn.
        """
        (field, falls), *rest = ordering
        order = Order.Desc if falls else Order.Asc
        hits = self._searcher.search(query, limit=end, order_by_field=field.name, order=order, count=False).hits
        found: list[DocAddress] = []
        for value, group in itertools.groupby(hits, key=lambda hit: hit[0]):
            addresses = [address for _, address in group]
            at = len(found)
            cut = at + len(addresses) == end  # more of this group may lie beyond
            if rest and at + len(addresses) > first and (len(addresses) > 1 or cut):
                tied = all_of([query, self._equal(field, value)])
                addresses = self._sorted(tied, tuple(rest), max(0, first - at), end - at)
            found += addresses
        return found

    def _equal(self, field: Field, value: Any) -> Query:
        if value is None:
            return none_of(self._builder.has(field))
        match field.type:
            case "keyword":
                return self._builder.term(field, value)
            case "date":
                return self._builder.between_ms(field.name, value, value)
            case _:
                return self._builder.number(field.name, None, value)

    def _addresses(self, query: Query) -> list[DocAddress]:
        every = max(1, self._searcher.num_docs)
        return [address for _, address in self._searcher.search(query, limit=every, order_by_field="time", count=False).hits]

    def _stored(self, address: DocAddress) -> Document:
        document: Document = msgspec.json.decode(bytes(self._searcher.doc(address).get_first(STORED) or b""))
        return document

    def _answer(self, aggregation: Aggregation, answer: dict[str, Any]) -> dict[str, Any]:
        match aggregation:
            case Terms():
                return self._terms(aggregation, answer)
            case DateHistogram():
                return self._histogram(aggregation, answer)
            case MetricOf(metric, _):
                value = answer["value"]
                return {"value": int(value) if metric == "value_count" else value}

    def _terms(self, terms: Terms, answer: dict[str, Any]) -> dict[str, Any]:
        ranked = sorted(answer["buckets"], key=lambda bucket: (-bucket["doc_count"], bucket["key"]))
        buckets = []
        for bucket in ranked[: terms.size]:
            key = bucket["key"].partition(SEPARATOR)[2] if _in_extra(terms.field) else bucket["key"]
            buckets.append({"key": key, "doc_count": bucket["doc_count"], **self._below(terms.below, bucket)})
        others = answer["sum_other_doc_count"] + sum(bucket["doc_count"] for bucket in ranked[terms.size :])
        return {"doc_count_error_upper_bound": 0, "sum_other_doc_count": others, "buckets": buckets}

    def _histogram(self, histogram: DateHistogram, answer: dict[str, Any]) -> dict[str, Any]:
        found = {int(bucket["key"]): bucket for bucket in answer["buckets"]}
        if not found:
            return {"buckets": []}
        keys = interval_keys(min(found), max(found), histogram.interval_ms) if histogram.min_doc_count == 0 else sorted(found)
        buckets = []
        for key in keys:
            bucket = found.get(key, {"doc_count": 0})
            if bucket["doc_count"] >= histogram.min_doc_count:
                buckets.append({**histogram_bucket(key, bucket["doc_count"]), **self._below(histogram.below, bucket)})
        return {"buckets": buckets}

    def _below(self, aggregations: dict[str, Aggregation], bucket: dict[str, Any]) -> dict[str, Any]:
        if bucket["doc_count"] == 0:
            return over([], aggregations)
        return {name: self._answer(aggregation, bucket[name]) for name, aggregation in aggregations.items()}


def _requests(aggregations: dict[str, Aggregation]) -> dict[str, Any]:
    return {name: _request(aggregation) for name, aggregation in aggregations.items()}


def _request(aggregation: Aggregation) -> dict[str, Any]:
    """tantivy's form: dates are integers there, and the fields below `extra` share one column."""
    match aggregation:
        case Terms(field, size, below):
            slack = _TERMS_SLACK_NESTING if below else _TERMS_SLACK
            terms: dict[str, Any] = {"field": field.name, "size": size + slack}
            if _in_extra(field):
                terms |= {"field": EXTRA, "include": f"{escaped(field.name)}{SEPARATOR}(?s:.)*"}
            return {"terms": terms, "aggs": _requests(below)}
        case DateHistogram(field, interval_ms, _, below):
            return {"histogram": {"field": field.name, "interval": interval_ms, "min_doc_count": 1}, "aggs": _requests(below)}
        case MetricOf(metric, field):
            return {metric: {"field": field.name}}


def _in_extra(field: Field) -> bool:
    return field.name.startswith(f"{EXTRA}.")


def _total(found: SearchResult) -> int:
    return int(found.count)  # type: ignore[attr-defined]  # the library's type stub leaves it out
