"""Feeds, polled from a real HTTP server."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from core.codec import decode_news
from core.errors import Retryable
from streams.messages import Outgoing
from streams.sources.rss import Feed, poll, poll_into

NOW = datetime(2022, 11, 12, tzinfo=UTC)
RSS = """<?xml version="1.0"?><rss version="2.0"><channel><title>Wire</title>
<item><guid>b</guid><title>FTX &amp;amp; Alameda file for Chapter 11</title><link>http://wire.example/b</link>
<description>&lt;p&gt;The exchange&lt;/p&gt; collapsed</description><pubDate>Fri, 11 Nov 2022 14:29:37 GMT</pubDate></item>
<item><guid>a</guid><title>Withdrawals stopped</title><pubDate>Tue, 08 Nov 2022 13:58:33 GMT</pubDate></item>
<item><guid>c</guid><title> </title></item></channel></rss>"""
ATOM = """<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>A</title>
<entry><id>urn:1</id><title>恒大集团回应</title><updated>2021-09-13T15:02:09Z</updated></entry></feed>"""


class Wire(BaseHTTPRequestHandler):
    """A feed server that honours ETags."""

    asked: list[str] = []

    def do_GET(self) -> None:
        Wire.asked.append(self.path)
        if self.path == "/rss" and self.headers.get("If-None-Match") == '"1"':
            self.send_response(304)
            self.end_headers()
            return
        bodies = {"/rss": RSS, "/atom": ATOM, "/page": "<html><p>no feed"}
        body = bodies.get(self.path, "").encode()
        self.send_response(200 if body else 500)
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Wire)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_new_entries_come_once_and_oldest_first(address: str) -> None:
    feed = Feed(f"{address}/rss")
    with httpx.Client() as client:
        first, second = poll(feed, client, lambda: NOW)
        assert poll(feed, client, lambda: NOW) == []  # 304
        feed.etag = None
        assert poll(feed, client, lambda: NOW) == []  # 200 with the same entries
    assert (first.title, first.id, first.published) == ("Withdrawals stopped", "a", datetime(2022, 11, 8, 13, 58, 33, tzinfo=UTC))
    assert (second.title, second.body) == ("FTX & Alameda file for Chapter 11", "The exchange collapsed")


def test_a_feed_that_fails_does_not_hold_up_the_others(address: str) -> None:
    sent: list[Outgoing] = []
    feeds = [Feed(f"{address}/none"), Feed(f"{address}/page"), Feed("http://127.0.0.1:1/"), Feed(f"{address}/atom")]
    with httpx.Client() as client:
        assert poll_into(feeds, client, lambda: NOW, sent.append) == 1
    assert decode_news(sent[0].value, NOW).title == "恒大集团回应"


def test_what_is_no_feed_is_told(address: str) -> None:
    with httpx.Client() as client, pytest.raises(Retryable, match="not a feed"):
        poll(Feed(f"{address}/page"), client, lambda: NOW)
