"""The aggregations that every back end takes: Elasticsearch's JSON, checked, and its answers computed over documents.

Taken: `terms` (keyword fields; size), `date_histogram` (date fields; fixed_interval, min_doc_count), `avg`, `min`, `max`, `sum` and
`value_count` (number fields), and `aggs` below the first two, to any depth up to 4.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from core.clock import from_epoch_s
from core.errors import QueryError
from search.dates import text_ms
from search.documents import Document, keyword_reader, keywords, reader
from search.mapping import Field, FieldType, field_of, nearest_fields

Metric = Literal["avg", "min", "max", "sum", "value_count"]

MAX_TERMS = 10_000
MAX_BUCKETS = 10_000  # of a histogram: a year in hours is 8,784; Elasticsearch stops at 65,536
MAX_DEPTH = 4
_INTERVAL = re.compile(r"([1-9]\d{0,9})(ms|s|m|h|d)", re.ASCII)
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_OPTIONS = {"terms": {"field", "size"}, "date_histogram": {"field", "fixed_interval", "min_doc_count"}}
_METRICS = ("avg", "min", "max", "sum", "value_count")


@dataclass(frozen=True, slots=True)
class Terms:
    """The `size` most frequent values; ties in the order of the values."""

    field: Field
    size: int
    below: "dict[str, Aggregation]"


@dataclass(frozen=True, slots=True)
class DateHistogram:
    """Documents per interval; empty intervals between the first and the last are listed where `min_doc_count` is 0."""

    field: Field
    interval_ms: int
    min_doc_count: int
    below: "dict[str, Aggregation]"


@dataclass(frozen=True, slots=True)
class MetricOf:
    """One number over a field's values."""

    metric: Metric
    field: Field


Aggregation = Terms | DateHistogram | MetricOf


def checked(aggregations: dict[str, Any], *, depth: int = 1) -> dict[str, Aggregation]:
    """The aggregations by name; raises QueryError that names the one which cannot be served.

    >>> checked({"by_source": {"terms": {"field": "source"}}})["by_source"].size
    10
    """
    if depth > MAX_DEPTH:
        raise refused("aggs", f"nested deeper than {MAX_DEPTH}; ask in two requests")
    return {name: _checked_one(name, body, depth) for name, body in aggregations.items()}


def over(documents: Sequence[Document], aggregations: dict[str, Aggregation]) -> dict[str, Any]:
    """Elasticsearch's answer, computed one document after another.

    >>> over([{"amount": 2}, {"amount": 4}], checked({"mean": {"avg": {"field": "amount"}}}))
    {'mean': {'value': 3.0}}
    """
    return {name: _over_one(documents, aggregation) for name, aggregation in aggregations.items()}


def histogram_bucket(key_ms: int, doc_count: int) -> dict[str, Any]:
    """One bucket of a date histogram as Elasticsearch writes it.

    >>> histogram_bucket(0, 2)
    {'key_as_string': '1970-01-01T00:00:00.000Z', 'key': 0, 'doc_count': 2}
    """
    text = from_epoch_s(key_ms / 1000).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"key_as_string": text, "key": key_ms, "doc_count": doc_count}


def interval_keys(first_ms: int, last_ms: int, interval_ms: int) -> range:
    """The keys of all intervals from the first to the last; raises QueryError where they are too many."""
    keys = range(first_ms, last_ms + interval_ms, interval_ms)
    if len(keys) > MAX_BUCKETS:
        raise refused(
            "date_histogram",
            f"{len(keys)} intervals; take a longer fixed_interval or a shorter time range (at most {MAX_BUCKETS})",
        )
    return keys


