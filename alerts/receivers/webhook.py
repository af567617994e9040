"""Standard Webhooks 1.0.0: signed POSTs whose id stays the same over retries."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgspec
from standardwebhooks import Webhook as Signature

from alerts.match import cut
from alerts.receivers.pinned import PinnedClient, Resolve
from alerts.receivers.protocol import TransportError
from alerts.receivers.spec import WebhookSpec
from alerts.store import Delivery
from core.clock import Clock, epoch_s, rfc3339
from core.ids import content_id
from core.records import Transition

TIMEOUT_S = 15.0  # the specification asks for 15 to 30 s
MAX_BODY_BYTES = 20_000  # the specification: below 20 kB
_MOST_WAIT_S = 86_400.0


class Webhook:
    """Posts `{type, timestamp, data}` to one endpoint; only a 2xx answer counts as accepted."""

    def __init__(self, spec: WebhookSpec, *, clock: Clock, timeout_s: float = TIMEOUT_S, resolve: Resolve | None = None) -> None:
        self._spec = spec
        self._clock = clock
        self._url = httpx.URL(spec.url)
        self._signatures = [Signature(secret) for secret in spec.secrets]
        self._client = PinnedClient(timeout_s=timeout_s, allow_private=spec.allow_private, resolve=resolve)

    @property
    def name(self) -> str:
        """The name that rules call it by."""
        return self._spec.name

    @property
    def target(self) -> str:
        """A hash of the address."""
        return content_id("target", self._spec.url)

    async def send(self, delivery: Delivery) -> None:
        """Returns once the endpoint answered 2xx; TransportError tells whether and when to try again."""
        body = payload(delivery.transition)
        now = self._clock().astimezone(UTC)  # `sign` takes the digits of any zone for UTC
        text = body.decode()
        headers = {
            "content-type": "application/json",
            "user-agent": "groundswell",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(math.floor(epoch_s(now))),
            "webhook-signature": " ".join(signature.sign(delivery.id, now, text) for signature in self._signatures),
        }
        answer = await self._client.post(self._url, body, headers)
        judge_answer(answer.status, retry_after_s(answer.retry_after, now))

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.aclose()


def judge_answer(status: int, wait_s: float | None) -> None:
    """Nothing for a 2xx; TransportError for the rest: a 410 disables the endpoint, a redirect is a failure.

    >>> judge_answer(204, None)
    >>> judge_answer(503, 30.0)
    Traceback (most recent call last):
    alerts.receivers.protocol.TransportError: the endpoint answered 503
    """
    if 200 <= status < 300:
        return
    if status == 410:
        raise TransportError("the endpoint answered 410 Gone: it wants no more messages", gone=True)
    if 300 <= status < 400:
        raise TransportError(f"the endpoint answered {status}, a redirect; write its final address into the rule file")
    raise TransportError(f"the endpoint answered {status}", retry_after_s=wait_s)


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """The wait that a Retry-After header asks for, 0..86,400 s; None where there is none that can be read.

    >>> retry_after_s("120", datetime(2026, 3, 1, tzinfo=UTC))
    120.0
    >>> retry_after_s("Sun, 01 Mar 2026 00:01:00 GMT", datetime(2026, 3, 1, tzinfo=UTC))
    60.0
    """
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdigit():
        return min(float(header), _MOST_WAIT_S)
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max((until - now).total_seconds(), 0.0), _MOST_WAIT_S)


def payload(transition: Transition) -> bytes:
    """The body, below 20 kB and always whole JSON; `trimmed` names the fields of `data` that had to be shortened."""
    data: dict[str, Any] = msgspec.to_builtins(transition)
    envelope = {"type": f"alert.{transition.state.value}", "timestamp": rfc3339(transition.decided), "data": data}
    body = msgspec.json.encode(envelope)
    trimmed: list[str] = []
    for field, shorter in _SHORTER:
        if len(body) < MAX_BODY_BYTES:
            break
        data[field] = shorter(data[field])
        trimmed.append(field)
        body = msgspec.json.encode({**envelope, "trimmed": trimmed})
    return body


def _short_values(values: dict[str, Any]) -> dict[str, Any]:
    return {key: cut(value, 100) if isinstance(value, str) else value for key, value in values.items()}


# The least needed first: a person can find the events by the alert's id. A query is never cut, since it would ask something else
_SHORTER = (
    ("event_ids", lambda ids: ids[:3]),
    ("summary", lambda text: cut(text, 300)),
    ("query", lambda _: ""),
    ("evidence", _short_values),
    ("group", _short_values),
)
