"""RSS and Atom feeds as news items: polled with ETag and Last-Modified, each entry once."""

import html
import re
from calendar import timegm
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import feedparser
import httpx

from core import log, metrics
from core.clock import Clock, from_epoch_s
from core.codec import encode
from core.errors import Retryable
from core.ids import content_id
from core.records import NewsItem
from core.topics import NEWS_RAW
from streams.messages import Outgoing

_USER_AGENT = "groundswell/0.1 (feed reader)"
_TIMEOUT_S = 30.0
_MAX_FEED_BYTES = 10 * 1024**2
_REMEMBERED = 10_000  # entries per feed; feeds list at most some hundred
_TAG = re.compile(r"<[^>]+>")
_log = log.get(__name__)


@dataclass(slots=True)
class Feed:
    """One feed and what is remembered of it between polls."""

    url: str
    etag: str | None = None
    modified: str | None = None
    seen: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def is_new(self, key: str) -> bool:
        """Whether an entry has not been seen before; it has from now on."""
        if key in self.seen:
            return False
        self.seen[key] = None
        if len(self.seen) > _REMEMBERED:
            self.seen.popitem(last=False)
        return True


def poll(feed: Feed, client: httpx.Client, clock: Clock) -> list[NewsItem]:
    """The feed's entries that were not seen before, oldest first; `Retryable` where it does not answer with a feed."""
    headers = {"User-Agent": _USER_AGENT}
    headers |= {"If-None-Match": feed.etag} if feed.etag else {}
    headers |= {"If-Modified-Since": feed.modified} if feed.modified else {}
    try:
        response = client.get(feed.url, headers=headers, timeout=_TIMEOUT_S, follow_redirects=True)
        if response.status_code == httpx.codes.NOT_MODIFIED:
            return []
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise Retryable(f"{feed.url}: {error}") from error
    if len(response.content) > _MAX_FEED_BYTES:
        raise Retryable(f"{feed.url}: {len(response.content)} bytes are more than a feed has")
    parsed = feedparser.parse(response.content)
    if parsed.bozo and not parsed.entries:
        raise Retryable(f"{feed.url}: not a feed: {parsed.get('bozo_exception')}")
    feed.etag, feed.modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
    items = [item for entry in parsed.entries if (item := _item(feed, entry, clock)) is not None]
    return sorted(items, key=lambda item: item.published)


def _item(feed: Feed, entry: Any, clock: Clock) -> NewsItem | None:
    """The news item of a feed's entry; None where it was seen before or has no title."""
    title = _plain(entry.get("title", ""))
    key = entry.get("id") or entry.get("link") or title
    if not title or not feed.is_new(key):
        return None
    stamp = entry.get("published_parsed") or entry.get("updated_parsed")
    published: datetime = from_epoch_s(timegm(stamp)) if stamp else clock().astimezone(UTC)
    body = _plain(entry.get("summary", ""))
    native = key if len(key) <= 512 else content_id("entry", key)
    return NewsItem(published=published, source=feed.url[:512], title=title, body=body or None, id=native, url=entry.get("link"))


def _plain(text: str) -> str:
    """Text without tags and entities.

    >>> _plain("<p>A &amp; B</p>")
    'A & B'
    """
    return " ".join(html.unescape(_TAG.sub(" ", text)).split())


def poll_into(feeds: list[Feed], client: httpx.Client, clock: Clock, send: Callable[[Outgoing], None]) -> int:
    """Poll every feed once and send what is new; the number of items. A feed that fails does not hold up the others."""
    count = 0
    for feed in feeds:
        try:
            for item in poll(feed, client, clock):
                send(Outgoing(NEWS_RAW.name, encode(item), key=(item.id or "").encode() or None))
                count += 1
                metrics.FEED_ITEMS.inc()
        except Retryable as error:
            metrics.FEED_FAILURES.inc()
            _log.warning("feed_failed", feed=feed.url, error=str(error))
    return count
