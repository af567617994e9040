"""Conservation: each way in which a count can be wrong is told, with its line, and nothing is told of what only goes on."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from commands.web import row_readings
from core.codec import encode
from core.metrics import CAME, IN_FLIGHT, LEDGER, UNCOUNTED
from core.records import ModelRef, ScoredText
from core.topics import TRANSACTIONS_BY_ID
from search.documents import document
from search.memory_index import MemoryIndex
from streams.conservation import Facts, Key, Letter, Line, dead_lines, hop_lines, partition_lines
from streams.indexed import look_up
from streams.ledger import Entry
from streams.messages import Received
from streams.steps import Mark, Parcels, Place, StepCount

NEWS = ("news.raw", 0)
SCORED = ("text.scored", 0)
GOOD = (
    Entry("score_texts", *NEWS, 9, passed=8, absorbed=0, dead=2, first=0),
    Entry("index", *SCORED, 11, passed=8, absorbed=4, dead=0, first=0),
    Entry("match", *SCORED, 11, passed=8, absorbed=4, dead=0, first=0),
)
BOUNDS = {NEWS: (0, 10), SCORED: (0, 12)}
LETTERS = [Letter("score_texts", *NEWS, offset, b"") for offset in (3, 7)]


def facts(
    entries: Sequence[Entry] = GOOD,
    *,
    bounds: Mapping[tuple[str, int], tuple[int, int]] = BOUNDS,
    held: int = 0,
    committed: Mapping[tuple[str, int], int] | None = None,
    earlier: Mapping[Key, int] | None = None,
    deep: bool = False,
) -> Facts:
    """Facts of a broker that holds `held` messages in any range that it is asked for."""
    return Facts(entries, bounds, committed, earlier or {}, lambda *_: held, deep)


def bad(lines: Sequence[Line]) -> list[str]:
    return [f"{line.of}: {line.reason}" for line in lines if line.holds is False]


def tampered(number: int, **changes: int | None) -> list[Entry]:
    return [replace(row, **changes) if place == number else row for place, row in enumerate(GOOD)]  # type: ignore[arg-type]


def test_counts_that_are_those_of_the_topics_hold() -> None:
    found = facts(committed={NEWS: 10, SCORED: 12})
    lines = [*partition_lines(found), *hop_lines(found), *dead_lines(found, LETTERS, gone=0)]
    assert [line.of for line in lines if line.holds is not True] == []
    assert len(lines) == 3 + 2 + 1
    assert lines[0].figures["in"] == 10


@pytest.mark.parametrize(
    ("entries", "held", "told"),
    [
        (tampered(0, passed=9), 10, "11 were counted and 10 came"),
        (tampered(0, passed=7), 10, "1 that the topic holds were not counted"),
        (tampered(0, passed=6, dead=2), 7, "8 were counted and 7 are there"),
        (tampered(0, offset=10, passed=9), 10, "it was made anew"),
        (tampered(0, first=2, passed=6), 8, "2 messages before offset 2 were never counted"),
    ],
)
def test_a_row_that_was_tampered_with_is_told(entries: list[Entry], held: int, told: str) -> None:
    (fault,) = bad(partition_lines(facts(entries, held=held)))
    assert fault.startswith("score_texts on news.raw/0: ")
    assert told in fault


def test_offsets_without_a_message_are_no_loss() -> None:
    (line, *_) = partition_lines(facts(tampered(0, passed=5), held=7))
    assert (line.holds, line.reason) == (True, "3 offsets are without a message (marks of transactions, or compaction)")


def test_what_retention_has_removed_cannot_be_told() -> None:
    cut = {NEWS: (4, 10), SCORED: (0, 12)}
    assert partition_lines(facts(bounds=cut, held=6))[0].holds is True
    assert partition_lines(facts(tampered(0, passed=5), bounds=cut, held=6))[0].holds is None
    assert partition_lines(facts(tampered(0, passed=2), bounds=cut, held=6))[0].holds is False


def test_a_row_of_an_older_version_does_not_know_where_it_began() -> None:
    assert partition_lines(facts(tampered(0, first=None)))[0].holds is True
    assert partition_lines(facts(tampered(0, first=None, passed=5), held=10))[0].holds is None


def test_what_an_earlier_epoch_has_counted_is_not_missed() -> None:
    key = ("score_texts", *NEWS)
    begun_later = tampered(0, first=2, passed=6)
    assert partition_lines(facts(begun_later, held=8, earlier={key: 1}))[0].holds is True
    assert partition_lines(facts(begun_later, held=8, earlier={key: 0}))[0].holds is False


def test_offsets_that_are_committed_and_not_counted_are_told() -> None:
    assert bad(partition_lines(facts(committed={NEWS: 10, SCORED: 12}))) == []
    (fault,) = bad(partition_lines(facts(GOOD[1:], committed={NEWS: 10, SCORED: 12})))
    assert "score_texts on news.raw/0: committed up to 10 and counted up to 0" in fault


def test_records_that_were_sent_on_and_did_not_arrive_are_told() -> None:
    lost = tampered(1, passed=7, absorbed=5)
    assert [fault.split(":")[0] for fault in bad(hop_lines(facts(lost)))] == ["score_texts (news.raw, social.raw) → index"]
    assert bad(hop_lines(facts(lost, bounds={NEWS: (0, 10), SCORED: (0, 13)}))) == []  # one is in flight
    repeated = tampered(1, passed=10, absorbed=2)
    assert bad(hop_lines(facts(repeated))) == []


def test_only_repeats_that_a_merge_does_not_know_are_told() -> None:
    rows = [
        Entry("admit", "transactions.raw", 0, 4, 5, 0, 0, 0),
        Entry("join_labels", "transactions.by_id", 0, 0, 0, 5, 0, 0),
        Entry("meet_customer", "transactions.by_customer", 0, 0, 0, 6, 0, 0),
    ]
    bounds = {(row.topic, row.partition): (0, row.offset + 1) for row in rows}
    (fault,) = bad(hop_lines(facts(rows, bounds=bounds)))
    assert "1 more arrived than were sent on: another program writes to transactions.by_customer" in fault
    bounds["transactions.raw", 0] = (0, 6)
    assert bad(hop_lines(facts(rows, bounds=bounds))) == []


@pytest.mark.parametrize(
    ("letters", "told"),
    [
        (LETTERS[:1], "1 dead letters are not in their topics"),
        ([*LETTERS, Letter("score_texts", *NEWS, 5, b"")], "1 letters more than the ledger counts"),
        ([*LETTERS, LETTERS[0]], None),
        ([*LETTERS, Letter("score_texts", *NEWS, 10, b"")], None),  # it came after the ledger was read
        ([*LETTERS, Letter("ingest", "news.raw", -1, -1, b"")], None),
    ],
)
def test_dead_letters_are_held_against_the_ledger(letters: list[Letter], told: str | None) -> None:
    faults = bad(dead_lines(facts(), letters, gone=0))
    assert len(faults) == (told is not None)
    assert told is None or told in faults[0]


def test_steps_of_parcels_are_counted_once_however_often_they_come() -> None:
    parcels = Parcels(TRANSACTIONS_BY_ID, 1)
    for number in range(3):
        parcels.add("C", Place(0, number, 0, number, f"t{number}", "C", "T", 1.0))
    (message,) = parcels.messages([Mark("transactions.raw/0", 1.0)], always=True)
    count = StepCount()
    for value in (message.value, message.value, b"no parcel"):
        count.take(value)
    assert count.total == 4


def test_a_row_of_the_ledger_is_exported() -> None:
    row = Entry("index", *SCORED, 11, passed=7, absorbed=3, dead=1, first=2)
    told = {(each.gauge, each.labels.get("outcome")): each.value for each in row_readings(row, 15)}
    assert told == {
        (CAME, None): 13, (IN_FLIGHT, None): 3, (LEDGER, "passed"): 7, (LEDGER, "absorbed"): 3, (LEDGER, "dead"): 1, (UNCOUNTED, None): -1,
    }  # fmt: skip
    parcels = Entry("join_labels", "transactions.by_id", 0, 1, 0, 9, 0, 0)
    assert UNCOUNTED not in {each.gauge for each in row_readings(parcels, 2)}


def scored(number: int) -> ScoredText:
    time = datetime(2022, 11, 8, tzinfo=UTC) + timedelta(days=number)
    model = ModelRef(name="sentiment", version="1")
    return ScoredText(
        id=f"news-{number}",
        kind="news",
        time=time,
        ingested=time,
        published=time,
        source="wire",
        title="T",
        lang="en",
        sentiment=None,
        topic=None,
        model=model,
    )


def test_an_event_that_the_index_lacks_is_named() -> None:
    async def looked_up(kept: Sequence[int], refused: set[tuple[str, int, int]], not_before: datetime | None = None) -> Line:
        index = MemoryIndex()
        await index.write([document(scored(number)) for number in kept])
        values = [*(encode(scored(number)) for number in (0, 1, 2, 2)), b""]
        messages = [Received("text.scored", 0, offset, None, value, 0.0) for offset, value in enumerate(values)]
        return (await look_up(index, messages, refused, not_before=not_before)).line(len(kept))

    whole = asyncio.run(looked_up((0, 1, 2), set()))
    assert (whole.holds, whole.figures["events"], whole.figures["ids"], whole.figures["documents"]) == (True, 4, 3, 3)
    lacking = asyncio.run(looked_up((0, 2), set()))
    assert lacking.holds is False
    assert "1 missing: news-1" in lacking.reason
    assert asyncio.run(looked_up((0, 2), {("text.scored", 0, 1)})).holds is True
    assert asyncio.run(looked_up((2,), set(), datetime(2022, 11, 10, tzinfo=UTC))).holds is True
