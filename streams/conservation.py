"""Conservation: whether every message of every topic was counted once by each stage that reads it, and what was sent on has arrived.

    settled of a partition  =  passed + absorbed + dead                  message by message, but for parcels
    steps of its parcels    =  passed + absorbed + dead                  where parcels are read (`Facts.records`)
    passed in one stage     =  read in the next                          in records; at least that many where a kill may repeat
    dead in a stage         =  its letters, each counted once

What is in flight is the topic's end less what is settled. That is arithmetic and no check; but a partition of which nothing is in
flight must satisfy the equations, and one in which something moves only those that do not speak of it.

Facts are read in this order, so that work that goes on meanwhile cannot make a check fail: committed offsets, the ledger, the ends of
the dead-letter topics, the bounds of all other topics. Messages and letters are read last, up to where those say.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from streams.backlog import READERS, Place, readers_of
from streams.ledger import Entry

PARCELS = frozenset({"join_labels", "meet_customer", "score_transactions"})  # a message of theirs holds many records, or none
Key = tuple[str, str, int]  # stage, topic, partition


@dataclass(frozen=True, slots=True)
class Line:
    """One check: of what, its figures, and whether it `holds`; None where that cannot be told. `reason` says why, and what to do."""

    check: str
    of: str
    figures: Mapping[str, object]
    holds: bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read. `committed` is None where commits tell nothing (the embedded broker).

    `earlier` is the highest offset that another epoch of the ledger has counted. `records(key, begin, end)` counts what a topic still
    holds of `[begin, end)`: messages, or the steps of parcels; it is asked where offsets alone do not tell, and everywhere with `deep`.
    """

    entries: Sequence[Entry]
    bounds: Mapping[Place, tuple[int, int]]
    committed: Mapping[Place, int] | None
    earlier: Mapping[Key, int]
    records: Callable[[Key, int, int], int]
    deep: bool = False
    rows: dict[Key, Entry] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.rows.update({(row.stage, row.topic, row.partition): row for row in self.entries})

    def waiting(self, key: Key) -> int:
        """Messages that are in flight before a stage; what it does not read any more because it is gone is not."""
        begin, end = self.bounds.get(key[1:], (0, 0))
        row = self.rows.get(key)
        return max(0, end - (begin if row is None else row.offset + 1))

    def idle(self, stage: str) -> bool:
        """Whether nothing is in flight before a stage."""
        return all(self.waiting((stage, *place)) == 0 for place in self.bounds if stage in readers_of(place[0]))

    def whole(self, stage: str, topics: Iterable[str]) -> bool:
        """Whether the ledger has a stage's counts from the first message of these topics on."""
        return all(row.first == 0 for row in self.entries if row.stage == stage and row.topic in topics)


def partition_lines(facts: Facts) -> list[Line]:
    """One line for each stage and partition of its topics that ever held a message."""
    places = [place for place, (_, end) in sorted(facts.bounds.items()) if end]
    keys = [(stage, *place) for stage in READERS for place in places if stage in readers_of(place[0])]
    return [_partition(facts, key) for key in keys]


def _partition(facts: Facts, key: Key) -> Line:
    stage, topic, number = key
    begin, end = facts.bounds[topic, number]
    row = facts.rows.get(key) or Entry(*key, begin - 1, 0, 0, 0, begin)
    first = row.first or 0
    figures = {
        "stage": stage,
        "topic": topic,
        "partition": number,
        "in": end - first,
        "settled": row.offset + 1 - first,
        "in flight": facts.waiting(key),
        "passed": row.passed,
        "absorbed": row.absorbed,
        "dead": row.dead,
        "committed": None if facts.committed is None else facts.committed.get((topic, number), 0),
    }
    faults = [*_misplaced(facts, key, row), *([] if key not in facts.rows else _miscounted(facts, key, row))]
    failed = [reason for holds, reason in faults if holds is False]
    untold = [reason for holds, reason in faults if holds is None]
    told = [reason for holds, reason in faults if holds]
    return Line(
        "partition",
        f"{stage} on {topic}/{number}",
        figures,
        False if failed else None if untold else True,
        "; ".join(failed or untold or told),
    )


_Found = tuple[bool | None, str]


