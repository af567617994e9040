"""One poller for all viewers: counters each second, alerts and scored events as they appear.

The poller runs only while somebody watches, so an idle page costs nothing and a hundred viewers cost what one does.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import structlog
from msgspec import Struct

from core.errors import GroundswellError
from search.index import SearchRequest
from web.deps import Deps
from web.routes.health import read_counters

INTERVAL_S = 1.0
SAMPLE = 5  # events shown as they come; at 100 a second nobody reads more
WATCHED_ALERTS = 100  # more alerts than this between two polls are seen on the next load of the list
QUEUE = 60  # a minute of counters; a viewer slower than that loses the oldest messages
MAX_VIEWERS = 200

_log = structlog.get_logger(__name__)


class Message(Struct, frozen=True):
    """One server-sent event: its name (counters, alert, events or trouble) and what it carries."""

    event: str
    payload: Any


class Feed:
    """Fans out what `poll` finds to every viewer."""

    def __init__(self, deps: Deps, *, interval_s: float = INTERVAL_S) -> None:
        self._deps = deps
        self._interval_s = interval_s
        self._viewers: set[asyncio.Queue[Message | None]] = set()
        self._poller: asyncio.Task[None] | None = None
        self._seen: dict[str, str] | None = None
        self._sample: tuple[str, ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether no further viewer is taken."""
        return len(self._viewers) >= MAX_VIEWERS

    async def watch(self) -> AsyncIterator[Message]:
        """The counters at once, then whatever comes, until `close`; a viewer that reads too slowly loses the oldest."""
        queue: asyncio.Queue[Message | None] = asyncio.Queue(QUEUE)
        self._viewers.add(queue)
        try:
            for message in await self._guarded(self._counters):
                yield message
            if self._poller is None:
                self._poller = asyncio.create_task(self._run(), name="web-feed")
            while (message_or_end := await queue.get()) is not None:
                yield message_or_end
        finally:
            self._viewers.discard(queue)
            if not self._viewers:
                self._stop()

    def close(self) -> None:
        """Ends every viewer's stream and the poller."""
        for queue in self._viewers:
            _put(queue, None)
        self._stop()

    def tell(self, messages: Sequence[Message]) -> None:
        """Hands `messages` to every viewer without waiting for any."""
        for message in messages:
            for queue in self._viewers:
                _put(queue, message)

    async def poll(self) -> list[Message]:
        """What changed since the last call; the first call only remembers which alerts there are."""
        return await self._guarded(self._counters, self._new_alerts, self._new_events)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            self.tell(await self.poll())

    def _stop(self) -> None:
        poller, self._poller, self._seen = self._poller, None, None
        if poller is not None:
            poller.cancel()

    async def _guarded(self, *reads: Callable[[], Awaitable[list[Message]]]) -> list[Message]:
        """What `reads` give, or one message of trouble: a page that stays open must see the recovery."""
        try:
            return [message for read in reads for message in await read()]
        except GroundswellError as error:
            return [Message("trouble", {"error": str(error)})]
        except Exception as error:  # noqa: BLE001 — the HTTP edge
            _log.error("web.feed", exc_info=error)
            return [Message("trouble", {"error": "the server could not read its counters; its log has the details"})]

    async def _counters(self) -> list[Message]:
        return [Message("counters", await read_counters(self._deps))]

    async def _new_alerts(self) -> list[Message]:
        if self._deps.alerts is None:
            return []
        newest = await asyncio.to_thread(self._deps.alerts.list_alerts, WATCHED_ALERTS)
        states: dict[str, str] = {alert.alert_id: alert.state for alert in newest}
        seen, self._seen = self._seen, states
        if seen is None:
            return []
        return [Message("alert", alert) for alert in newest if seen.get(alert.alert_id) != alert.state]

    async def _new_events(self) -> list[Message]:
        page = await self._deps.index.search(SearchRequest(size=SAMPLE, sort=(("ingested", "desc"),)))
        ids = tuple(hit["id"] for hit in page.hits)
        if ids == self._sample:
            return []
        self._sample = ids
        return [Message("events", {"total": page.total, "hits": page.hits})]


def _put(queue: asyncio.Queue[Message | None], message: Message | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(message)
