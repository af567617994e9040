"""GET /api/trend: sentiment over time by topic, for a query and a time range."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.clock import rfc3339
from search.index import Index
from search.kql import parse
from search.nodes import MatchAll, Node
from web.deps import deps_of
from web.parameters import Span, extent, span_of, whole
from web.responses import json_response
from web.trend import buckets_for, interval_s, read_trend, trend_aggregations

DEFAULT_TOPICS = 8  # as many colours as can be told apart
MAX_TOPICS = 50


async def trend(request: Request) -> Response:
    """The trend's columns, the range that they cover and the range of all data ("data")."""
    deps, params = deps_of(request), request.query_params
    node = parse(params.get("q", ""))
    topics = whole(params, "topics", DEFAULT_TOPICS, least=1, most=MAX_TOPICS)
    data = await extent(deps.index, MatchAll())
    span = await span_of(deps.index, params)
    shown = await _closed(deps.index, node, span)
    events = await deps.index.count(node, start=span.start, end=span.end)
    length_s = (shown.end - shown.start).total_seconds() if shown.start and shown.end else 0
    interval = interval_s(length_s, max_buckets=buckets_for(events))
    answer = await deps.index.aggregate(node, trend_aggregations(interval, topics=topics), start=span.start, end=span.end)
    return json_response({"trend": read_trend(answer, interval), "range": _texts(shown), "data": _texts(data)})


async def _closed(index: Index, node: Node, span: Span) -> Span:
    """`span`, its open ends set to the oldest and newest event of `node`, so that an interval can be chosen."""
    if span.start and span.end:
        return span
    found = await extent(index, node)
    return Span(span.start or found.start, span.end or found.end)


def _texts(span: Span) -> dict[str, str | None]:
    return {"from": rfc3339(span.start) if span.start else None, "to": rfc3339(span.end) if span.end else None}


ROUTES = [Route("/api/trend", trend)]
