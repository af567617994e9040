"""`groundswell scheduler`: feeds from a real HTTP server arrive on the broker, old alerts go, SIGTERM ends it in order."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from alerts.store import open_store
from core.records import AlertState, Transition, TransitionReason
from core.settings import Settings
from core.topics import NEWS_RAW
from streams.embedded import EMBEDDED_VERSION, EmbeddedBroker
from streams.kafka_client import Offsets
from tests.acceptance.product import ROOT, environment


class Wire(BaseHTTPRequestHandler):
    """A feed that has one more entry every time it is asked."""

    asked = 0

    def do_GET(self) -> None:
        Wire.asked += 1
        now = format_datetime(datetime.now(UTC))
        items = "".join(
            f"<item><guid>{n}</guid><title>Item {n}</title><pubDate>{now}</pubDate></item>" for n in range(Wire.asked)
        )
        body = f'<?xml version="1.0"?><rss version="2.0"><channel><title>W</title>{items}</channel></rss>'.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def feed() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Wire)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def _closed(data: Path, name: str, *, days_ago: int) -> None:
    """An alert that closed so many days ago."""
    time_ = datetime.now(UTC) - timedelta(days=days_ago)
    store = open_store(f"sqlite:///{data / 'state.sqlite'}")
    for state, reason in (
        (AlertState.ACTIVE, TransitionReason.FREQUENCY),
        (AlertState.INACTIVE, TransitionReason.WINDOW_PASSED),
    ):
        store.record(
            Transition(
                id=f"{name}-{state.value}", alert_id=name, rule="r", group={}, severity="critical", state=state, reason=reason,
                time=time_, decided=time_, summary=name, query="kind:news", evidence={}, event_ids=(),
            ),
            [],
        )  # fmt: skip
    store.engine.dispose()


def test_feeds_are_polled_old_alerts_go_and_it_ends_when_told(feed: str, tmp_path: Path) -> None:
    _closed(tmp_path, "old", days_ago=40)
    _closed(tmp_path, "recent", days_ago=10)
    with EmbeddedBroker() as broker:
        offsets = Offsets(Settings(broker=broker.address, broker_version=EMBEDDED_VERSION, declare_topics=False))
        told = {
            "GROUNDSWELL_BROKER": broker.address,
            "GROUNDSWELL_BROKER_VERSION": EMBEDDED_VERSION,
            "GROUNDSWELL_DECLARE_TOPICS": "false",
            "GROUNDSWELL_FEEDS": f"http://127.0.0.1:1/away {feed}",
            "GROUNDSWELL_FEEDS_EVERY_S": "1",
            "GROUNDSWELL_ALERTS_KEEP_DAYS": "30",
        }
        running = subprocess.Popen(
            [sys.executable, "-m", "groundswell", "scheduler", "--data", str(tmp_path)],
            cwd=ROOT, env=environment(None) | told, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            until = time.monotonic() + 120
            while sum(offsets.ends([NEWS_RAW.name]).values()) < 3:
                assert time.monotonic() < until, "three polls in time"
                assert running.poll() is None, running.communicate()[1]
                time.sleep(0.2)
        finally:
            os.kill(running.pid, signal.SIGTERM)
        _, log = running.communicate(timeout=60)
        assert running.returncode == 0, log
        assert sum(offsets.ends([NEWS_RAW.name]).values()) == Wire.asked, "each entry came once"
        assert "feed_failed" in log
        offsets.close()
    store = open_store(f"sqlite:///{tmp_path / 'state.sqlite'}")
    assert [alert.alert_id for alert in store.list_alerts()] == ["recent"]
    store.engine.dispose()
