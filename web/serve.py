"""Serving the application: uvicorn on one address, the loopback one unless told otherwise."""

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from core.errors import ConfigError
from web.guard import LOCAL_HOSTS
from web.live import Feed

_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 — recognised, not bound to
_GRACE_S = 3  # for answers on their way; event streams are ended at once


def hosts_for(host: str, *extra: str) -> tuple[str, ...]:
    """The Host names to serve when bound to `host`: it, the loopback names, and `extra`.

    A wildcard address has no name of its own: name the hosts that people type, or "*" behind a proxy that checks them.

    >>> hosts_for("10.0.0.5", "risk.example")
    ('127.0.0.1', 'localhost', '::1', '10.0.0.5', 'risk.example')
    >>> hosts_for("0.0.0.0")
    ('127.0.0.1', 'localhost', '::1')
    """
    names = [*LOCAL_HOSTS, *(() if host in _WILDCARDS else (host,)), *extra]
    return tuple(dict.fromkeys(names))


async def serve(
    app: Starlette,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    stop: asyncio.Event | None = None,
    listening: Callable[[int], None] | None = None,
) -> None:
    """Serves `app` until `stop` is set or the process is told to end; raises ConfigError where the address cannot be used.

    `listening` is called with the port once connections are taken; port 0 means any free one.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        message = f"cannot listen on {host}:{port} ({error}); stop what uses it, or choose another web_port or web_host"
        raise ConfigError(message, field="web_port") from error
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_S, server_header=False)
    server = uvicorn.Server(config)
    if listening is not None:
        listening(listener.getsockname()[1])
    waiter = asyncio.create_task(_end(app, server, stop)) if stop is not None else None
    try:
        await server.serve(sockets=[listener])
    finally:
        if waiter is not None:
            waiter.cancel()
        listener.close()


async def _end(app: Starlette, server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    feed = app.state.feed
    assert isinstance(feed, Feed)
    feed.close()
    server.should_exit = True
