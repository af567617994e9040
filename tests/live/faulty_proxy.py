"""A real HTTP proxy before a server, which refuses, drops or delays the bulk requests it is told to."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import httpx

Fault = Literal["429", "429 in half of the items", "lose the answer", "never answer", "slow"]
_SLOW_S = 3.0
_BUSY = b'{"error":{"type":"es_rejected_execution_exception","reason":"queue is full"},"status":429}'
_REQUEST_HEADERS = ("Content-Type", "Accept")


class FaultyProxy:
    """Passes everything on to `target`; each bulk request takes the next of `faults`, until none is left."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.faults: deque[Fault] = deque()
        self.url = ""
        self.ended = threading.Event()


@contextmanager
def faulty_proxy(target: str) -> Iterator[FaultyProxy]:
    """A proxy on a free port."""
    proxy = FaultyProxy(target)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy))
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield proxy
    proxy.ended.set()
    server.shutdown()
    server.server_close()


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            fault = proxy.faults.popleft() if "_bulk" in self.path and proxy.faults else None
            match fault:
                case "429":
                    self._answer(429, _BUSY, "application/json")
                    return
                case "never answer":
                    proxy.ended.wait(60)
                    self.close_connection = True
                    return
                case "slow":
                    proxy.ended.wait(_SLOW_S)
                case "429 in half of the items":
                    body, whole = _first_half(body), body
            answer = self._forwarded(body)
            if fault == "lose the answer":
                self.close_connection = True
            elif fault == "429 in half of the items":
                self._answer(answer.status_code, _with_busy_items(answer.content, whole), answer.headers["Content-Type"])
            else:
                self._answer(answer.status_code, answer.content, answer.headers.get("Content-Type", ""))

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):  # any method of HTTP
                return self._pass_on
            raise AttributeError(name)

        def _forwarded(self, body: bytes) -> httpx.Response:
            headers = {name: self.headers[name] for name in _REQUEST_HEADERS if name in self.headers}
            return httpx.request(self.command, f"{proxy.target}{self.path}", content=body, headers=headers, timeout=120)

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    return Handler


def _first_half(body: bytes) -> bytes:
    """The lines of the first half of a bulk request that only writes."""
    lines = body.splitlines(keepends=True)
    return b"".join(lines[: len(lines) // 4 * 2])


def _with_busy_items(answer: bytes, request: bytes) -> bytes:
    """The server's answer to the first half, and one 429 for each item of the rest."""
    items = len(request.splitlines()) // 2
    refused = (
        b'{"index":{"_index":"i","_id":"x","status":429,"error":{"type":"es_rejected_execution_exception","reason":"full"}}}'
    )
    return answer.removesuffix(b"]}") + (b"," + refused) * (items - items // 2) + b"]}"
