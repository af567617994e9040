"""Tumbling buckets of a surge window: which distinct texts each span of event time held.

A live bucket keeps one key per distinct text, at most the 64 smallest: a uniform sample that is the same in any order of arrival
(bottom-k, Cohen and Kaplan 2007), so repeats, reposts and floods cost nothing. An old bucket is frozen to two numbers.
"""

import bisect
from collections.abc import Sequence

from alerts.binomial import Count
from alerts.series import Bucket

BUCKETS = 12  # per window: an alert is judged on 11/12 to 12/12 of the window's length
SAMPLE = 64  # texts per bucket, 768 per window


def put_text(buckets: tuple[Bucket, ...], index: int, key: int, *, negative: bool) -> tuple[Bucket, ...]:
    """The buckets, in order, with the text; the same tuple where it changes nothing. Negative in one copy is negative.

    >>> buckets = put_text((), 7, 1, negative=False)
    >>> put_text(buckets, 7, 1, negative=False) is buckets
    True
    >>> put_text(buckets, 7, 1, negative=True)
    (Bucket(index=7, texts=(3,), events=0, negative=0),)
    """
    at = bisect.bisect_left(buckets, index, key=lambda bucket: bucket.index)
    found = at < len(buckets) and buckets[at].index == index
    texts = (buckets[at].texts or ()) if found else ()
    entry = key << 1 | int(negative)
    place = bisect.bisect_left(texts, key << 1)
    known = place < len(texts) and texts[place] >> 1 == key
    if place >= SAMPLE or (known and texts[place] >= entry):
        return buckets
    sampled = (*texts[:place], entry, *texts[place + known :])[:SAMPLE]
    return (*buckets[:at], Bucket(index, sampled), *buckets[at + found :])


def distinct(buckets: Sequence[Bucket]) -> Count:
    """The distinct texts of live buckets.

    >>> distinct([Bucket(1, (2, 4)), Bucket(2, (3, 6))])
    Count(events=3, negative=1)
    """
    entries = {entry for bucket in buckets for entry in bucket.texts or ()}
    # a text that is there with and without the sign counts once, as negative
    negative = sum(entry & 1 for entry in entries)
    both = sum(1 for entry in entries if entry & 1 and entry - 1 in entries)
    return Count(len(entries) - both, negative)


def between(buckets: tuple[Bucket, ...], first: int, last: int) -> tuple[Bucket, ...]:
    """The buckets with first <= index <= last.

    >>> [bucket.index for bucket in between((Bucket(1, ()), Bucket(3, ()), Bucket(4, ())), 2, 3)]
    [3]
    """
    low = bisect.bisect_left(buckets, first, key=lambda bucket: bucket.index)
    return buckets[low : bisect.bisect_right(buckets, last, key=lambda bucket: bucket.index)]


def by_window(buckets: Sequence[Bucket], before: int, size: int) -> list[Count]:
    """The counts of the `size` window lengths that end before bucket `before`, oldest first.

    A text counts only where it has not been counted in the window's length before it.

    >>> by_window([Bucket(1, None, 5, 2), Bucket(20, (2, 5))], 24, 2)
    [Count(events=5, negative=2), Count(events=2, negative=1)]
    """
    events, negative = [0] * size, [0] * size
    seen: dict[int, int] = {}
    for bucket in buckets:
        at = size - 1 - (before - 1 - bucket.index) // BUCKETS
        if bucket.texts is None:
            events[at] += bucket.events
            negative[at] += bucket.negative
        else:
            count = _count(bucket, seen)
            events[at] += count.events
            negative[at] += count.negative
    return [Count(*pair) for pair in zip(events, negative, strict=True)]


def freeze(buckets: tuple[Bucket, ...], before: int) -> tuple[tuple[Bucket, ...], int | None]:
    """The buckets with those below `before` reduced to counts, and the last of those; None where there was none to reduce.

    Copies of the texts counted there are taken out of the window's length after, for they have been counted.

    >>> freeze((Bucket(1, (2, 5)), Bucket(3, (5, 8))), 2)
    ((Bucket(index=1, texts=None, events=2, negative=1), Bucket(index=3, texts=(8,), events=0, negative=0)), 1)
    """
    kept, last = [], None
    seen: dict[int, int] = {}
    for bucket in buckets:
        if bucket.texts is None:
            kept.append(bucket)
        elif bucket.index < before:
            count, last = _count(bucket, seen), bucket.index
            kept.append(Bucket(bucket.index, None, count.events, count.negative))
        elif last is None:
            return buckets, None
        else:
            kept.append(Bucket(bucket.index, _fresh(bucket, seen)))
    return tuple(kept), last


def _count(bucket: Bucket, seen: dict[int, int]) -> Count:
    """The fresh texts of the bucket; they are noted in `seen` with the bucket's index."""
    events = negative = 0
    since, never = bucket.index - BUCKETS, bucket.index - BUCKETS - 1
    for entry in bucket.texts or ():  # a plain loop: this is where a dense series spends its time
        if seen.get(entry >> 1, never) <= since:
            seen[entry >> 1] = bucket.index
            events += 1
            negative += entry & 1
    return Count(events, negative)


def _fresh(bucket: Bucket, seen: dict[int, int]) -> tuple[int, ...]:
    """The texts of the bucket that were not counted within the window's length before it."""
    since, never = bucket.index - BUCKETS, bucket.index - BUCKETS - 1
    return tuple(entry for entry in bucket.texts or () if seen.get(entry >> 1, never) <= since)
