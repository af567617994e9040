"""Sentiment over time by topic: the aggregation that asks for it, and its answer as columns that a chart draws.

The aggregation is Elasticsearch's JSON, which both back ends take. Topics are the outer terms, so that every bucket has the same ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

MAX_BUCKETS = 120  # about 7 pixels a point on a chart of 900
MIN_BUCKETS = 24
EVENTS_A_BUCKET = 40  # a share of 40 has a standard error of 8 points; of 10, of 16: lines that only show noise
_INTERVALS_S = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10800, 21600, 43200, 86400, 604800, 2592000, 31536000)


class Series(Struct, frozen=True, kw_only=True):
    """One topic's values, one per time of the trend.

    `negative_share` (0..1, higher = worse) and `average_score` (−1..1, lower = worse) are None where no event has a sentiment.
    """

    label: str
    total: int
    count: list[int]
    scored: list[int]
    negative_share: list[float | None]
    average_score: list[float | None]


class Trend(Struct, frozen=True, kw_only=True):
    """`times` are the starts of the intervals, in seconds since the epoch; `all` is over every topic and over events without one."""

    interval_s: int
    times: list[int]
    all: Series
    topics: list[Series]


def interval_s(span_s: float, *, max_buckets: int = MAX_BUCKETS) -> int:
    """The least round interval, in seconds, that cuts `span_s` into at most `max_buckets`.

    >>> interval_s(3600), interval_s(86400), interval_s(86400 * 30)
    (30, 1800, 21600)
    """
    for seconds in _INTERVALS_S:
        if span_s / seconds <= max_buckets:
            return seconds
    return _INTERVALS_S[-1]


def buckets_for(events: int) -> int:
    """How many intervals `events` are worth.

    >>> buckets_for(10), buckets_for(2_000), buckets_for(1_000_000)
    (24, 50, 120)
    """
    return min(MAX_BUCKETS, max(MIN_BUCKETS, events // EVENTS_A_BUCKET))


def trend_aggregations(interval: int, *, topics: int) -> dict[str, Any]:
    """Aggregations for `read_trend`: per interval, over all events and for the `topics` most frequent topics."""
    by_time = {
        "date_histogram": {"field": "time", "fixed_interval": f"{interval}s", "min_doc_count": 1},
        "aggs": {
            "sentiment": {"terms": {"field": "sentiment.label", "size": 3}},
            "score": {"avg": {"field": "sentiment.score"}},
        },
    }
    return {
        "by_time": by_time,
        "topics": {"terms": {"field": "topic.label", "size": topics}, "aggs": {"by_time": by_time}},
    }


def read_trend(answer: Mapping[str, Any], interval: int) -> Trend:
    """The answer to `trend_aggregations` as columns over one common, gapless time axis.

    >>> bucket = {"key": 60000.0, "doc_count": 4, "score": {"value": -0.5},
    ...           "sentiment": {"buckets": [{"key": "negative", "doc_count": 3}, {"key": "positive", "doc_count": 1}]}}
    >>> trend = read_trend({"by_time": {"buckets": [bucket]}, "topics": {"buckets": []}}, 60)
    >>> trend.times, trend.all.count, trend.all.negative_share, trend.all.average_score
    ([60], [4], [0.75], [-0.5])
    """
    buckets = answer["by_time"]["buckets"]
    starts = [_start_s(bucket) for bucket in buckets if bucket["doc_count"]]
    times = list(range(min(starts), max(starts) + 1, interval)) if starts else []
    topics = [_series(str(topic["key"]), topic["by_time"]["buckets"], times) for topic in answer["topics"]["buckets"]]
    return Trend(interval_s=interval, times=times, all=_series("all", buckets, times), topics=topics)


def _series(label: str, buckets: Sequence[Mapping[str, Any]], times: Sequence[int]) -> Series:
    by_start = {_start_s(bucket): bucket for bucket in buckets}
    found = [by_start.get(start) for start in times]
    sentiments = [_sentiments(bucket) for bucket in found]
    scored = [sum(labels.values()) for labels in sentiments]
    count = [bucket["doc_count"] if bucket else 0 for bucket in found]
    return Series(
        label=label,
        total=sum(count),
        count=count,
        scored=scored,
        negative_share=[
            round(labels.get("negative", 0) / total, 4) if total else None
            for labels, total in zip(sentiments, scored, strict=True)
        ],
        average_score=[_average(bucket) if total else None for bucket, total in zip(found, scored, strict=True)],
    )


def _start_s(bucket: Mapping[str, Any]) -> int:
    return int(bucket["key"] // 1000)


def _sentiments(bucket: Mapping[str, Any] | None) -> dict[str, int]:
    return {label["key"]: label["doc_count"] for label in bucket["sentiment"]["buckets"]} if bucket else {}


def _average(bucket: Mapping[str, Any] | None) -> float | None:
    value = bucket["score"]["value"] if bucket else None
    return None if value is None else round(value, 4)
