"""Event-time order over a log: the design of the transaction stages' exactness.

A payment's score depends on what came before it by event time, but payments come by several partitions, and labels by others. So a
stage that keeps histories does not work its messages off as they come: it merges their sources by watermark, after Akidau et al.,
"The Dataflow Model" (VLDB 2015).

    source transactions.raw/0 ──parcel: steps, mark──┐
    source transactions.raw/1 ──parcel: steps, mark──┼─► one partition of by_customer ─► Merge ─► steps by (time, kind, id)
    source transactions.by_id/0 ─ labels, mark ──────┘   (a log: all sources in one order)    what is before the least mark

A source's mark is the latest event time it has seen less `lateness_s`, or what `streams/silence.py` promises for a raw partition in which
nothing arrives. What is before the least mark of all sources is released; the rest is held, and its messages stay unsettled, so that
a restart reads them again. A step that comes later than its mark allows is released as it comes.

**Restarts change nothing.** A partition is one log, so what a merge releases, and in which order, is a function of that log alone:
neither of the clock nor of how the messages fall into batches. Between batches its `state` is written into the stage's table together
with the histories, in one write, after the batch's messages were confirmed. So after a kill either both have happened or neither, and:

- messages up to `taken` are read again only for the steps that were held; what was released is in the histories and was sent;
- the messages of a batch whose state was not written are sent again, with the same numbers, since `released` numbers them: the merge
  behind drops the numbers that it has. A source's owner sends in order and begins where all before was confirmed, so that the
  highest number taken from a source says that all below are there;
- records are tallied by the message that brought them first, and the tallies of unsettled messages are part of the state, so that the
  ledger counts each once.

Only where the state outgrows one message batch of the changelog can a kill leave histories that are ahead of their merge: then rings,
which take an id once and look back from (time, id), give the same scores as long as their slack reaches.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf

import msgspec

from streams.ledger import Tally
from streams.steps import AnyStep, Key, Mark

TABLES = {"join_labels": "labels", "meet_customer": "customers", "score_transactions": "terminals"}  # of the stages that merge
STATE_KEY = b"\xff state"  # where a table keeps its partition's state; never the UTF-8 of a key


class Source(msgspec.Struct, array_like=True):
    """What was taken from a source: its highest number, its promise, and the latest event time it has seen."""

    number: int = -1
    time_s: float = -inf
    high_s: float = -inf


class State(msgspec.Struct, array_like=True):
    """What a merge must remember beside the log: up to which offset it has taken messages, and what it has released."""

    taken: int = -1
    before_s: float = -inf
    released: int = 0
    sources: dict[str, Source] = {}
    tallies: dict[int, Tally] = {}


class Released(msgspec.Struct, frozen=True, gc=False):
    """A step to work off: its number among all that the merge has released, the message that brought it, and its source's name."""

    number: int
    offset: int
    step: AnyStep