def _misplaced(facts: Facts, key: Key, row: Entry) -> Iterable[_Found]:
    """What is wrong with where the ledger begins and ends, beside the topic and the committed offset."""
    _, topic, number = key
    begin, end = facts.bounds[topic, number]
    before = facts.earlier.get(key, -1)
    if row.offset >= end:
        yield (
            False,
            f"the ledger has counted up to offset {row.offset} and the topic ends at {end}: it was made anew; name a new `epoch`",
        )
    first = row.first or 0
    if key in facts.rows and first > max(begin, before + 1):
        yield (
            False,
            f"{first - max(begin, before + 1)} messages before offset {first} were never counted: set the group's offset back to {begin} "
            "and name a new `epoch`; what is worked off again is the same by its id",
        )
    committed = (facts.committed or {}).get((topic, number), 0)
    if committed > max(row.offset, before) + 1:
        yield (
            False,
            f"committed up to {committed} and counted up to {row.offset + 1}: restart the workers, they read again from the ledger"
            + ("" if key in facts.rows else "; or the ledger is another epoch's, see --broker and `epoch`"),
        )


def _miscounted(facts: Facts, key: Key, row: Entry) -> Iterable[_Found]:
    """What is wrong with a row's counts, held against offsets, and against what the topic holds where those do not tell."""
    parcels, (begin, _) = key[0] in PARCELS, facts.bounds[key[1:]]
    first = row.first or 0
    span = row.offset + 1 - first
    if not parcels and row.read > span:
        yield False, f"{row.read} were counted and {span} came: the row was changed, or is another broker's; name a new `epoch`"
        return
    if (row.read == span or parcels) and not facts.deep:
        if parcels:
            yield None, "steps are counted between stages, and here with --deep"
        return
    if begin > first or (parcels and first):
        kept = 0 if parcels else facts.records(key, begin, row.offset + 1)
        if kept > row.read:
            yield False, _lost(kept - row.read, first)
        elif row.read != span:
            yield None, f"what was before offset {begin} is no longer held: whether {row.read} records were in it, cannot be told"
        return
    found = facts.records(key, first, row.offset + 1)
    if row.first is None and found > row.read:
        yield (
            None,
            "the row is of a version that did not note where it began: what came before cannot be told from what is missing",
        )
    elif found > row.read:
        yield False, _lost(found - row.read, first)
    elif found < row.read:
        yield (
            False,
            f"{row.read} were counted and {found} are there: the row was changed, or is another broker's; name a new `epoch`",
        )
    elif row.read != span and not parcels:
        yield True, f"{span - found} offsets are without a message (marks of transactions, or compaction)"


def _lost(count: int, first: int) -> str:
    return (
        f"{count} that the topic holds were not counted: stop the workers, set the group's offset on it back to {first} and name a new "
        "`epoch`; what is worked off again is the same by its id"
    )


@dataclass(frozen=True, slots=True)
class Hop:
    """Records on their way between stages: what `senders` (stage and topics) have passed on, `receiver` has read on `topic`.

    A kill may repeat what is sent; only the merges of payments (`exact`) know what comes again.
    """

    senders: tuple[tuple[str, tuple[str, ...]], ...]
    receiver: str
    topic: str
    exact: bool


_RAW = ("transactions.raw",)
_TEXTS = (("score_texts", ("news.raw", "social.raw")),)
_PAYMENTS = (("score_transactions", ("transactions.by_terminal",)),)
HOPS = (
    Hop((("admit", ("transactions.raw", "labels.raw")),), "join_labels", "transactions.by_id", True),
    Hop((("admit", _RAW), ("join_labels", ("transactions.by_id",))), "meet_customer", "transactions.by_customer", True),
    Hop((("meet_customer", ("transactions.by_customer",)),), "score_transactions", "transactions.by_terminal", True),
    *(Hop(_TEXTS, stage, "text.scored", False) for stage in ("index", "match")),
    *(Hop(_PAYMENTS, stage, "transactions.scored", False) for stage in ("index", "match")),
)


def hop_lines(facts: Facts) -> list[Line]:
    """One line for each hop on which something was sent or has arrived."""
    return [line for line in (_hop(facts, hop) for hop in HOPS) if line.figures["sent"] or line.figures["arrived"]]


