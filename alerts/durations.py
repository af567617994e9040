"""Durations as people write them in a rule file: 90s, 30m, 1h30m, 7d."""

import re
from datetime import timedelta

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PART = re.compile(r"(\d+)([smhdw])")
_WHOLE = re.compile(r"(?:\d+[smhdw])+")
LONGEST = timedelta(days=366)


def parse_duration(text: str) -> timedelta:
    """The duration that `text` names; ValueError says what is accepted.

    >>> parse_duration("1h30m")
    datetime.timedelta(seconds=5400)
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError("write a duration such as 90s, 30m, 1h30m or 7d")
    seconds = sum(int(amount) * _SECONDS[unit] for amount, unit in _PART.findall(text))
    if not 1 <= seconds <= LONGEST.total_seconds():
        raise ValueError("a duration lies between 1s and 366d")
    return timedelta(seconds=seconds)


def format_duration(duration: timedelta) -> str:
    """The duration in the largest whole units.

    >>> format_duration(timedelta(minutes=90)), format_duration(timedelta(days=1))
    ('1h30m', '1d')
    """
    rest = int(duration.total_seconds())
    parts = []
    for unit in ("d", "h", "m", "s"):
        amount, rest = divmod(rest, _SECONDS[unit])
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts) or "0s"
