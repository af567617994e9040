"""Requests beyond the query, and Elasticsearch's answers as the other indexes give them."""

from typing import Any

from search.aggregations import MAX_TERMS, Aggregation, DateHistogram, MetricOf, Terms, histogram_bucket, interval_keys, over
from search.elastic_layout import extra_column
from search.mapping import EXTRA, Field
from search.ordering import Ordering

_SLACK_BELOW = 100  # values beyond those asked for, of which each shard tells inside another bucket


def sort(ordering: Ordering) -> list[dict[str, Any]]:
    """Elasticsearch's form of an ordering, missing values last.

    >>> from search.mapping import BY_NAME
    >>> sort(((BY_NAME["time"], True),))
    [{'time': {'order': 'desc', 'missing': '_last'}}]
    """
    return [{_column(field): {"order": "desc" if falls else "asc", "missing": "_last"}} for field, falls in ordering]


def requests(aggregations: dict[str, Aggregation], *, nested: bool = False) -> dict[str, Any]:
    """Elasticsearch's form of the aggregations; empty intervals are not asked for but filled in here, where they are counted first."""
    return {name: _request(aggregation, nested=nested) for name, aggregation in aggregations.items()}


def answers(aggregations: dict[str, Aggregation], answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with all intervals; raises QueryError where they are too many. Without any index there is no answer, and no values."""
    return {
        name: _answer(aggregation, answer[name]) if name in answer else over([], {name: aggregation})[name]
        for name, aggregation in aggregations.items()
    }


def _column(field: Field) -> str:
    return extra_column(field.name) if field.name.startswith(f"{EXTRA}.") else field.name


def _request(aggregation: Aggregation, *, nested: bool) -> dict[str, Any]:
    match aggregation:
        case Terms(field, size, below):
            # every index tells of as many values as it has: with fewer, counts over several indexes would be too low
            told = min(MAX_TERMS, size + _SLACK_BELOW) if nested else MAX_TERMS
            request: dict[str, Any] = {"terms": {"field": _column(field), "size": size, "shard_size": told}}
        case DateHistogram(field, interval_ms, _, below):
            request = {"date_histogram": {"field": field.name, "fixed_interval": f"{interval_ms}ms", "min_doc_count": 1}}
        case MetricOf(metric, field):
            return {metric: {"field": field.name}}
    return {**request, "aggs": requests(below, nested=True)} if below else request


def _answer(aggregation: Aggregation, answer: dict[str, Any]) -> dict[str, Any]:
    match aggregation:
        case Terms(_, _, below):
            buckets = [
                {"key": bucket["key"], "doc_count": bucket["doc_count"], **answers(below, bucket)} for bucket in answer["buckets"]
            ]
            return {**{name: answer[name] for name in ("doc_count_error_upper_bound", "sum_other_doc_count")}, "buckets": buckets}
        case DateHistogram():
            return _histogram(aggregation, answer)
        case MetricOf():
            return {"value": answer["value"]}


def _histogram(histogram: DateHistogram, answer: dict[str, Any]) -> dict[str, Any]:
    found = {int(bucket["key"]): bucket for bucket in answer["buckets"]}
    if not found:
        return {"buckets": []}
    every = interval_keys(min(found), max(found), histogram.interval_ms) if histogram.min_doc_count == 0 else sorted(found)
    return {"buckets": [_interval(histogram, key, found.get(key)) for key in every if _is_listed(histogram, found.get(key))]}


def _interval(histogram: DateHistogram, key: int, bucket: dict[str, Any] | None) -> dict[str, Any]:
    if bucket is None:
        return {**histogram_bucket(key, 0), **over([], histogram.below)}
    return {**histogram_bucket(key, bucket["doc_count"]), **answers(histogram.below, bucket)}


def _is_listed(histogram: DateHistogram, bucket: dict[str, Any] | None) -> bool:
    return (0 if bucket is None else bucket["doc_count"]) >= histogram.min_doc_count
