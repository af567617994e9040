"""Query parameters as values; whatever does not fit is a BadRequest that names the parameter."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from search.index import Index, SearchRequest, Sort
from search.mapping import field_of
from search.nodes import MatchAll, Node
from web.responses import BadRequest

NEWEST_FIRST: Sort = (("time", "desc"),)

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class Span:
    """A range of event time; an end that is None is open."""

    start: datetime | None = None
    end: datetime | None = None


def moment(name: str, text: str) -> datetime:
    """The aware UTC time that `text` (RFC 3339, or a date) gives; without an offset it is UTC.

    >>> moment("from", "2022-11-08").isoformat(), moment("from", "2022-11-08T10:00:00+02:00").isoformat()
    ('2022-11-08T00:00:00+00:00', '2022-11-08T08:00:00+00:00')
    """
    try:
        parsed = datetime.fromisoformat(text.strip().replace(" ", "+"))  # a '+' that was not escaped arrives as a space
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"{text!r} is no time; write it as 2022-11-08T13:58:33Z or 2022-11-08", field=name) from error


def duration(name: str, text: str) -> timedelta:
    """The length that `text` gives, such as 15m, 24h or 7d.

    >>> duration("last", "24h")
    datetime.timedelta(days=1)
    """
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS_S or not number.isascii() or not number.isdigit() or not 0 < int(number) <= 100_000:
        raise BadRequest(f"{text!r} is no duration; write it as 15m, 24h or 7d", field=name)
    return timedelta(seconds=int(number) * _UNITS_S[unit])


def whole(params: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    """The whole number of parameter `name`, within its bounds.

    >>> whole({"size": "20"}, "size", 50, least=0, most=100)
    20
    """
    text = params.get(name, "").strip()
    if not text:
        return default
    if not re.fullmatch(r"-?[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise BadRequest(f"{text!r} is not within {least} to {most:,}", field=name)
    return int(text)


def sort_order(text: str) -> Sort:
    """The fields of `text` with their directions; newest first where it is empty.

    >>> sort_order("sentiment.score:asc,time")
    (('sentiment.score', 'asc'), ('time', 'desc'))
    """
    order: list[tuple[str, Literal["asc", "desc"]]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, direction = part.partition(":")
        field = field_of(name)
        if direction not in {"", "asc", "desc"}:
            raise BadRequest(f"{part!r} is no sort order; write it as sentiment.score:asc or time:desc", field="sort")
        if field is None or field.type == "text":
            raise BadRequest(f"cannot sort by {name!r}; name a keyword, number or date field of /api/fields", field="sort")
        order.append((name, "asc" if direction == "asc" else "desc"))
    return tuple(order) or NEWEST_FIRST


async def span_of(index: Index, params: Mapping[str, str]) -> Span:
    """The time range of from, to and last.

    `last` counts back from the newest event of the whole index, not from now: a replay's events are years old.
    """
    start = moment("from", params["from"]) if params.get("from") else None
    end = moment("to", params["to"]) if params.get("to") else None
    if params.get("last"):
        length = duration("last", params["last"])
        anchor = end or (await extent(index, MatchAll())).end
        start = anchor - length if anchor else None
    if start and end and start > end:
        raise BadRequest("the time range ends before it starts", field="from")
    return Span(start, end)


async def extent(index: Index, node: Node) -> Span:
    """The event times of the oldest and the newest document of `node`; both are None where there is none."""
    found: list[datetime | None] = []
    for direction in ("asc", "desc"):
        page = await index.search(SearchRequest(node, size=1, sort=(("time", direction),)))
        found.append(moment("time", page.hits[0]["time"]) if page.hits else None)
    return Span(*found)
