"""The time range of a request: `start` <= time < `end`, in whole milliseconds as an index holds them."""

from collections.abc import Callable
from datetime import datetime

from search.dates import epoch_ms, text_ms
from search.documents import Document


def span_ms(start: datetime | None, end: datetime | None) -> tuple[int | None, int | None]:
    """The first and the last millisecond of the range; None where that side is open.

    >>> from datetime import UTC
    >>> span_ms(datetime(1970, 1, 1, tzinfo=UTC), None)
    (0, None)
    """
    return None if start is None else epoch_ms(start), None if end is None else epoch_ms(end) - 1


def admits_time(start: datetime | None, end: datetime | None) -> Callable[[Document], bool]:
    """A function that tells whether a document's `time` lies in the range; without a range every document does."""
    low, high = span_ms(start, end)
    if low is None and high is None:
        return lambda _: True

    def admits(document: Document) -> bool:
        moment = text_ms(document.get("time") or "")
        return moment is not None and (low is None or moment >= low) and (high is None or moment <= high)

    return admits