def _checked_one(name: str, body: Any, depth: int) -> Aggregation:
    if not isinstance(body, dict):
        raise refused(name, "must be an object such as {'terms': {'field': 'source'}}")
    below: dict[str, Any] = body.get("aggs") or body.get("aggregations") or {}
    kinds = [kind for kind in body if kind not in ("aggs", "aggregations")]
    if len(kinds) != 1 or not (kinds[0] in _OPTIONS or kinds[0] in _METRICS):
        raise refused(name, f"holds {', '.join(kinds) or 'no kind'}; give one of {', '.join([*_OPTIONS, *_METRICS])}")
    kind, options = kinds[0], body[kinds[0]]
    unknown = set(options) - _OPTIONS.get(kind, {"field"})
    if unknown:
        raise refused(name, f"takes no option {', '.join(sorted(unknown))}")
    field = _field(name, options.get("field"))
    if kind in _METRICS:
        if below:
            raise refused(name, f"{kind} takes no aggregations below it")
        _require(name, field, "number")
        return MetricOf(cast(Metric, kind), field)
    nested = checked(below, depth=depth + 1)
    if kind == "terms":
        _require(name, field, "keyword")
        return Terms(field, _whole(name, "size", options.get("size", 10), 1, MAX_TERMS), nested)
    _require(name, field, "date")
    least = _whole(name, "min_doc_count", options.get("min_doc_count", 0), 0, 1_000_000)
    return DateHistogram(field, _interval_ms(name, options.get("fixed_interval")), least, nested)


def _field(name: str, field_name: Any) -> Field:
    field = field_of(field_name) if isinstance(field_name, str) else None
    if field is None:
        near = nearest_fields(field_name) if isinstance(field_name, str) else []
        raise refused(name, f"no field is named {field_name}{'; did you mean ' + ' or '.join(near) + '?' if near else ''}")
    return field


def _require(name: str, field: Field, wanted: FieldType) -> None:
    if field.type != wanted:
        raise refused(name, f"{field.name} is a {field.type} field; choose a {wanted} field")


def _whole(name: str, option: str, value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise refused(name, f"{option} must be a whole number from {least} to {most}")
    return value


def _interval_ms(name: str, text: Any) -> int:
    found = _INTERVAL.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise refused(name, "fixed_interval must be a number and ms, s, m, h or d, such as 15m")
    return int(found[1]) * _UNIT_MS[found[2]]


def refused(name: str, why: str) -> QueryError:
    """The error of an aggregation that cannot be served; `why` says what to ask instead."""
    return QueryError(f"aggregation {name}: {why}", query=name, position=0)


def _over_one(documents: Sequence[Document], aggregation: Aggregation) -> dict[str, Any]:
    match aggregation:
        case Terms(field, size, below):
            return _terms(documents, keyword_reader(field.name), size, below)
        case DateHistogram():
            return _histogram(documents, aggregation)
        case MetricOf(metric, field):
            return {"value": _metric(metric, [value for document in documents for value in reader(field.name)(document)])}


def _terms(
    documents: Sequence[Document], read: Callable[[Document], list[Any]], size: int, below: dict[str, Aggregation]
) -> dict[str, Any]:
    holding: dict[str, list[Document]] = {}
    for document in documents:
        for value in dict.fromkeys(keywords(read(document))):
            holding.setdefault(value, []).append(document)
    counts = sorted(((-len(found), value) for value, found in holding.items()))
    buckets = [{"key": value, "doc_count": -count, **over(holding[value], below)} for count, value in counts[:size]]
    others = sum(-count for count, _ in counts[size:])
    return {"doc_count_error_upper_bound": 0, "sum_other_doc_count": others, "buckets": buckets}


def _histogram(documents: Sequence[Document], histogram: DateHistogram) -> dict[str, Any]:
    read, interval_ms = reader(histogram.field.name), histogram.interval_ms
    holding: dict[int, list[Document]] = {}
    for document in documents:
        keys = {moment - moment % interval_ms for value in read(document) if (moment := text_ms(value)) is not None}
        for key in keys:
            holding.setdefault(key, []).append(document)
    if not holding:
        return {"buckets": []}
    every = interval_keys(min(holding), max(holding), interval_ms) if histogram.min_doc_count == 0 else sorted(holding)
    found = ((key, holding.get(key, [])) for key in every)
    return {
        "buckets": [
            {**histogram_bucket(key, len(held)), **over(held, histogram.below)}
            for key, held in found
            if len(held) >= histogram.min_doc_count
        ]
    }


def _metric(metric: Metric, values: list[Any]) -> float | None:
    if metric == "value_count":
        return len(values)
    if not values:
        return 0.0 if metric == "sum" else None
    match metric:
        case "avg":
            return float(sum(values) / len(values))
        case "sum":
            return float(sum(values))
        case "min":
            return float(min(values))
        case "max":
            return float(max(values))
