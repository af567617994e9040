"""What the transport goes back to where it may not hand over what it has fetched."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP

from streams.transport import Consumer, ConsumerThread, Span

PLACE, CHANGELOG = TP("news.raw", 0), TP("groundswell-customers-changelog", 0)
STREAM, TABLE = {PLACE: Span(5, 7, once=True)}, {CHANGELOG: Span(5, 7, once=False)}


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
    ("once", "at", "then"),
    [
        (True, 9, 5),
        (True, 12, 12),  # sought to what is committed: what lies before has come before
        (False, 9, 5),
        (False, 12, 5),  # compaction has taken what lay between
        (False, 3, 3),  # a recovery has sought back further
        (False, None, None),
    ],
)
def test_what_is_not_handed_over_is_fetched_again_unless_somebody_has_sought(
    once: bool, at: int | None, then: int | None
) -> None:
    client = Client(at)
    thread: Any = SimpleNamespace(_ensure_consumer=lambda: client)
    asyncio.run(ConsumerThread._fetch_again(thread, {PLACE: Span(5, 9, once=once)}))
    assert client.at == then


class Polling:
    """What `_fetched` needs of a consumer; something may happen while it waits: for its flow, or for what a poll brings."""

    def __init__(self, *, flow: bool = True, unsought: bool = False, meanwhile: dict[str, Any] | None = None) -> None:
        self.app = SimpleNamespace(consumer_generation_id=1, tables=SimpleNamespace(changelog_topics={CHANGELOG.topic}))
        self.flow_active, self.can_resume_flow, self.should_stop = flow, None, False
        self._unsought, self._buffered_partitions, self._thread = unsought, set[TP](), self
        self._meanwhile = meanwhile or {}
        self.again: dict[TP, Span] = {}

    async def wait(self, _event: Any) -> None:
        """Faust suspends the flow while partitions move."""
        self.flow_active, self.app.consumer_generation_id = True, 2

    async def _wait_next_records(self, _timeout_s: float) -> Any:
        for name, value in self._meanwhile.items():
            setattr(self.app if name == "consumer_generation_id" else self, name, value)
        return {place: [SimpleNamespace(offset=offset) for offset in (5, 6)] for place in (PLACE, CHANGELOG)}, None

    def _to_message(self, place: TP, message: Any) -> Any:
        return place, message.offset

    def _run(self, place: TP, messages: Any) -> Any:
        return place, [each.offset for each in messages]

    async def fetch_again(self, spans: dict[TP, Span]) -> None:
        """Note what was not handed over."""
        self.again = spans


@pytest.mark.parametrize(
    ("consumer", "handed", "again"),
    [
        (Polling(), {PLACE, CHANGELOG}, {}),
        (
            Polling(flow=False),
            {PLACE, CHANGELOG},
            {},
        ),  # a changelog that was fetched after the wait is not of the generation before
        (Polling(unsought=True), {CHANGELOG}, STREAM),
        (Polling(meanwhile={"_unsought": True}), {CHANGELOG}, STREAM),  # the poll began before streams were resumed
        (Polling(unsought=True, meanwhile={"_unsought": False}), {CHANGELOG}, STREAM),
        (Polling(meanwhile={"consumer_generation_id": 2}), set(), STREAM | TABLE),
        (Polling(meanwhile={"flow_active": False}), set(), STREAM | TABLE),
    ],
)
def test_what_is_fetched_is_handed_over_or_fetched_again(consumer: Any, handed: set[TP], again: dict[TP, Span]) -> None:
    found = asyncio.run(Consumer._fetched(consumer))
    assert {place for place, _ in found} == handed
    assert consumer.again == again
