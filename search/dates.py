"""Dates as an index compares them: milliseconds since the epoch, and the periods that a date of a query names."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from search.nodes import Operator

# Elasticsearch's strict_date_optional_time: each part may be left out from the right
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?(Z|[+-]\d\d(?::?\d\d)?)?)?)?)?", re.ASCII
)
_STEP = re.compile(r"([+-])(\d{1,6})([yMwdhHms])|/([yMwdhHms])", re.ASCII)
_EPOCH_MS = re.compile(r"-?\d{5,15}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIXED = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_PARTS = "yMdhms"
_MS = timedelta(milliseconds=1)


class Period(NamedTuple):
    """Milliseconds since the epoch: `start` is in it, `end` is not."""

    start: int
    end: int


def epoch_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970-01-01T00:00:00Z, rounded down; a time without zone is UTC.

    >>> epoch_ms(datetime(1970, 1, 1, 0, 0, 1, 500999, tzinfo=UTC))
    1500
    """
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MS


@lru_cache(maxsize=1024)  # events of a batch share few seconds, and a rule set asks one event's time many times
def text_ms(text: str) -> int | None:
    """Milliseconds since the epoch of a document's RFC 3339 text; None where it is none.

    >>> text_ms("2022-11-11T14:29:37.123456Z")
    1668176977123
    >>> text_ms("yesterday") is None
    True
    """
    try:
        return epoch_ms(datetime.fromisoformat(text)) if "T" in text else None
    except (ValueError, OverflowError):
        return None


def is_relative(text: str) -> bool:
    """Whether the period of `text` depends on the time of asking."""
    return text.startswith("now")


def period(text: str, now: datetime) -> Period | None:
    """The period that a date of a query names: `2022-11` is the month, `now-2w` one millisecond, `now/d` today; None if it names none.

    >>> day = period("2022-11-11", _EPOCH)
    >>> day.end - day.start
    86400000
    >>> period("1970-01-31||+1M/d", _EPOCH) == period("1970-02-28", _EPOCH)
    True
    """
    try:
        if text.startswith("now"):
            instant = epoch_ms(now)
            return _stepped(now.astimezone(UTC), text[3:], Period(instant, instant + 1))
        base, _, math = text.partition("||")
        if _EPOCH_MS.fullmatch(base):
            start = int(base)
            return _stepped(_EPOCH + start * _MS, math, Period(start, start + 1))
        found = _DATE.fullmatch(base)
        if found is None:
            return None
        begin, end = _named(found)
        return _stepped(begin, math, Period(epoch_ms(begin), epoch_ms(end)))
    except (ValueError, OverflowError):
        return None


def bounds_ms(operator: Operator | None, text: str, now: datetime) -> tuple[int | None, int | None]:
    """The first and the last millisecond that a date of a query admits; None where that side is open, (0, -1) where none is admitted.

    >>> bounds_ms(">", "1970", _EPOCH), bounds_ms("<=", "1970-01-01", _EPOCH), bounds_ms(None, "soon", _EPOCH)
    ((31536000000, None), (None, 86399999), (0, -1))
    """
    named = period(text, now)
    if named is None:
        return 0, -1
    match operator:
        case None:
            return named.start, named.end - 1
        case ">=":
            return named.start, None
        case ">":
            return named.end, None
        case "<":
            return None, named.start - 1
        case "<=":
            return None, named.end - 1


def _named(found: re.Match[str]) -> tuple[datetime, datetime]:
    year, month, day, hour, minute, second = (int(part) if part else None for part in found.groups()[:6])
    fraction, zone = found[7], found[8]
    micros = int((fraction or "0")[:3].ljust(3, "0")) * 1000
    begin = datetime(year or 1, month or 1, day or 1, hour or 0, minute or 0, second or 0, micros, tzinfo=UTC) - _offset(zone)
    if fraction:
        return begin, begin + _MS
    named = [part for part, value in zip(_PARTS, (year, month, day, hour, minute, second), strict=True) if value is not None]
    return begin, _moved(begin, named[-1], 1)


def _offset(zone: str | None) -> timedelta:
    if not zone or zone == "Z":
        return timedelta()
    digits = zone[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return -offset if zone[0] == "-" else offset


def _stepped(begin: datetime, math: str, named: Period) -> Period | None:
    """`begin` after the steps of `math`; rounding makes a period, any other step an instant."""
    at, result = 0, named
    while at < len(math):
        step = _STEP.match(math, at)
        if step is None:
            return None
        at = step.end()
        if step[4]:
            unit = "h" if step[4] == "H" else step[4]
            begin = _floor(begin, unit)
            result = Period(epoch_ms(begin), epoch_ms(_moved(begin, unit, 1)))
        else:
            begin = _moved(begin, "h" if step[3] == "H" else step[3], int(step[1] + step[2]))
            result = Period(epoch_ms(begin), epoch_ms(begin) + 1)
    return result


def _moved(moment: datetime, unit: str, count: int) -> datetime:
    if unit in _FIXED:
        return moment + count * _FIXED[unit]
    months = moment.year * 12 + moment.month - 1 + count * (12 if unit == "y" else 1)
    year, month = divmod(months, 12)
    first = moment.replace(year=year, month=month + 1, day=1)
    following = first.replace(year=year + (month == 11), month=month % 12 + 2 if month < 11 else 1)
    return first.replace(day=min(moment.day, (following - first).days))


def _floor(moment: datetime, unit: str) -> datetime:
    if unit == "w":
        return _floor(moment, "d") - timedelta(days=moment.weekday())
    zeros = {"M": 1, "d": 1, "h": 0, "m": 0, "s": 0}
    names = {"M": "month", "d": "day", "h": "hour", "m": "minute", "s": "second"}
    smaller = _PARTS[_PARTS.index(unit) + 1 :]
    return moment.replace(microsecond=0, **{names[part]: zeros[part] for part in smaller})  # type: ignore[arg-type]
