"""Webhooks against a real HTTP server, verified as a receiver would; addresses that must not be reached are not."""

import asyncio
import ipaddress
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks import Webhook as Verifier

from alerts.receivers import TransportError, Webhook, WebhookSpec
from alerts.receivers.address import Address
from alerts.receivers.webhook import MAX_BODY_BYTES, payload
from alerts.store import Delivery
from core.clock import utc_now
from core.records import AlertState, Transition, TransitionReason

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECOND = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


@dataclass
class Endpoint:
    """A local server that answers `status` with `headers`, after `gate` opens, and keeps what it was sent."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    served = Endpoint()
    served.gate.set()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            served.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            served.gate.wait(30)
            with suppress(OSError):  # the client may have given up
                self.send_response(served.status)
                for name, value in served.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}/hook"
    yield served
    served.gate.set()
    server.shutdown()
    thread.join()
    server.server_close()


def transition(**changes: object) -> Transition:
    fields: dict[str, object] = {
        "id": "t1",
        "alert_id": "a1",
        "rule": "r",
        "group": {"entities.id": "Ācme"},
        "severity": "critical",
        "state": AlertState.ACTIVE,
        "reason": TransitionReason.SURGE,
        "time": NOW,
        "decided": NOW,
        "summary": "r: surge",
        "query": "kind:news",
        "evidence": {"p": 0.0001},
        "event_ids": ("e1",),
        **changes,
    }
    return Transition(**fields)  # type: ignore[arg-type]


def delivery(sent: Transition | None = None, *, id: str = "msg_1", attempts: int = 1) -> Delivery:  # noqa: A002
    sent = sent or transition()
    return Delivery(id, sent.id, sent.alert_id, "hook", "pending", attempts, NOW, None, None, sent)


def send(spec: WebhookSpec, *deliveries: Delivery, timeout_s: float = 15.0, addresses: list[str] | None = None) -> None:
    async def resolve(_host: str, _port: int) -> list[Address]:
        return [ipaddress.ip_address(text) for text in addresses or []]

    async def run() -> None:
        hook = Webhook(spec, clock=utc_now, timeout_s=timeout_s, resolve=None if addresses is None else resolve)
        try:
            for one in deliveries or (delivery(),):
                await hook.send(one)
        finally:
            await hook.aclose()

    asyncio.run(run())


def spec(url: str, *, allow_private: bool = True, secrets: tuple[str, ...] = (SECRET,)) -> WebhookSpec:
    return WebhookSpec("hook", url, secrets, allow_private)


def test_a_receiver_can_verify_the_message(endpoint: Endpoint) -> None:
    send(spec(endpoint.url))
    headers, body = endpoint.got[0]
    message = Verifier(SECRET).verify(body, headers)
    assert message["type"] == "alert.active"
    assert message["timestamp"] == "2026-03-02T08:00:00Z"
    assert message["data"]["group"] == {"entities.id": "Ācme"}
    assert headers["webhook-id"] == "msg_1"
    assert headers["content-type"] == "application/json"


def test_both_keys_sign_while_one_is_replaced(endpoint: Endpoint) -> None:
    send(spec(endpoint.url, secrets=(SECRET, SECOND)))
    headers, body = endpoint.got[0]
    assert Verifier(SECRET).verify(body, headers) == Verifier(SECOND).verify(body, headers)


def test_the_clock_may_have_another_zone(endpoint: Endpoint) -> None:
    async def run() -> None:
        hook = Webhook(spec(endpoint.url), clock=lambda: datetime.now(timezone(timedelta(hours=5))))
        await hook.send(delivery())
        await hook.aclose()

    asyncio.run(run())
    headers, body = endpoint.got[0]
    assert Verifier(SECRET).verify(body, headers)


def test_a_retry_has_the_same_id_and_a_fresh_signature(endpoint: Endpoint) -> None:
    endpoint.status = 500
    with pytest.raises(TransportError, match="answered 500") as caught:
        send(spec(endpoint.url))
    assert not caught.value.permanent
    endpoint.status = 200
    send(spec(endpoint.url), delivery(attempts=2))
    assert [headers["webhook-id"] for headers, _ in endpoint.got] == ["msg_1", "msg_1"]
    for headers, body in endpoint.got:
        Verifier(SECRET).verify(body, headers)


@pytest.mark.parametrize(
    ("status", "headers", "permanent", "wait_s"),
    [
        (429, {"Retry-After": "120"}, False, 120.0),
        (503, {"Retry-After": "soon"}, False, None),
        (503, {"Retry-After": "9999999"}, False, 86_400.0),
        (404, {}, False, None),
        (410, {}, True, None),
    ],
)
def test_answers(endpoint: Endpoint, status: int, headers: dict[str, str], permanent: bool, wait_s: float | None) -> None:
    endpoint.status, endpoint.headers = status, headers
    with pytest.raises(TransportError, match=str(status)) as caught:
        send(spec(endpoint.url))
    assert (caught.value.permanent, caught.value.gone, caught.value.retry_after_s) == (permanent, permanent, wait_s)


def test_redirects_are_not_followed(endpoint: Endpoint) -> None:
    endpoint.status, endpoint.headers = 307, {"Location": endpoint.url + "/elsewhere"}
    with pytest.raises(TransportError, match="redirect"):
        send(spec(endpoint.url))
    assert len(endpoint.got) == 1


def test_a_slow_endpoint_is_given_up(endpoint: Endpoint) -> None:
    endpoint.gate.clear()
    with pytest.raises(TransportError, match=r"no answer within 0\.2 s") as caught:
        send(spec(endpoint.url), timeout_s=0.2)
    assert not caught.value.permanent


def test_an_unreachable_endpoint_is_told_without_its_address() -> None:
    with pytest.raises(TransportError, match="no connection") as caught:
        send(spec("http://127.0.0.1:9/token-1"))
    assert "token-1" not in str(caught.value)
    with pytest.raises(TransportError, match="cannot be resolved"):
        send(spec("http://no-such-host.invalid/"))


INNER = """127.0.0.1 10.1.2.3 192.168.0.1 172.16.0.1 169.254.169.254 100.100.100.200 168.63.129.16 0.0.0.0 224.0.0.1
    ::1 :: fd00:ec2::254 fe80::1 ::ffff:127.0.0.1 64:ff9b::a00:1 2002:7f00:1::"""


@pytest.mark.parametrize("address", INNER.split())
def test_names_that_resolve_to_inner_addresses_are_refused(address: str) -> None:
    with pytest.raises(TransportError, match="refused"):
        send(spec("http://hook.example.com/", allow_private=False), addresses=[address])


def test_one_inner_address_among_public_ones_is_refused() -> None:
    with pytest.raises(TransportError, match="refused"):
        send(spec("http://hook.example.com/", allow_private=False), addresses=["93.184.215.14", "127.0.0.1"])


def test_inner_literals_are_refused_and_nothing_is_sent(endpoint: Endpoint) -> None:
    with pytest.raises(TransportError, match="refused: the host has a loopback address"):
        send(spec(endpoint.url, allow_private=False))
    with pytest.raises(TransportError, match="refused"):
        send(spec(endpoint.url.replace("127.0.0.1", "localhost"), allow_private=False))
    assert endpoint.got == []


def test_the_connection_is_pinned_to_the_checked_address(endpoint: Endpoint) -> None:
    """The name has no address at all outside `addresses`: were it resolved again, the request could not arrive."""
    port = endpoint.url.split(":")[2].split("/")[0]
    send(spec(f"http://hook.rebinding.invalid:{port}/hook"), addresses=["127.0.0.1"])
    assert endpoint.got[0][0]["host"] == f"hook.rebinding.invalid:{port}"


def test_the_next_address_is_tried_where_one_refuses(endpoint: Endpoint) -> None:
    port = endpoint.url.split(":")[2].split("/")[0]
    send(spec(f"http://hook.example.invalid:{port}/hook"), addresses=["127.0.0.2", "127.0.0.1"])
    assert len(endpoint.got) == 1


def test_proxies_of_the_environment_are_not_used(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    send(spec(endpoint.url))
    assert len(endpoint.got) == 1


def test_bodies_stay_below_20_kb_and_whole() -> None:
    wide = {f"extra.field{n}": "字" * 512 for n in range(16)}
    long_ids = tuple("e" * 1200 for _ in range(20))
    for changes in ({"event_ids": long_ids}, {"summary": "字" * 9000}, {"query": "q" * 30_000}, {"group": wide}):
        body = payload(transition(**changes))
        assert len(body) < MAX_BODY_BYTES
        message = json.loads(body)
        assert message["trimmed"]
        assert message["data"]["alert_id"] == "a1"
    assert "trimmed" not in json.loads(payload(transition()))


def test_secrets_stay_out_of_logs_and_reprs(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    endpoint.status = 500
    hidden = spec(endpoint.url + "/token-1")
    with caplog.at_level(logging.DEBUG), pytest.raises(TransportError) as caught:
        send(hidden)
    for text in (repr(hidden), str(caught.value), repr(caught.value)):
        assert SECRET not in text
        assert "token-1" not in text
    assert SECRET not in caplog.text
    assert "token-1" not in caplog.text
