"""The receiver of alerts: a real HTTP server that checks signatures, and answers 500 when it is told to."""

import base64
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError


class Receiver:
    """How often each webhook-id was taken; `failing` makes it answer 500, `refused` counts bodies whose signature was wrong."""

    def __init__(self) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.taken: Counter[str] = Counter()
        self.failing = False
        self.failed = self.refused = 0
        self.url = ""
        self._lock = threading.Lock()

    def answer(self, body: bytes, headers: dict[str, str]) -> int:
        """The status for one request."""
        with self._lock:
            if self.failing:
                self.failed += 1
                return 500
            try:
                Webhook(self.secret).verify(body, headers)
            except WebhookVerificationError:
                self.refused += 1
                return 400
            self.taken[{name.lower(): value for name, value in headers.items()}["webhook-id"]] += 1
            return 204


@contextmanager
def open_receiver() -> Iterator[Receiver]:
    """A receiver on a free port, until the end."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(receiver.answer(body, dict(self.headers.items())))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
