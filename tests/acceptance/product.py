"""What acceptance tests start: the product's own processes, and a receiver that checks signatures."""

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

ROOT = Path(__file__).parents[2]
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


@dataclass
class Receiver:
    """A webhook's receiver; `got` maps webhook-id to the verified bodies that came under it.

    With a `status` of 400 or more it takes nothing, answers that, and counts in `turned_away`.
    """

    url: str = ""
    status: int = 204
    turned_away: int = 0
    got: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    @property
    def transitions(self) -> list[dict[str, Any]]:
        """The transitions, each once."""
        return [bodies[0]["data"] for bodies in self.got.values()]


@contextmanager
def open_receiver(known: Receiver | None = None, *, port: int = 0) -> Iterator[Receiver]:
    """A real HTTP server that verifies each delivery with the reference library and answers 400 to a bad signature."""
    state = known or Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                Webhook(SECRET).verify(body, dict(self.headers.items()))
            except Exception as error:  # noqa: BLE001 — told by the test
                state.refused.append(repr(error))
                self.send_response(400)
            else:
                if state.status < 400:
                    state.got.setdefault(self.headers["webhook-id"], []).append(json.loads(body))
                else:
                    state.turned_away += 1
                self.send_response(state.status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/hook"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


def environment(receiver: Receiver | None) -> dict[str, str]:
    """The environment of the product's processes: nothing of ours but the webhook."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GROUNDSWELL_")}
    if receiver is not None:
        clean |= {
            "GROUNDSWELL_WEBHOOK_URL": receiver.url,
            "GROUNDSWELL_WEBHOOK_SECRET": SECRET,
            "GROUNDSWELL_WEBHOOK_ALLOW_PRIVATE": "true",
        }
    return clean


def groundswell(
    *arguments: str | Path,
    receiver: Receiver | None = None,
    status: int = 0,
    stdin: str = "",
    timeout_s: float = 900,
    variables: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Runs `groundswell ARGUMENTS` to its end, with `variables` in its environment; fails the test where its status is not `status`."""
    command = [sys.executable, "-m", "groundswell", *map(str, arguments)]
    env = environment(receiver) | dict(variables or {})
    done = subprocess.run(command, cwd=ROOT, env=env, input=stdin, text=True, capture_output=True, timeout=timeout_s)
    assert done.returncode == status, f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


def start(arguments: list[str | Path], receiver: Receiver | None = None) -> "subprocess.Popen[str]":
    """`groundswell ARGUMENTS` in the background."""
    command = [sys.executable, "-m", "groundswell", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment(receiver), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def summary_of(output: str) -> dict[str, Any]:
    """The JSON object of the last line."""
    last = json.loads(output.strip().splitlines()[-1])
    assert isinstance(last, dict)
    return last
