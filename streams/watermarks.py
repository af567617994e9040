"""Event-time watermarks of scored events, after Akidau et al., "The Dataflow Model" (VLDB 2015).

A partition of a scored topic mixes what came by many sources, and a scorer that lags reads them at different paces: the latest event
time in a partition says nothing of what one of its sources still holds. So each source's mark travels in the scored topic, behind the
events that it is about, as a message without a value, with the marks in a header.

    news.raw/0   ─┐  events, marks                matches, least mark of text.scored/0 ─┐
    social.raw/0 ─┼─► text.scored/0 ─► match ─┬─► alerts.matches/0 ─► evaluate: least mark of all partitions of text.scored
    social.raw/1 ─┘   text.scored/1 ─► match ─┴─► alerts.matches/1                      of text.scored/1 ─┘

Nobody decides by a clock: a source that is silent promises as `streams/silence.py` tells.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

import msgspec

from core.errors import InvalidRecord
from core.topics import Topic
from streams.messages import Outgoing, Received
from streams.steps import Mark

STEP_S = 60.0  # of event time; marks that have risen by less are not worth a message
_HEADER = "marks"
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Mark])


@dataclass(slots=True)
class Rising:
    """Tells which marks have risen by `STEP_S` since they were last told."""

    _told: dict[str, float] = field(default_factory=dict)

    def news(self, marks: Iterable[Mark]) -> list[Mark]:
        """Those of the marks that are worth telling; from now on they are told.

        >>> rising = Rising()
        >>> [len(rising.news([Mark("news.raw/0", time_s)])) for time_s in (0.0, 59.0, 60.0)]
        [1, 0, 1]
        """
        risen = [mark for mark in marks if mark.time_s > -inf and mark.time_s >= self._told.get(mark.source, -inf) + STEP_S]
        self._told |= {mark.source: mark.time_s for mark in risen}
        return risen


@dataclass(slots=True)
class Least:
    """The least mark of all `sources`; -inf while one of them has not been heard of."""

    sources: Sequence[str]
    times_s: dict[str, float] = field(default_factory=dict)

    def take(self, source: str, time_s: float) -> None:
        """Take in a mark; one that is below an earlier one of its source says nothing.

        >>> least = Least(("a", "b"))
        >>> for source, time_s in (("a", 9.0), ("b", 5.0), ("a", 7.0)): least.take(source, time_s)
        >>> least.time_s
        5.0
        """
        self.times_s[source] = max(time_s, self.times_s.get(source, -inf))

    @property
    def time_s(self) -> float:
        """What all sources promise together."""
        return min(self.times_s.get(source, -inf) for source in self.sources)


def mark_messages(topic: Topic, marks: Sequence[Mark], partitions: int) -> Iterator[Outgoing]:
    """One message with the marks for each partition of a scored topic; none where there are no marks."""
    if marks:
        headers = ((_HEADER, _encoder.encode(marks)),)
        for partition in range(partitions):
            yield Outgoing(topic.name, b"", partition=partition, headers=headers)


def marks_of(message: Received) -> list[Mark] | None:
    """The marks that a message of a scored topic brings; None where it is an event. `InvalidRecord` where they cannot be read."""
    if message.value:
        return None
    for name, value in message.headers:
        if name == _HEADER:
            try:
                return _decoder.decode(value)
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                raise InvalidRecord(f"not the marks of sources: {error}") from error
    return None
