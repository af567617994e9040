"""One readable line per transition, on a text stream."""

from typing import TextIO

from alerts.receivers.protocol import TransportError
from alerts.store import Delivery
from core.clock import rfc3339
from core.records import AlertState, Transition


class Console:
    """Writes to `stream` and flushes, so that a line is seen as soon as it is delivered."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self._name = name
        self._stream = stream

    @property
    def name(self) -> str:
        """The name that rules call it by."""
        return self._name

    @property
    def target(self) -> str:
        """Always the same stream."""
        return "console"

    async def send(self, delivery: Delivery) -> None:
        """One line, written and flushed."""
        try:
            self._stream.write(line(delivery.transition) + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            raise TransportError(f"the console cannot be written: {error}") from error

    async def aclose(self) -> None:
        """Nothing: the stream belongs to the caller."""


def line(transition: Transition) -> str:
    r"""The transition in one line, without control characters: a post must not steer the terminal that shows it.

    >>> from datetime import UTC, datetime
    >>> from core.records import TransitionReason
    >>> now = datetime(2026, 3, 1, 8, tzinfo=UTC)
    >>> line(Transition(id="t", alert_id="a", rule="r", group={}, severity="critical", state=AlertState.ACTIVE,
    ...     reason=TransitionReason.THRESHOLD, time=now, decided=now, summary="r: bank\x1b[2J run", query="", evidence={}, event_ids=()))
    'FIRING critical 2026-03-01T08:00:00Z r: bank [2J run'
    """
    word = "FIRING" if transition.state is AlertState.ACTIVE else "RESOLVED"
    text = f"{word} {transition.severity} {rfc3339(transition.time)} {transition.summary}"
    return "".join(sign if sign.isprintable() else " " for sign in text)
