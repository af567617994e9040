"""The dead letters as the page and the command line use them: listed, shown, replayed, and remembered as replayed."""

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

import msgspec

from core.clock import Clock
from core.dead import DeadPage, DeadQuery, DeadSummary, Replay, summary
from core.records import DeadLetter
from streams.dead_replays import DeadReplays, identity, record_of
from streams.messages import Outgoing

KEPT = 10_000  # letters for browsing: 10 MB of summaries
_FRESH_S = 2.0  # a list is at most so old; the page asks every second
_AT_ONCE = 200  # letters replayed before they are marked


class DeadSource(Protocol):
    """Where letters are kept: a broker's topics, or the data folder's file."""

    @property
    def older(self) -> bool:
        """Whether `fresh` has left letters out."""
        ...

    def fresh(self, most: int | None) -> Iterator[tuple[str, DeadLetter]]:
        """The letters that came since the last call, with their places: the newest `most` of each partition."""
        ...

    def read(self, place: str) -> DeadLetter:
        """The letter at a place; `ConfigError` where there is none."""
        ...


class Sends(Protocol):
    """What sends records to their topics: `EventProducer`."""

    def send(self, message: Outgoing) -> None:
        """Hand a message over; it is not confirmed yet."""
        ...

    def flush(self) -> None:
        """Return once all is confirmed."""
        ...


class DeadBox:
    """The letters of one source. Its calls may come from several threads; they wait for one another.

    A letter that was written twice, since partitions moved before it was counted, is shown once: as it was written last.
    """

    def __init__(self, source: DeadSource, replays: DeadReplays, clock: Clock, *, kept: int | None = KEPT) -> None:
        self._source = source
        self._replays = replays
        self._clock = clock
        self._kept = kept
        self._lock = threading.Lock()
        self._letters: dict[str, tuple[str, DeadSummary]] = {}  # by record
        self._replayed: dict[str, Replay] = {}
        self._dropped = False
        self._asked_s = -_FRESH_S

    def page(self, query: DeadQuery, *, limit: int | None = None, offset: int = 0) -> DeadPage:
        """The letters that are asked for, newest first; at most `limit` of them behind the first `offset`."""
        with self._lock:
            letters = self._known()
        found = [letter for letter in reversed(letters) if query.admits(letter)]
        return DeadPage(
            letters=list(islice(found, offset, None if limit is None else offset + limit)),
            total=len(found),
            open=sum(letter.replayed is None for letter in letters),
            kept=len(letters),
            stages=sorted({letter.stage for letter in letters}),
            older=self._dropped or self._source.older,
        )

    def open(self) -> int:
        """How many letters were not replayed."""
        with self._lock:
            return sum(letter.replayed is None for letter in self._known())

    def read(self, place: str) -> tuple[DeadLetter, Replay | None]:
        """The letter at a place, and its replay; `ConfigError` where there is none."""
        with self._lock:
            letter = self._source.read(place)
            return letter, self._replays.all().get(identity(letter))

    def replay(self, producer: Sends, places: Sequence[str], raw: bytes | None = None) -> int:
        """Send letters to the topics that they came from, with `raw` in place of their bytes where it is given; how many were sent.

        Each is marked once its sending is confirmed, so that one that is broken off is open still; scored ids are derived from content,
        so that twice does no harm.
        """
        with self._lock:
            for begin in range(0, len(places), _AT_ONCE):
                letters = [self._source.read(place) for place in places[begin : begin + _AT_ONCE]]
                for letter in letters:
                    producer.send(Outgoing(letter.topic, letter.raw if raw is None else raw, key=letter.key))
                producer.flush()
                self._replays.add(map(identity, letters), Replay(self._clock(), raw is not None))
            self._asked_s = -_FRESH_S
        return len(places)

    def _known(self) -> list[DeadSummary]:
        if time.monotonic() - self._asked_s >= _FRESH_S:
            fresh = [
                (record_of(letter), identity(letter), summary(place, letter)) for place, letter in self._source.fresh(self._kept)
            ]
            for record, name, letter in sorted(fresh, key=lambda found: found[2].time):
                self._letters.pop(record, None)
                self._letters[record] = name, letter
            if self._kept is not None and len(self._letters) > self._kept:
                self._letters = dict(islice(self._letters.items(), len(self._letters) - self._kept, None))
                self._dropped = True
            self._replayed = self._replays.all()
            self._asked_s = time.monotonic()
        return [msgspec.structs.replace(letter, replayed=self._replayed.get(name)) for name, letter in self._letters.values()]
