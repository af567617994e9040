"""Who may ask: the Host and Origin guards, the headers of every answer, and the live stream."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.testclient import TestClient

from alerts.store import AlertStore, open_store
from core.errors import ConfigError, InvalidRecord, Retryable
from core.records import AlertState, Transition, TransitionReason
from search.documents import Document
from search.memory_index import MemoryIndex
from web.app import Deps, build_app
from web.live import MAX_VIEWERS, QUEUE, Feed, Message
from web.serve import hosts_for, serve

NOW = datetime(2022, 11, 12, tzinfo=UTC)


class Pipeline:
    """Counters that count the asks, and that can be away."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False

    async def counters(self) -> dict[str, float]:
        if self.away:
            raise Retryable("the broker does not answer")
        self.asked += 1
        return {"read": float(self.asked)}

    async def submit(self, topic: str, raw: bytes) -> None:
        raise InvalidRecord("is required", field="title")


def deps(*, index: MemoryIndex | None = None, alerts: AlertStore | None = None, pipeline: Pipeline | None = None) -> Deps:
    pipeline = pipeline or Pipeline()
    return Deps(
        index=index or MemoryIndex(),
        alerts=alerts,
        counters=pipeline.counters,
        submit=pipeline.submit,
        clock=lambda: NOW,
        version="1",
    )


def web(host: str = "localhost:8000", **options: Any) -> TestClient:
    app = build_app(deps(), registry=CollectorRegistry(), **options)
    return TestClient(app, base_url=f"http://{host}", raise_server_exceptions=False)


def event(number: int) -> Document:
    stamp = (NOW + timedelta(seconds=number)).isoformat()
    return {
        "id": f"news-{number}",
        "kind": "news",
        "time": stamp,
        "ingested": stamp,
        "published": stamp,
        "source": "wire",
        "lang": "en",
    }


def transition(alert_id: str, state: AlertState) -> Transition:
    return Transition(
        id=f"{alert_id}-{state}", alert_id=alert_id, rule="fraud", group={}, severity="critical", state=state,
        reason=TransitionReason.THRESHOLD, time=NOW, decided=NOW, summary="amount 4 USD", query="", evidence={}, event_ids=(),
    )  # fmt: skip


# --- guards ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
def test_the_loopback_names_are_served(host: str) -> None:
    assert web().get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "evil.example@localhost", "", "192.168.1.7", "[::1", "a b"],
)
def test_any_other_host_is_421_on_every_path(host: str) -> None:
    for path in ("/", "/api/search", "/static/app.js", "/api/stream"):
        answer = web().get(path, headers={"Host": host})
        assert answer.status_code == 421
        assert "host" in answer.json()["error"]


def test_further_hosts_are_served_when_named() -> None:
    assert web("risk.example", allowed_hosts=hosts_for("0.0.0.0", "risk.example")).get("/healthz").status_code == 200
    assert web("risk.example", allowed_hosts=hosts_for("0.0.0.0")).get("/healthz").status_code == 421
    assert web("any.example", allowed_hosts=["*"]).get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://localhost:8000", "Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_a_changing_request_from_a_foreign_site_is_403(headers: dict[str, str]) -> None:
    answer = web().post("/api/events/news", json={}, headers=headers)
    assert answer.status_code == 403
    assert web().get("/api/search", headers=headers).status_code == 200  # reading is kept from other sites by the browser itself


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://localhost:8000"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}]
)
def test_a_changing_request_of_a_program_or_of_this_page_reaches_the_route(headers: dict[str, str]) -> None:
    assert web().post("/api/events/news", json={}, headers=headers).status_code == 422


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/search", "/api/search?size=-1", "/nothing", "/metrics"])
def test_every_answer_has_a_strict_content_security_policy(path: str) -> None:
    answer = web().get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"


# --- live stream ----------------------------------------------------------------------------------------------------


async def first_messages(app: Starlette, wanted: int) -> tuple[dict[str, str], list[tuple[str, Any]]]:
    """The headers and the first events of GET /api/stream, read as a browser does; then the reader goes away."""
    enough = asyncio.Event()
    headers: dict[str, str] = {}
    body = bytearray()

    async def receive() -> MutableMapping[str, Any]:
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers.update({name.decode(): value.decode() for name, value in message["headers"]})
        body.extend(message.get("body", b""))
        if body.count(b"\r\n\r\n") >= wanted:
            enough.set()

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/api/stream",
        "raw_path": b"/api/stream", "root_path": "", "query_string": b"", "headers": [(b"host", b"localhost")],
        "scheme": "http", "server": ("localhost", 80), "client": None,
    }  # fmt: skip
    async with asyncio.timeout(10):
        await app(scope, receive, send)
    return headers, [_parsed(block) for block in body.decode().split("\r\n\r\n")[:wanted]]


def _parsed(block: str) -> tuple[str, Any]:
    lines = dict(line.split(": ", 1) for line in block.split("\r\n"))
    return lines["event"], json.loads(lines["data"])


def test_the_first_event_is_the_counters_and_comes_at_once() -> None:
    app = build_app(deps(), registry=CollectorRegistry(), feed_interval_s=3600)
    headers, [(name, payload)] = asyncio.run(first_messages(app, 1))
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-store"
    assert (name, payload["counters"], payload["time"]) == ("counters", {"read": 1.0}, "2022-11-12T00:00:00Z")


