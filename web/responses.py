"""JSON answers, and the one place where an error becomes a status."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from core.errors import QueryError, Retryable

RETRY_AFTER_S = 5  # a broker or index that restarts is back in 5 to 30 s

_encoder = msgspec.json.Encoder(uuid_format="canonical")


class BadRequest(Exception):
    """A request that the caller must change; `status` is a 4xx."""

    def __init__(self, message: str, *, field: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.status = status


def json_response(payload: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`payload` as JSON (Structs, dataclasses and aware datetimes included), not to be kept by any cache."""
    return Response(
        _encoder.encode(payload),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


async def bad_request(_request: Request, error: Exception) -> Response:
    """The 4xx that `BadRequest` asks for, with the parameter at fault."""
    assert isinstance(error, BadRequest)
    return json_response({"error": error.message, "field": error.field}, status=error.status)


async def bad_query(_request: Request, error: Exception) -> Response:
    """400 with the position of the error in the query, counted in characters from 0."""
    assert isinstance(error, QueryError)
    return json_response({"error": error.message, "query": error.query, "position": error.position}, status=400)


async def unavailable(_request: Request, error: Exception) -> Response:
    """503 with Retry-After: something behind this process does not answer now."""
    assert isinstance(error, Retryable)
    return json_response({"error": f"{error}; try again"}, status=503, headers={"Retry-After": str(RETRY_AFTER_S)})


async def http_error(_request: Request, error: Exception) -> Response:
    """The status that the framework chose (404, 405, …) as JSON."""
    assert isinstance(error, HTTPException)
    return json_response({"error": error.detail}, status=error.status_code, headers=error.headers)


async def bug(_request: Request, _error: Exception) -> Response:
    """500 without internals. Starlette raises the error again after the answer, so the server logs it with its traceback."""
    return json_response({"error": "internal error; the server's log has the details"}, status=500)
