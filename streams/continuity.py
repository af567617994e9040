"""Whether a partition's messages arrive without a hole, held against the ledger; a hole is read again before it is believed.

Faust 0.15.3 can skip messages when a worker starts or partitions move: it resumes fetching before it has sought the committed offset,
drops what arrives meanwhile, and then counts the hole as acked (80 of 41,000 records were lost over three kills of a worker). The
ledger knows better: it holds the highest offset that each stage has really worked off.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from math import inf

_TRIES = 3
_NOTHING: tuple[int, float] = (0, 0)


class Verdict(Enum):
    """What to do with a message: work it off, ack it as done before, seek back to what is missing, or leave it to come again."""

    WORK = "work"
    DONE = "done"
    REWIND = "rewind"
    LEAVE = "leave"


@dataclass(slots=True)
class Continuity:
    """One stage's view of one partition. `settled` asks the ledger for the highest offset that the stage has worked off.

    With `once`, a message that the ledger has settled is not worked off again after a restart. That is for a ledger that is certain to
    tell of this very topic: a Kafka topic may have been deleted and made anew, and then its offsets mean other messages.

    Nor is one that comes again since this worker has `sought` back. A repeat that it did not ask for is worked off again: it may be another
    message, of a topic that was made anew under a running worker.

    Holes are also made by Kafka itself (transaction markers, compaction, retention): where the messages begin at the same offset behind the
    hole after each of three seeks, the hole is real.
    """

    settled: Callable[[], int | None]
    once: bool = False
    expected: int | None = None
    _worked: range = field(default=range(0))  # offsets without a hole that were worked off here, up to the last
    _again: tuple[int, float] = field(default=_NOTHING)  # what a seek sends again: from where on, and up to where
    _found: int | None = field(default=None)  # the first offset behind the hole that is being read again
    _seen: int = field(default=-1)
    _tries: int = field(default=0)

    def judge(self, offset: int) -> Verdict:
        """What to do with the message at `offset`, given all that came before it.

        >>> partition = Continuity(settled=lambda: 4)
        >>> [partition.judge(offset).value for offset in (5, 9, 10, 6, 7)]
        ['work', 'rewind', 'leave', 'work', 'work']
        """
        expected = self.next_offset()
        self.expected = offset if expected is None else expected
        if (offset < self.expected and self.once) or self._is_repeat(offset):
            return Verdict.DONE
        if offset > self.expected:
            verdict = self._hole(offset)
            if verdict is not Verdict.WORK:
                return verdict
        self._found, self._tries = None, 0
        self.expected = max(self.expected, offset + 1)
        self._worked = range(self._worked.start if offset == self._worked.stop else offset, offset + 1)
        return Verdict.WORK

    def missed(self) -> None:
        """Messages were passed over here: the next hole is not believed before it has been read again as often as a new one."""
        self._tries = 0

    def sought(self, offset: int, end: float = inf) -> None:
        """The partition is read again from `offset`; what was fetched before lies below `end`, and may come twice.

        To be told before the seek, and again with the `end` that is known after it.
        """
        begin, before = self._again
        self._again = (min(begin, offset) if begin < before else offset, end)

    def _is_repeat(self, offset: int) -> bool:
        """Whether a message comes again since the partition was read again; one beyond all that was fetched before ends the repeats."""
        begin, end = self._again
        if offset >= end:
            self._again = _NOTHING
            return False
        return offset >= begin and offset in self._worked

    def follows(self, begin: int, end: int) -> bool:
        """Whether the messages from `begin` to before `end` are simply the next ones: then all of them are to be worked off.

        >>> partition = Continuity(settled=lambda: 4, expected=5)
        >>> partition.follows(5, 9), partition.follows(10, 12), partition.judge(10).value
        (True, False, 'rewind')
        """
        if begin != self.expected or self._found is not None or self._again != _NOTHING:
            return False
        self.expected, self._tries = end, 0
        self._worked = range(self._worked.start if begin == self._worked.stop else begin, end)
        return True

    def next_offset(self) -> int | None:
        """The offset to come; None where neither a message nor the ledger has told it."""
        if self.expected is None:
            before = self.settled()
            self.expected = None if before is None else before + 1
        return self.expected

    def _hole(self, offset: int) -> Verdict:
        assert self.expected is not None
        if self._found is not None and offset > self._seen:  # fetched before the seek: it comes again
            self._seen = offset
            return Verdict.LEAVE
        elsewhere = self.settled()  # another worker may have worked the hole off while it owned the partition
        if elsewhere is not None and offset <= elsewhere + 1:
            return Verdict.WORK
        self.expected = max(self.expected, -1 if elsewhere is None else elsewhere + 1)
        self._tries = self._tries + 1 if offset == self._found else 1
        if self._tries > _TRIES:
            return Verdict.WORK
        self._found = self._seen = offset
        return Verdict.REWIND
