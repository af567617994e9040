"""GET /api/fields and GET /api/values: what can be asked for."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from search.kql import parse
from search.mapping import FIELDS, field_of
from web.deps import deps_of
from web.parameters import span_of, whole
from web.responses import BadRequest, json_response

DEFAULT_VALUES = 50
MAX_VALUES = 1000


async def fields(_request: Request) -> Response:
    """Every indexed field with its type and a line of help, in the order of the mapping."""
    return json_response([{"name": field.name, "type": field.type, "help": field.help} for field in FIELDS])


async def values(request: Request) -> Response:
    """The most frequent values of one keyword field with their counts, within the query and the time range."""
    deps, params = deps_of(request), request.query_params
    name = params.get("field", "")
    field = field_of(name)
    if field is None or field.type != "keyword":
        raise BadRequest(f"cannot list the values of {name!r}; name a keyword field of /api/fields", field="field")
    size = whole(params, "size", DEFAULT_VALUES, least=1, most=MAX_VALUES)
    node = parse(params.get("q", ""))
    span = await span_of(deps.index, params)
    terms = {"values": {"terms": {"field": name, "size": size}}}
    answer = await deps.index.aggregate(node, terms, start=span.start, end=span.end)
    buckets = answer["values"]["buckets"]
    return json_response([{"value": bucket["key"], "count": bucket["doc_count"]} for bucket in buckets])


ROUTES = [Route("/api/fields", fields), Route("/api/values", values)]
