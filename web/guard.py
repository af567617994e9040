"""Who may ask, and what a browser may do with the answer.

Groundswell's page has no login and listens on the loopback address, so any web site open in the same browser could try to reach it. Two
checks stop that: the Host header must be a name that we serve (against DNS rebinding, where a foreign name resolves to 127.0.0.1), and
a request that changes something must not come from a foreign origin (against cross-site requests).
"""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.responses import json_response

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
ANY_HOST = "*"

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_SECURITY_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets, in lower case; empty where there is none.

    >>> host_name("LocalHost:8080"), host_name("[::1]:8080"), host_name("evil.example@127.0.0.1")
    ('localhost', '::1', '')
    """
    if not host or set(host) & set("@/\\?# \t"):
        return ""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def is_foreign(headers: Headers) -> bool:
    """True where a browser says that another site sent the request; clients that are no browsers send neither header.

    >>> is_foreign(Headers({"host": "localhost:8080", "origin": "http://localhost:8080"}))
    False
    >>> is_foreign(Headers({"host": "localhost:8080", "origin": "https://evil.example"}))
    True
    """
    if headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


class Guard:
    """Answers 421 to a Host that is not ours and 403 to a changing request from a foreign origin; passes on the rest."""

    def __init__(self, app: ASGIApp, *, allowed_hosts: Collection[str]) -> None:
        self._app = app
        self._allowed = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        name = host_name(headers.get("host", ""))
        if ANY_HOST not in self._allowed and name not in self._allowed:
            message = (
                f"this server does not serve the host {name!r}; use one of {sorted(self._allowed)} or allow it when starting"
            )
            await json_response({"error": message}, status=421)(scope, receive, send)
        elif scope["method"] not in _SAFE_METHODS and is_foreign(headers):
            message = "requests that change something are refused from other sites; send them from this page or without an Origin header"
            await json_response({"error": message}, status=403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class SecurityHeaders:
    """Every answer carries a strict content security policy: no inline script or style, nothing from another host, no framing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_SECURITY_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)