@dataclass(slots=True)
class Merge:
    """The merge of one partition's sources.

    `sources` are all that feed the partition: nothing is released before each has made its promise. With `hold=False` steps are
    released as they come, and `before_s` only tells what the sources promise together.
    """

    sources: Sequence[str]
    hold: bool = True
    state: State = field(default_factory=State)
    newest: int | None = None  # the last message taken, until the ledger has counted it; None where only messages came again
    _held: list[tuple[Key, int, int, AnyStep]] = field(default_factory=list)  # key, order of arrival, offset, step
    _arrived: int = 0
    _held_s: float = -inf
    _waiting: dict[int, int] = field(default_factory=dict)  # steps held, by the offset of their message
    _again: set[int] = field(default_factory=set)  # messages to read again for what they hold, after a restart
    _seen: dict[str, int] = field(default_factory=dict)  # numbers read again

    def __post_init__(self) -> None:
        self._again = set(self.state.tallies)

    @property
    def high_s(self) -> float:
        """The latest event time that any source has seen, or that is held."""
        return max(self._held_s, *(source.high_s for source in self.state.sources.values()), -inf)

    def knows(self, offset: int) -> bool:
        """Whether nothing of a message is needed any more: it was taken, and not to be read again."""
        return offset <= self.state.taken and offset not in self._again

    def take(self, offset: int, marks: Sequence[Mark], steps: Iterable[AnyStep], *, dead: int = 0) -> list[Released]:
        """Take a message in and give what may be worked off now; `dead` counts steps that were none.

        >>> from streams.steps import Place
        >>> merge = Merge(["a", "b"])
        >>> merge.take(0, [Mark("a", 9.0)], [Place(0, 0, 0, 0, "t2", "C", "T", 8.0), Place(0, 1, 0, 1, "t1", "C", "T", 7.0)])
        []
        >>> [each.step.transaction_id for each in merge.take(1, [Mark("b", 8.0)], [])]
        ['t1']
        """
        self._pass_over(offset)
        if self.knows(offset):
            self.state.tallies.setdefault(offset, Tally())  # settled before: the ledger does not count it again
            return []
        if offset in self._again:
            self._take_again(offset, marks, steps)
            return []
        self.state.taken = self.newest = offset
        fresh = [step for step in steps if self._is_fresh(step, marks)]
        self.state.tallies[offset] = Tally(passed=len(fresh), dead=dead)
        late = [step for step in fresh if not self._hold(step, offset)] if self.hold else fresh
        return [self._release(offset, step) for step in late] + self._advance(marks)

    def spoil(self, offset: int) -> None:
        """One of the message's records became a dead letter."""
        passed, absorbed, dead = self.state.tallies[offset]
        self.state.tallies[offset] = Tally(passed - 1, absorbed, dead + 1)

    def absorb(self, offset: int) -> None:
        """One of the message's records ended here as meant to."""
        passed, absorbed, dead = self.state.tallies[offset]
        self.state.tallies[offset] = Tally(passed - 1, absorbed + 1, dead)

    def bury(self) -> None:
        """A record that ended here as meant to, at some time before, is a dead letter after all: counted with the newest message."""
        assert self.newest is not None
        passed, absorbed, dead = self.state.tallies[self.newest]
        self.state.tallies[self.newest] = Tally(passed, absorbed - 1, dead + 1)

    def settled(self) -> dict[int, Tally]:
        """What became of the messages of which nothing is held, up to the first of which something is."""
        first = min(self._waiting, default=inf)
        if self._again:
            first = min(first, *self._again)
        return {offset: tally for offset, tally in self.state.tallies.items() if offset < first}

    def forget(self, offsets: Iterable[int]) -> None:
        """Drop the tallies of messages that the ledger has counted."""
        for offset in offsets:
            self.state.tallies.pop(offset, None)
            self.newest = None if offset == self.newest else self.newest

    def _pass_over(self, offset: int) -> None:
        """Reading begins at what was committed, so that what is before the first message read again was counted."""
        for counted in [each for each in self._again if each < offset]:
            self._again.discard(counted)
            self.state.tallies.pop(counted, None)

    def _take_again(self, offset: int, marks: Sequence[Mark], steps: Iterable[AnyStep]) -> None:
        """Hold again what of a message was not released before the restart."""
        self._again.discard(offset)
        for step in steps:
            source = marks[step.source].source
            if step.number > self._seen.get(source, -1):
                self._seen[source] = step.number
                if self.hold:
                    self._hold(step, offset)

    def _is_fresh(self, step: AnyStep, marks: Sequence[Mark]) -> bool:
        source = self.state.sources.setdefault(marks[step.source].source, Source())
        if step.number <= source.number:
            return False
        source.number = step.number
        return True

    def _hold(self, step: AnyStep, offset: int) -> bool:
        """Hold a step, unless it is late."""
        key = step.key
        if key[0] < self.state.before_s:
            return False
        self._arrived += 1
        self._held_s = max(self._held_s, key[0])
        heapq.heappush(self._held, (key, self._arrived, offset, step))
        self._waiting[offset] = self._waiting.get(offset, 0) + 1
        return True

    def _release(self, offset: int, step: AnyStep) -> Released:
        released = Released(self.state.released, offset, step)
        self.state.released += 1
        return released

    def _advance(self, marks: Sequence[Mark]) -> list[Released]:
        """Note what the sources promise; the held steps that this lets go."""
        known = self.state.sources
        for mark in marks:
            source = known.setdefault(mark.source, Source())
            source.time_s, source.high_s = max(source.time_s, mark.time_s), max(source.high_s, mark.high_s)
        least_s = min((known[name].time_s if name in known else -inf for name in self.sources), default=-inf)
        self.state.before_s = max(self.state.before_s, least_s)
        found = []
        while self._held and self._held[0][0][0] < self.state.before_s:
            _, _, offset, step = heapq.heappop(self._held)
            self._waiting[offset] -= 1
            if not self._waiting[offset]:
                del self._waiting[offset]
            found.append(self._release(offset, step))
        return found


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(State, strict=False)


def encode_state(state: State) -> bytes:
    """MessagePack of a merge's state."""
    return _encoder.encode(state)


def decode_state(raw: bytes | None) -> State:
    """The state that `encode_state` wrote; that of a merge which has taken nothing where there is none."""
    return State() if raw is None else _decoder.decode(raw)