def _hop(facts: Facts, hop: Hop) -> Line:
    sent = sum(row.passed for stage, topics in hop.senders for row in facts.entries if row.stage == stage and row.topic in topics)
    here = [row for row in facts.entries if row.stage == hop.receiver and row.topic == hop.topic]
    arrived = sum(row.read if hop.exact else row.passed + row.dead for row in here)  # what others absorb are marks, no records
    whole = facts.whole(hop.receiver, (hop.topic,)) and all(facts.whole(*sender) for sender in hop.senders)
    read_up = all(facts.waiting((hop.receiver, *place)) == 0 for place in facts.bounds if place[0] == hop.topic)
    sent_up = all(facts.idle(stage) for stage, _ in hop.senders)
    holds: bool | None = True
    reason = f"{arrived - sent} came again after a restart" if arrived > sent else ""
    if not whole:
        holds, reason = None, "the ledger began when these topics were not empty"
    elif read_up and arrived < sent:
        holds, reason = (
            False,
            f"{sent - arrived} were sent on and never arrived: send the records of that time again from their sources",
        )
    elif hop.exact and sent_up and arrived > sent:
        holds, reason = False, f"{arrived - sent} more arrived than were sent on: another program writes to {hop.topic}"
    elif not read_up or (hop.exact and not sent_up):
        holds, reason = None, "records are in flight"
    names = " and ".join(f"{stage} ({', '.join(topics)})" for stage, topics in hop.senders)
    figures = {"sent": sent, "topic": hop.topic, "arrived": arrived}
    return Line("hop", f"{names} → {hop.receiver}", figures, holds, reason)


@dataclass(frozen=True, slots=True)
class Letter:
    """What tells a dead letter from others: its stage, where its record came from, and a digest of its bytes."""

    stage: str
    topic: str
    partition: int
    offset: int
    digest: bytes


def dead_lines(facts: Facts, letters: Iterable[Letter], *, gone: int) -> list[Line]:
    """One line for each stage that has dead letters, or should have; `gone` letters are no longer held by their topics."""
    by_stage: dict[str, list[Letter]] = {}
    for letter in letters:
        if not _is_of_elsewhere(facts, letter):
            by_stage.setdefault(letter.stage, []).append(letter)
    counted = {stage: sum(row.dead for row in facts.entries if row.stage == stage) for stage in READERS}
    stages = [stage for stage in dict.fromkeys((*READERS, *sorted(by_stage))) if counted.get(stage) or stage in by_stage]
    return [_dead(facts, stage, counted.get(stage), by_stage.get(stage, []), gone) for stage in stages]


def _is_of_elsewhere(facts: Facts, letter: Letter) -> bool:
    """Whether a letter's record came after what the ledger had counted when it was read, or before what it has counted at all."""
    row = facts.rows.get((letter.stage, letter.topic, letter.partition))
    if row is not None:
        return not (row.first or 0) <= letter.offset <= row.offset
    return (
        letter.stage in READERS and (letter.topic, letter.partition) in facts.bounds and letter.stage in readers_of(letter.topic)
    )


def _dead(facts: Facts, stage: str, counted: int | None, letters: Sequence[Letter], gone: int) -> Line:
    found = len(set(letters))
    figures = {"stage": stage, "counted": counted, "letters": found, "repeated": len(letters) - found}
    if counted is None:
        holds, reason = None, "refused before they came to a stage: no ledger counts them"
    elif found < counted and gone:
        holds, reason = None, f"{gone} letters are no longer held by their topics"
    elif found < counted:
        holds, reason = (
            False,
            f"{counted - found} dead letters are not in their topics: they were deleted, or the ledger was changed",
        )
    elif found == counted:
        holds, reason = True, ""
    elif stage in PARCELS and not facts.idle(stage):
        holds, reason = None, "records are in flight"
    elif stage in PARCELS and not facts.whole(stage, (topic.name for topic in READERS[stage])):
        holds, reason = None, "letters of an earlier epoch are among them"
    else:
        holds, reason = (
            False,
            f"{found - counted} letters more than the ledger counts: another program has written them, or it was changed",
        )
    return Line("dead letters", f"dead letters of {stage}", figures, holds, reason)
