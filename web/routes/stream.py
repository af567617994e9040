"""GET /api/stream: server-sent events for the page (counters, alert, events, trouble)."""

from collections.abc import AsyncIterator

import msgspec
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from web.live import Feed
from web.responses import RETRY_AFTER_S, json_response

PING_S = 15  # below the 30 s after which common proxies drop a silent connection


async def stream(request: Request) -> Response:
    """Events without end; the first one, the counters, comes at once."""
    feed = request.app.state.feed
    assert isinstance(feed, Feed)
    if feed.is_full:
        message = "too many pages watch already; close one or try later"
        return json_response({"error": message}, status=503, headers={"Retry-After": str(RETRY_AFTER_S)})
    return EventSourceResponse(_encoded(feed), ping=PING_S, headers={"Cache-Control": "no-store"})


async def _encoded(feed: Feed) -> AsyncIterator[ServerSentEvent]:
    async for message in feed.watch():
        yield ServerSentEvent(event=message.event, data=msgspec.json.encode(message.payload).decode())


ROUTES = [Route("/api/stream", stream)]
