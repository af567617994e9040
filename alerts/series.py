"""The memory of one series (rule × group key): what it has seen, compactly and bounded, and its alerts.

Times are microseconds since 1970, exact as integers. A series remembers every match above its `floor` and ignores what comes at
or below it, so a repeated match is either recognised or too old to count, never counted twice. Bounds:

- marks (frequency, average): the newest 2 × count or 512, at most 2,000; some 70 bytes each;
- buckets (surge): 48 live ones with at most 64 texts of 9 bytes, and the reference period as two numbers per bucket;
- alerts: 64. What is older than the watermark allows is forgotten.
"""

import bisect
import hashlib
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from core.records import Match

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
LATENESS_US = 3_600_000_000  # one hour behind the watermark: feeds that poll every 15 minutes and retry stay well inside
MAX_EVENT_IDS = 20


class Mark(Struct, frozen=True, array_like=True, order=True):
    """One remembered match: its event time, the hash of its id, what it counts for, and its event."""

    time_us: int
    key: int
    value: float
    event_id: str


class Bucket(Struct, frozen=True, array_like=True):
    """The events of one span of a surge window. Live: `texts` holds 2 × text key + (1 if negative). Frozen: only the counts."""

    index: int
    texts: tuple[int, ...] | None
    events: int = 0
    negative: int = 0


class Episode(Struct, frozen=True, array_like=True):
    """One alert of a series: when it fired, the first and last breach it covers, and a breach held back by the cooldown."""

    alert_id: str
    opened_us: int
    first_us: int
    last_us: int
    active: bool = True
    held: bool = False


class SeriesState(Struct, frozen=True, omit_defaults=True):
    """All that is kept of one series between two matches."""

    group: dict[str, str]
    floor: tuple[int, int] = (-(2**62), 0)
    marks: tuple[Mark, ...] = ()
    buckets: tuple[Bucket, ...] = ()
    episodes: tuple[Episode, ...] = ()


def to_us(moment: datetime) -> int:
    """Microseconds since 1970, exact.

    >>> to_us(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC))
    1000005
    """
    return (moment - EPOCH) // MICROSECOND


def from_us(time_us: int) -> datetime:
    """The aware UTC time of `time_us`.

    >>> from_us(1000005).isoformat()
    '1970-01-01T00:00:01.000005+00:00'
    """
    return EPOCH + timedelta(microseconds=time_us)


def span_us(length: timedelta) -> int:
    """The length in microseconds.

    >>> span_us(timedelta(seconds=2))
    2000000
    """
    return length // MICROSECOND


def hash63(text: str) -> int:
    """63 evenly spread bits of the text; two of a series' 2,000 texts share them with a probability below 10^-12.

    >>> 0 <= hash63("a") < 2**63
    True
    """
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1


def remember(state: SeriesState, match: Match, *, most: int) -> tuple[SeriesState, Mark | None]:
    """The state with the match among its marks, in time order, and its mark; None where it is known already or too old."""
    mark = Mark(to_us(match.time), hash63(match.id), match.value, match.event_id)
    if (mark.time_us, mark.key) <= state.floor:
        return state, None
    at = bisect.bisect_left(state.marks, (mark.time_us, mark.key), key=lambda known: (known.time_us, known.key))
    if at < len(state.marks) and (state.marks[at].time_us, state.marks[at].key) == (mark.time_us, mark.key):
        return state, None
    marks = (*state.marks[:at], mark, *state.marks[at:])
    floor = state.floor
    if len(marks) > most:
        floor = (marks[-most - 1].time_us, marks[-most - 1].key)
        marks = marks[-most:]
        if at < 1:  # the match itself is the oldest and falls out again
            return replace(state, marks=marks, floor=floor), None
    return replace(state, marks=marks, floor=floor), mark


def marks_between(state: SeriesState, start_us: int, end_us: int) -> tuple[Mark, ...]:
    """The marks with start_us < time <= end_us, oldest first."""
    low = bisect.bisect_right(state.marks, start_us, key=lambda mark: mark.time_us)
    high = bisect.bisect_right(state.marks, end_us, key=lambda mark: mark.time_us)
    return state.marks[low:high]


def affected_ends(state: SeriesState, mark: Mark, span: int) -> tuple[int, ...]:
    """The event times at which a window of `span` ends and contains `mark`: its own time and those of later marks."""
    return tuple(sorted({other.time_us for other in marks_between(state, mark.time_us - 1, mark.time_us + span - 1)}))


def forget_marks(state: SeriesState, before_us: int) -> SeriesState:
    """The state without the marks earlier than `before_us`; the same state where there are none, so that it need not be written."""
    at = bisect.bisect_left(state.marks, before_us, key=lambda mark: mark.time_us)
    if at == 0:
        return state
    last = state.marks[at - 1]
    return replace(state, marks=state.marks[at:], floor=max(state.floor, (last.time_us, last.key)))


def keep_newest(state: SeriesState, match: Match, most: int) -> SeriesState:
    """The state with the match among its marks, for evidence alone: nothing is refused, and `match` itself always stays."""
    mark = Mark(to_us(match.time), hash63(match.id), match.value, match.event_id)
    if mark in state.marks:
        return state
    others = state.marks if len(state.marks) < most else state.marks[1:]
    return replace(state, marks=tuple(sorted((*others, mark))))


def newest_ids(marks: tuple[Mark, ...]) -> tuple[str, ...]:
    """The event ids of the marks, newest first, each once, at most 20."""
    return tuple(dict.fromkeys(mark.event_id for mark in reversed(marks)))[:MAX_EVENT_IDS]
