"""Ledger, gate, backlog and dead letters: what keeps count."""

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ConfigError, InvalidRecord
from core.records import DeadLetter
from streams.batches import tally
from streams.continuity import Continuity, Verdict
from streams.dead_letters import DeadRatio, TooManyDeadLetters, from_message, to_message
from streams.dead_reader import DeadPlace
from streams.gate import Gate
from streams.ledger import ABSORBED, DEAD, PASSED
from streams.messages import Received, Worked

START = datetime(2020, 1, 1, tzinfo=UTC)


def message(offset: int, topic: str = "news.raw") -> Received:
    return Received(topic, 0, offset, None, b"x", 0.0)


def test_a_batch_is_counted_by_what_became_of_each_record() -> None:
    batch = [message(offset) for offset in range(4)]
    worked = Worked(dead=[(batch[1], "bad")], absorbed=[batch[3]])
    assert tally(batch, worked) == {
        ("news.raw", 0): {0: PASSED, 1: DEAD, 2: PASSED, 3: ABSORBED},
    }


def test_the_gate_never_lets_more_than_its_bound_through() -> None:
    waiting = [0]
    sent: list[int] = []
    drained: list[int] = []

    def drain(_: float) -> None:
        waiting[0] = max(0, waiting[0] - 30)
        drained.append(waiting[0])

    gate = Gate(backlog=lambda: waiting[0], max_records=100, max_bytes=10_000, on_wait=lambda: None, sleep=drain)
    for _ in range(1_000):
        assert gate.take(10)
        waiting[0] += 1
        sent.append(waiting[0])
    assert max(sent) <= 100
    assert drained


def test_the_gate_bounds_bytes_too_and_stops_when_told() -> None:
    flying: list[int] = []
    pick = random.Random(0)

    def drain(_: float) -> None:
        del flying[: pick.randrange(3)]

    gate = Gate(backlog=lambda: len(flying), max_records=100, max_bytes=1_000, on_wait=lambda: None, sleep=drain)
    for _ in range(500):
        size = pick.choice([1, 10, 300, 900, 5_000])
        assert gate.take(size)
        flying.append(size)
        assert sum(flying) <= 1_000 or flying == [5_000]  # larger than the bound: alone it passes
    stopped = Gate(backlog=lambda: 99, max_records=100, max_bytes=1, on_wait=lambda: None, should_stop=lambda: True)
    assert not stopped.take(1)


@settings(deadline=None)  # the first example pays for imports
@given(raw=st.binary(), reason=st.text(), key=st.none() | st.binary())
def test_a_dead_letter_comes_back_as_it_went(raw: bytes, reason: str, key: bytes | None) -> None:
    letter = DeadLetter(raw=raw, reason=reason, stage="decode", topic="news.raw", partition=1, offset=7, time=START, key=key)
    sent = to_message(letter)
    assert sent.topic == "news.raw.dead"
    found = from_message(sent.value, sent.key, sent.headers)
    assert (found.raw, found.key, found.stage, found.offset, found.time) == (raw, key, "decode", 7, START)
    if reason.isprintable() and len(reason) < 2000:
        assert found.reason == reason


def test_what_is_no_dead_letter_is_refused() -> None:
    with pytest.raises(InvalidRecord, match="not a dead letter"):
        from_message(b"x", None, [("groundswell.reason", b"r")])


def test_the_dead_ratio_stops_only_when_nearly_all_records_fail() -> None:
    ratio = DeadRatio(0.9)
    ratio.count(good=0, dead=900)
    ratio.count(good=100, dead=0)
    with pytest.raises(TooManyDeadLetters, match="1000 of the last 1000"):
        ratio.count(good=0, dead=1_000)
    healthy = DeadRatio(0.5)
    for _ in range(30):
        healthy.count(good=60, dead=40)


@pytest.mark.parametrize("text", ["", "a", "a:1", "a:1:x", "a:-1:2", ":1:2"])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"TOPIC\.dead:PARTITION:OFFSET"):
        DeadPlace.parse(text)


def arrivals(expected: str, offsets: list[int], settled: int | None) -> None:
    """Hold a partition's verdicts, against what is expected."""
    assert verdicts(Continuity(settled=lambda: settled), *offsets) == expected


def verdicts(partition: Continuity, *offsets: int) -> str:
    """A partition's verdicts, written w, d, r and l."""
    return "".join(partition.judge(offset).value[0] for offset in offsets)


def test_what_is_missing_is_read_again() -> None:
    arrivals("wrllww", [5, 8, 9, 10, 6, 7], settled=4)
    arrivals("rw", [3, 0], settled=-1)


def test_a_hole_that_comes_again_is_real() -> None:
    arrivals("wrlrlrlww", [5, 8, 9, 8, 9, 8, 9, 8, 9], settled=4)
    arrivals("rrrw", [1_000] * 4, settled=-1)


def test_a_hole_that_was_read_again_in_part_is_read_again_again() -> None:
    arrivals("wrlrwww", [5, 8, 9, 7, 6, 7, 8], settled=4)


def test_messages_that_come_twice_are_worked_off_twice() -> None:
    arrivals("wwww", [5, 6, 5, 6], settled=4)
    arrivals("ww", [2, 3], settled=9)


def test_what_was_read_again_and_lay_in_a_queue_is_worked_off_once() -> None:
    partition = Continuity(settled=lambda: 4)
    assert verdicts(partition, 5, 6, 7) == "www"
    partition.sought(6)
    assert verdicts(partition, 8, 6) == "wd"
    partition.sought(6, 9)
    assert verdicts(partition, 7, 8, 9, 10) == "ddww"
    assert verdicts(partition, 6, 7) == "ww", "nobody has sought these: the topic may have been made anew"


def test_what_is_read_again_twice_is_a_repeat_up_to_the_latter_end() -> None:
    partition = Continuity(settled=lambda: -1)
    assert verdicts(partition, 0, 1, 2, 3, 4) == "wwwww"
    partition.sought(1, 6)
    partition.sought(3, 8)
    assert verdicts(partition, 5, 1, 2, 3, 4, 5, 6, 7, 3, 6, 7, 8) == "wdddddwwdddw"


def test_a_hole_that_is_read_again_is_worked_off_whatever_is_a_repeat() -> None:
    partition = Continuity(settled=lambda: 4)
    assert verdicts(partition, 5, 8, 9) == "wrl"
    partition.sought(6, 10)
    assert verdicts(partition, 6, 7, 8, 9, 10) == "wwwww"


def test_what_the_ledger_has_settled_is_done_where_it_is_certain() -> None:
    partition = Continuity(settled=lambda: 4, once=True)
    assert [partition.judge(offset).value for offset in (3, 4, 5, 5, 8, 6)] == ["done", "done", "work", "done", "rewind", "work"]


def test_a_first_message_without_a_ledger_row_is_believed() -> None:
    arrivals("wwr", [500, 501, 503], settled=None)


def test_what_another_worker_did_meanwhile_is_no_hole() -> None:
    ledger = [4]
    partition = Continuity(settled=lambda: ledger[0])
    assert partition.judge(5) is Verdict.WORK
    ledger[0] = 20
    assert partition.judge(21) is Verdict.WORK
    assert partition.judge(23) is Verdict.REWIND
    assert partition.expected == 22
