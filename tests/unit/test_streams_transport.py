"""What the transport goes back to where it may not hand over what it has fetched."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP

from streams.transport import Consumer, ConsumerThread

PLACE = TP("news.raw", 0)


class Client:
    """aiokafka's consumer at one position; with None, of a partition that has moved."""

    def __init__(self, at: int | None) -> None:
        self.at = at

    async def position(self, _place: TP) -> int:
        if self.at is None:
            raise IllegalStateError("not assigned")
        return self.at

    def seek(self, _place: TP, offset: int) -> None:
        self.at = offset


@pytest.mark.parametrize(
    ("at", "then"),
    [
        (9, 5),
        (12, 12),  # sought to what is committed: what lies before has come before
        (3, 3),
        (None, None),
    ],
)
def test_what_is_not_handed_over_is_fetched_again_unless_somebody_has_sought(at: int | None, then: int | None) -> None:
    client = Client(at)
    thread: Any = SimpleNamespace(_ensure_consumer=lambda: client)
    asyncio.run(ConsumerThread._fetch_again(thread, {PLACE: range(5, 9)}))
    assert client.at == then


class Polling:
    """What `_fetched` needs of a consumer; something may happen while it waits: for its flow, or for what a poll brings."""

    def __init__(self, *, flow: bool = True, unsought: bool = False, meanwhile: dict[str, Any] | None = None) -> None:
        self.app = SimpleNamespace(consumer_generation_id=1)
        self.flow_active, self.can_resume_flow, self.should_stop = flow, None, False
        self._unsought, self._buffered_partitions, self._thread = unsought, set[TP](), self
        self._meanwhile = meanwhile or {}
        self.again: dict[TP, range] = {}

    async def wait(self, _event: Any) -> None:
        """Faust suspends the flow while partitions move."""
        self.flow_active, self.app.consumer_generation_id = True, 2

    async def _wait_next_records(self, _timeout_s: float) -> Any:
        for name, value in self._meanwhile.items():
            setattr(self.app if name == "consumer_generation_id" else self, name, value)
        return {PLACE: [SimpleNamespace(offset=offset) for offset in (5, 6)]}, None

    def _run(self, _place: TP, messages: Any) -> Any:
        return [each.offset for each in messages]

    async def fetch_again(self, spans: dict[TP, range]) -> None:
        """Note what was not handed over."""
        self.again = spans


@pytest.mark.parametrize(
    ("consumer", "handed"),
    [
        (Polling(), True),
        (Polling(flow=False), True),  # what was fetched after the wait is not of the generation before
        (Polling(unsought=True), False),
        (Polling(meanwhile={"_unsought": True}), False),  # the poll began before streams were resumed
        (Polling(unsought=True, meanwhile={"_unsought": False}), False),
        (Polling(meanwhile={"consumer_generation_id": 2}), False),
        (Polling(meanwhile={"flow_active": False}), False),
    ],
)
def test_what_is_fetched_is_handed_over_or_fetched_again(consumer: Any, handed: bool) -> None:
    found = asyncio.run(Consumer._fetched(consumer))
    assert found == ([(PLACE, [5, 6])] if handed else [])
    assert consumer.again == ({} if handed else {PLACE: range(5, 7)})
