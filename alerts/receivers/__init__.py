"""Who is told of a transition: the console, and webhooks signed as Standard Webhooks describes."""

from collections.abc import Iterable
from typing import TextIO

from alerts.receivers.console import Console
from alerts.receivers.protocol import Receiver, TransportError
from alerts.receivers.spec import ConsoleSpec, ReceiverSpec, WebhookSpec
from alerts.receivers.webhook import Webhook
from core.clock import Clock, utc_now

__all__ = ["Console", "ConsoleSpec", "Receiver", "ReceiverSpec", "TransportError", "Webhook", "WebhookSpec", "open_receivers"]


def open_receivers(specs: Iterable[ReceiverSpec], *, console: TextIO, clock: Clock = utc_now) -> dict[str, Receiver]:
    """The receivers by name; consoles write to `console`. The caller closes each with `aclose`."""
    return {spec.name: _open(spec, console, clock) for spec in specs}


def _open(spec: ReceiverSpec, console: TextIO, clock: Clock) -> Receiver:
    return Console(spec.name, console) if isinstance(spec, ConsoleSpec) else Webhook(spec, clock=clock)
