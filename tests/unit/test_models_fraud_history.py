"""Rings: idempotent, indifferent to order, bounded; labels are seen from their arrival on, never before."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.codec import decode_transaction, encode
from core.errors import InvalidRecord
from core.records import Transaction
from models.fraud.history import (
    CUSTOMER,
    DAY_S,
    FRAUD,
    GENUINE,
    TERMINAL,
    UNKNOWN,
    Bounds,
    Entry,
    Keep,
    Ring,
    counterpart,
    customer_entry,
    terminal_entry,
)
from models.fraud.usual import ratios
from models.fraud.windows import FeatureRow, features, joined, stack

SMALL = Bounds(keep=4, slack=3, horizon_s=10 * DAY_S)
HERE, ELSEWHERE = counterpart("T1"), counterpart("T2")

# Few distinct times, so that ids decide; ids that lie in one another, and the characters next to the bytes that part them.
times = st.sampled_from([0.0, 0.5, DAY_S, 3 * DAY_S, 9 * DAY_S, 10 * DAY_S, 13 * DAY_S, 20 * DAY_S]) | st.floats(0, 2e9)
names = st.sampled_from(["a", "aa", "ab", "b", "\x00", "\x00\x00", "ÿ", "ÿþ", "𐀀", "a\nb"]) | st.text(min_size=1, max_size=5)
entry = st.builds(
    Entry,
    time_s=times,
    id=names,
    amount=st.floats(0, 2.0**49, width=32),
    other=st.sampled_from([HERE, ELSEWHERE]),
    ratio=st.floats(-4, 4, width=32),
)
entries = st.lists(entry, max_size=25, unique_by=lambda each: each.id)
labels = st.lists(st.tuples(names, st.sampled_from([GENUINE, FRAUD]), times), max_size=12)


@dataclass(frozen=True)
class Plain:
    """What a ring should hold, as a plain list."""

    entries: tuple[Entry, ...] = ()

    def insert(self, new: Entry) -> "Plain":
        if any(old.id == new.id for old in self.entries):
            return self
        kept = sorted((*self.entries, new), key=lambda each: (each.time_s, each.id))[-SMALL.keep - SMALL.slack :]
        oldest_s = kept[-1].time_s - SMALL.horizon_s - 2 * DAY_S
        return Plain(tuple(each for each in kept if each.time_s >= oldest_s))

    def label(self, name: str, state: int, label_s: float) -> "Plain":
        def marked(old: Entry) -> Entry:
            if old.id != name or (old.label != UNKNOWN and (label_s, state) <= (old.label_s, old.label)):
                return old
            return msgspec.structs.replace(old, label=state, label_s=label_s)

        return Plain(tuple(marked(old) for old in self.entries))

    def before(self, time_s: float, name: str) -> tuple[Entry, ...]:
        seen = [each for each in self.entries if (each.time_s, each.id) < (time_s, name)][-SMALL.keep :]
        return tuple(each for each in seen if each.time_s >= time_s - SMALL.horizon_s)


def ring_of(items: list[Entry], bounds: Bounds = SMALL) -> Ring:
    ring = Ring()
    for each in items:
        ring = ring.insert(each, bounds)
    return ring


def payment(time_s: float, name: str = "now", amount: float = 10.0) -> Transaction:
    return Transaction(
        id=name, time=datetime.fromtimestamp(time_s, UTC), customer_id="C1", terminal_id="T1", amount=amount, currency="USD"
    )


@given(entries, labels, times, names)
def test_a_ring_does_what_a_plain_list_does(
    items: list[Entry], known: list[tuple[str, int, float]], time_s: float, name: str
) -> None:
    ring, plain = Ring(), Plain()
    for step, each in enumerate(items):
        ring, plain = ring.insert(each, SMALL), plain.insert(each)
        for label in known[step::3]:
            ring, plain = ring.label(*label), plain.label(*label)
        ring = Ring.decode(ring.encode())
        assert ring.entries == plain.entries
        assert ring.newest_s == plain.entries[-1].time_s
        assert ring.entries[ring.before(time_s, name, SMALL)] == plain.before(time_s, name)
        assert ring.snapshot(each.time_s, each.id, SMALL).entries == plain.before(each.time_s, each.id)


@given(entries, labels, st.integers(0, 2**32))
def test_order_of_arrival_changes_nothing(items: list[Entry], known: list[tuple[str, int, float]], seed: int) -> None:
    shuffled, later = list(items), list(known)
    Random(seed).shuffle(shuffled)
    Random(seed).shuffle(later)
    first, second = ring_of(items), ring_of(shuffled)
    for one, other in zip(known, later, strict=True):
        first, second = first.label(*one), second.label(*other)
    assert first == second


@given(entries)
def test_inserting_again_changes_nothing(items: list[Entry]) -> None:
    ring = ring_of(items)
    for each in items:
        assert ring.insert(each, SMALL) is ring


@given(entries, times)
def test_what_is_worked_off_twice_sees_the_same_past(items: list[Entry], time_s: float) -> None:
    """A restart plays the latest payments again onto a ring that already holds them and up to `slack` later ones."""
    ordered = sorted(items, key=lambda each: (each.time_s, each.id))
    for count, each in enumerate(ordered):
        then = ring_of(ordered[: count + 1]).snapshot(each.time_s, each.id, SMALL)
        later = [one for one in ordered[count + 1 : count + 1 + SMALL.slack - 1] if one.time_s <= each.time_s + 2 * DAY_S]
        assert ring_of(ordered[: count + 1] + later).snapshot(each.time_s, each.id, SMALL) == then


def test_the_size_of_a_full_ring_is_fixed() -> None:
    items = [Entry(1.7e9 + index, f"tx-{index:012d}", 12.34, HERE) for index in range(200)]
    for bounds in (CUSTOMER, TERMINAL):
        count = bounds.keep + bounds.slack
        assert len(ring_of(items, bounds).encode()) == 5 + count * (32 + 15 + 1)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x02",
        b"\x01\x00\x01\x00" + bytes(32) + b"\xffa\xff",  # version 1: amounts of eight bytes and no ratios
        b"\x02\x00\x01\x00" + bytes(32),
        b"\x02\x00\x01\x00" + bytes(32) + b"\xffa",
        b"\x02\x00\x02\x00" + bytes(64) + b"\xffa\xff",
        b"\x02\x00\x01\x00" + bytes(8) + b"\x03" + bytes(23) + b"\xffa\xff",
    ],
)
def test_bytes_that_are_no_ring_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRecord, match="ring"):
        Ring.decode(raw)


@given(st.binary(max_size=200) | st.binary(max_size=120).map(lambda tail: b"\x02\x00\x01\x00" + tail))
def test_any_bytes_are_a_ring_or_refused(raw: bytes) -> None:
    try:
        ring = Ring.decode(raw)
    except InvalidRecord:
        return
    assert ring.encode() == raw
    assert len(ring.entries) == len(ring)


@given(st.text(min_size=1, max_size=40))
def test_any_id_that_the_codec_admits_is_remembered(name: str) -> None:
    admitted = decode_transaction(encode(payment(DAY_S * 8000, name)), datetime(2026, 1, 1, tzinfo=UTC))
    ring = Ring().insert(customer_entry(admitted), CUSTOMER).insert(customer_entry(payment(DAY_S * 8001, name + "x")), CUSTOMER)
    assert ring.label(name, FRAUD, 9.0).entries[0].label == FRAUD
    assert ring.names([0, 1]) == [name, name + "x"]


def test_a_label_counts_from_its_arrival_on() -> None:
    ring = ring_of([Entry(DAY_S, "a", 5.0, HERE)], TERMINAL).label("a", FRAUD, 8 * DAY_S)
    rows = [features(payment(time_s), Ring(), ring) for time_s in (8 * DAY_S - 1, 8 * DAY_S)]
    assert stack(rows).terminal.state.tolist() == [[UNKNOWN], [FRAUD]]


def test_of_two_labels_the_later_stands_in_either_order() -> None:
    ring = ring_of([Entry(0.0, "a", 5.0, HERE)])
    suspected, cleared = ("a", FRAUD, 10.0), ("a", GENUINE, 20.0)
    assert ring.label(*suspected).label(*cleared) == ring.label(*cleared).label(*suspected)
    assert ring.label(*suspected).label(*cleared).entries[0].label == GENUINE


def test_a_label_of_another_payment_changes_nothing() -> None:
    ring = ring_of([Entry(0.0, "ab", 5.0, HERE), Entry(1.0, "cd", 5.0, HERE)])
    assert ring.label("b", FRAUD, 1.0) is ring
    assert ring.label("b\nc", FRAUD, 1.0) is ring


def test_a_payment_sees_neither_itself_nor_what_follows() -> None:
    ring = ring_of([Entry(100.0, "a", 1.0, HERE), Entry(100.0, "b", 2.0, HERE), Entry(100.0, "c", 3.0, HERE)])
    row = features(payment(100.0, "b"), ring, Ring())
    assert [each.id for each in row.customer.entries] == ["a"]


def test_windows_are_padded_to_the_longest_and_flag_the_counterpart() -> None:
    long = ring_of([Entry(float(second), f"e{second}", 2.0 * second, HERE if second % 2 else ELSEWHERE) for second in range(3)])
    stacked = stack([features(payment(50.0), long, Ring()), features(payment(50.0), Ring(), Ring())])
    assert stacked.customer.valid.tolist() == [[True, True, True], [False, False, False]]
    assert stacked.customer.amount[0].tolist() == [4.0, 2.0, 0.0]
    assert stacked.customer.same[0].tolist() == [False, True, False]
    assert stacked.terminal.valid.shape == (2, 0)
    assert np.isfinite(stacked.customer.time_s).all()


def test_a_ratio_is_to_what_the_customer_paid_before_without_the_unusual() -> None:
    ring = ring_of([Entry(float(second), name, amount, HERE) for second, name, amount in
                    ((1, "a", 10.0), (2, "b", 100.0), (3, "c", 14.0), (5, "d", 900.0))], CUSTOMER)  # fmt: skip
    found = ratios([payment(4.0, "c2", 24.0), payment(4.0, "first", 24.0)], [ring, Ring()])
    assert found[0] == pytest.approx(np.log(24.01 / 12.01))
    assert found[1] == 0.0
    kept = Ring().insert(terminal_entry(payment(4.0, amount=24.0), found[0]), TERMINAL)
    assert kept.entries[0].ratio == found[0]
    assert stack([features(payment(9.0), ring, kept)]).terminal.ratio.tolist() == [[found[0]]]


@given(st.lists(entries, min_size=1, max_size=6), st.lists(st.floats(0, 2.0**40), min_size=6, max_size=6), times)
def test_ratios_are_the_same_alone_and_in_any_batch(pasts: list[list[Entry]], amounts: list[float], time_s: float) -> None:
    rings = [ring_of(items, CUSTOMER) for items in pasts]
    payments = [payment(time_s, amount=amount) for amount in amounts[: len(rings)]]
    alone = [ratios([one], [ring])[0] for one, ring in zip(payments, rings, strict=True)]
    assert ratios(payments, rings) == alone


def small_rows() -> list[FeatureRow]:
    long = ring_of([Entry(float(second), f"e{second}", 2.0 * second, HERE) for second in range(4)])
    return [features(payment(50.0), long, long), features(payment(2.0, "e2"), long, Ring())]


def test_windows_are_cut_to_what_a_model_reads() -> None:
    cut = stack(small_rows(), Keep(2, 1))
    assert cut.customer.amount.tolist() == [[6.0, 4.0], [2.0, 0.0]]
    assert cut.terminal.amount.tolist() == [[6.0], [0.0]]


def test_narrowed_windows_lose_nothing_but_padding() -> None:
    stacked = stack(small_rows())
    second = stacked.take(np.array([1])).narrowed()
    assert second.customer.time_s.tolist() == [[1.0, 0.0]]
    assert second.terminal.valid.shape == (1, 0)
    twice = joined([stacked, replace(stacked, amount=stacked.amount + 1)])
    assert twice.amount.tolist() == [10.0, 10.0, 11.0, 11.0]
    assert twice.customer.valid.tolist() == stacked.customer.valid.tolist() * 2