def test_the_poller_ends_with_its_last_viewer() -> None:
    async def pollers() -> list[bool]:
        app = build_app(deps(), registry=CollectorRegistry(), feed_interval_s=0.001)
        await first_messages(app, 4)
        return [task.cancelling() > 0 for task in asyncio.all_tasks() if task.get_name() == "web-feed"]

    assert all(asyncio.run(pollers()))


def polled(feed: Feed) -> list[tuple[str, Any]]:
    return [(message.event, message.payload) for message in asyncio.run(feed.poll())]


def test_scored_events_are_told_once_each_time_they_change() -> None:
    index = MemoryIndex()
    feed = Feed(deps(index=index))
    assert [name for name, _ in polled(feed)] == ["counters"]
    asyncio.run(index.write([event(number) for number in range(8)]))
    [_, (name, payload)] = polled(feed)
    assert (name, payload["total"]) == ("events", 8)
    assert [hit["id"] for hit in payload["hits"]] == ["news-7", "news-6", "news-5", "news-4", "news-3"]
    assert [name for name, _ in polled(feed)] == ["counters"]


def test_alerts_are_told_when_they_fire_and_when_they_resolve_but_not_those_from_before(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'state.sqlite'}")
    feed = Feed(deps(alerts=store))
    store.record(transition("old", AlertState.ACTIVE), [])
    assert [name for name, _ in polled(feed)] == ["counters"]
    store.record(transition("new", AlertState.ACTIVE), [])
    [_, (name, alert)] = polled(feed)
    assert (name, alert.alert_id, alert.state) == ("alert", "new", AlertState.ACTIVE)
    store.record(transition("old", AlertState.INACTIVE), [])
    [_, (_, alert)] = polled(feed)
    assert (alert.alert_id, alert.state) == ("old", AlertState.INACTIVE)


def test_trouble_is_told_and_the_feed_recovers() -> None:
    pipeline = Pipeline()
    feed = Feed(deps(pipeline=pipeline))
    pipeline.away = True
    assert polled(feed) == [("trouble", {"error": "the broker does not answer"})]
    pipeline.away = False
    assert polled(feed)[0][0] == "counters"


async def _after(feed: Feed, act: Callable[[AsyncIterator[Message]], Awaitable[Any]]) -> Any:
    viewer = feed.watch()
    try:
        return await act(viewer)
    finally:
        with contextlib.suppress(RuntimeError):
            await viewer.aclose()  # type: ignore[attr-defined]


def test_a_viewer_that_does_not_read_loses_the_oldest_and_holds_up_nobody() -> None:
    async def slow(viewer: AsyncIterator[Message]) -> list[float]:
        await anext(viewer)
        for _ in range(3 * QUEUE):
            feed.tell(await feed.poll())
        return [(await anext(viewer)).payload["counters"]["read"] for _ in range(QUEUE)]

    feed = Feed(deps(), interval_s=3600)
    seen = asyncio.run(_after(feed, slow))
    assert seen == [float(number) for number in range(2 * QUEUE + 2, 3 * QUEUE + 2)]


def test_too_many_viewers_are_503() -> None:
    async def crowded() -> int:
        app = build_app(deps(), registry=CollectorRegistry(), feed_interval_s=3600)
        feed = app.state.feed
        viewers = [feed.watch() for _ in range(MAX_VIEWERS)]
        for viewer in viewers:
            await anext(viewer)
        statuses: list[int] = []

        async def send(message: MutableMapping[str, Any]) -> None:
            statuses.extend([message["status"]] if "status" in message else [])

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.disconnect"}

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/stream",
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
        }
        await app(scope, receive, send)
        for viewer in viewers:
            await viewer.aclose()
        return statuses[0]

    assert asyncio.run(crowded()) == 503


# --- serving --------------------------------------------------------------------------------------------------------


def test_the_server_answers_on_its_port_until_it_is_stopped() -> None:
    async def served() -> tuple[bytes, bytes]:
        stop, ready = asyncio.Event(), asyncio.Event()
        ports: list[int] = []

        def listening(port: int) -> None:
            ports.append(port)
            ready.set()

        app = build_app(deps(), registry=CollectorRegistry())
        server = asyncio.create_task(serve(app, port=0, stop=stop, listening=listening))
        async with asyncio.timeout(20):
            await ready.wait()
            reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            watcher, asking = await asyncio.open_connection("127.0.0.1", ports[0])
            asking.write(b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
            streamed = await watcher.readuntil(b"event: counters")
            stop.set()
            await server
        writer.close()
        asking.close()
        return answer, streamed

    answer, streamed = asyncio.run(served())
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"text/event-stream" in streamed


def test_a_port_in_use_is_a_config_error_that_says_what_to_do() -> None:
    async def taken() -> None:
        other = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = other.sockets[0].getsockname()[1]
        async with other:
            await serve(build_app(deps(), registry=CollectorRegistry()), port=port)

    with pytest.raises(ConfigError, match="web_port"):
        asyncio.run(taken())
