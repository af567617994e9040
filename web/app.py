"""The web application: every route, behind the guards.

request ─► SecurityHeaders ─► Guard (Host, Origin) ─► route ─► index | alert store | submit
                                                         └─ error ─► web.responses: one status per error type
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from core.errors import QueryError, Retryable
from core.metrics import REGISTRY
from web import responses
from web.deps import Counters, Deps, Submit
from web.guard import LOCAL_HOSTS, Guard, SecurityHeaders
from web.live import INTERVAL_S, Feed
from web.routes import alerts, dead, fields, health, ingest, search, stream, trend

__all__ = ["LOCAL_HOSTS", "Counters", "Deps", "Submit", "build_app"]

STATIC = Path(__file__).parent / "static"


def build_app(
    deps: Deps,
    *,
    allowed_hosts: Collection[str] = LOCAL_HOSTS,
    registry: CollectorRegistry = REGISTRY,
    feed_interval_s: float = INTERVAL_S,
) -> Starlette:
    """The application over `deps`; it answers only requests whose Host is one of `allowed_hosts` ("*" = any)."""
    feed = Feed(deps, interval_s=feed_interval_s)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        feed.close()

    app = Starlette(
        routes=[
            Route("/", page),
            *search.ROUTES,
            *trend.ROUTES,
            *fields.ROUTES,
            *alerts.ROUTES,
            *dead.ROUTES,
            *stream.ROUTES,
            *ingest.ROUTES,
            *health.ROUTES,
            Mount("/static", _Static(directory=STATIC), name="static"),
        ],
        middleware=[Middleware(SecurityHeaders), Middleware(Guard, allowed_hosts=allowed_hosts)],
        exception_handlers={
            responses.BadRequest: responses.bad_request,
            QueryError: responses.bad_query,
            Retryable: responses.unavailable,
            HTTPException: responses.http_error,
            Exception: responses.bug,
        },
        lifespan=lifespan,
    )
    app.state.deps = deps
    app.state.feed = feed
    app.state.registry = registry
    return app


async def page(_request: Request) -> Response:
    """The analysts' page."""
    return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})


class _Static(StaticFiles):
    """Static files that a browser checks for a newer version before it uses its copy: an upgrade needs no cleared cache."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response
