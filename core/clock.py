"""The wall clock as an argument, so that tests decide what time it is."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def epoch_s(moment: datetime) -> float:
    """Seconds since 1970-01-01T00:00:00Z.

    >>> epoch_s(datetime(1970, 1, 2, tzinfo=UTC))
    86400.0
    """
    return moment.timestamp()


def from_epoch_s(seconds: float) -> datetime:
    """The aware UTC time of `seconds` since the epoch.

    >>> from_epoch_s(86400.0).isoformat()
    '1970-01-02T00:00:00+00:00'
    """
    return datetime.fromtimestamp(seconds, UTC)


def rfc3339(moment: datetime) -> str:
    """RFC 3339 text in UTC with a trailing Z.

    >>> rfc3339(datetime(2022, 11, 11, 14, 29, 37, tzinfo=UTC))
    '2022-11-11T14:29:37Z'
    """
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
