"""GET /api/search and GET /api/events/{id}."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from search.advice import warnings
from search.explain import explain
from search.index import MAX_HITS, SearchRequest
from search.kql import parse
from web.deps import deps_of
from web.highlight import highlighted_words
from web.parameters import sort_order, span_of, whole
from web.responses import BadRequest, json_response

DEFAULT_SIZE = 50
MAX_SIZE = 1000  # the largest documents have 200,000 characters; more than this in one answer is an export


async def search(request: Request) -> Response:
    """The page of documents that match q within the range, with their total, warnings about q, and the words to highlight."""
    deps, params = deps_of(request), request.query_params
    node = parse(params.get("q", ""))
    size = whole(params, "size", DEFAULT_SIZE, least=0, most=MAX_SIZE)
    offset = whole(params, "offset", 0, least=0, most=MAX_HITS - size)
    span = await span_of(deps.index, params)
    order = sort_order(params.get("sort", ""))
    page = await deps.index.search(SearchRequest(node, start=span.start, end=span.end, size=size, offset=offset, sort=order))
    return json_response(
        {
            "total": page.total,
            "took_ms": round(page.took_ms, 1),
            "hits": page.hits,
            "warnings": warnings(node),
            "explained": explain(node),
            "highlight": highlighted_words(node),
        }
    )


async def event(request: Request) -> Response:
    """The scored event of this id; 404 where the index has none."""
    event_id = request.path_params["id"]
    document = await deps_of(request).index.get(event_id)
    if document is None:
        raise BadRequest(f"there is no event {event_id!r}; it may not be indexed yet", status=404)
    return json_response(document)


ROUTES = [Route("/api/search", search), Route("/api/events/{id:path}", event)]
