"""Rings: idempotent, indifferent to order, bounded; labels are seen from their arrival on, never before."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidRecord
from core.records import Transaction
from models.fraud.history import CUSTOMER, DAY_S, FRAUD, GENUINE, TERMINAL, UNKNOWN, Bounds, Entry, Ring
from models.fraud.windows import features, stack

SMALL = Bounds(keep=4, slack=3, horizon_s=10 * DAY_S)

entries = st.lists(
    st.builds(
        Entry,
        time_s=st.integers(0, int(20 * DAY_S)).map(float),
        id=st.integers(0, 10**6).map(str),
        amount=st.floats(0, 1000),
        other=st.sampled_from(["T1", "T2"]),
    ),
    max_size=25,
    unique_by=lambda entry: entry.id,
)


def ring_of(items: list[Entry], bounds: Bounds = SMALL) -> Ring:
    ring = Ring()
    for entry in items:
        ring = ring.insert(entry, bounds)
    return ring


def payment(time_s: float, name: str = "now", amount: float = 10.0) -> Transaction:
    return Transaction(
        id=name, time=datetime.fromtimestamp(time_s, UTC), customer_id="C1", terminal_id="T1", amount=amount, currency="USD"
    )


@given(entries, st.randoms())
def test_order_of_insertion_changes_nothing(items: list[Entry], random: object) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert ring_of(shuffled) == ring_of(items)


@given(entries)
def test_inserting_again_changes_nothing(items: list[Entry]) -> None:
    ring = ring_of(items)
    for entry in ring.entries:
        assert ring.insert(entry, SMALL) is ring


@given(entries)
def test_a_ring_is_bounded_and_ordered(items: list[Entry]) -> None:
    found = ring_of(items).entries
    assert len(found) <= SMALL.keep + SMALL.slack
    assert [(entry.time_s, entry.id) for entry in found] == sorted((entry.time_s, entry.id) for entry in found)
    if found:
        assert found[0].time_s >= found[-1].time_s - SMALL.horizon_s - 2 * DAY_S


@given(entries, st.integers(0, int(20 * DAY_S)).map(float))
def test_looks_back_on_the_newest_entries_before_the_payment(items: list[Entry], time_s: float) -> None:
    newest_first = sorted(items, key=lambda entry: (entry.time_s, entry.id), reverse=True)
    ring = Ring(tuple(newest_first[::-1]))
    expected = [entry for entry in newest_first if (entry.time_s, entry.id) < (time_s, "5")]
    expected = [entry for entry in expected[: SMALL.keep] if entry.time_s >= time_s - SMALL.horizon_s]
    assert list(ring.before(time_s, "5", SMALL)) == expected
    assert ring.snapshot(time_s, "5", SMALL).before(time_s, "5", SMALL) == tuple(expected)


@given(entries)
def test_encoding_keeps_everything(items: list[Entry]) -> None:
    ring = ring_of(items)
    if ring.entries:
        ring = ring.label(ring.entries[0].id, FRAUD, 99.5)
    assert Ring.decode(ring.encode()) == ring


def test_a_full_ring_encodes_to_a_few_kilobytes() -> None:
    items = [Entry(1.7e9 + index, f"tx-{index:012d}", 12.34, "T123456") for index in range(100)]
    ring = ring_of(items, CUSTOMER)
    assert len(ring.entries) == CUSTOMER.keep + CUSTOMER.slack
    assert len(ring.encode()) < 70 * len(ring.entries)


def test_bytes_that_are_no_ring_are_refused() -> None:
    with pytest.raises(InvalidRecord, match="ring"):
        Ring.decode(b"\x81\xa1a\x01")


def test_a_label_counts_from_its_arrival_on() -> None:
    ring = ring_of([Entry(DAY_S, "a", 5.0, "C1")], TERMINAL).label("a", FRAUD, 8 * DAY_S)
    rows = [features(payment(time_s), Ring(), ring) for time_s in (8 * DAY_S - 1, 8 * DAY_S)]
    assert stack(rows).terminal.state.tolist() == [[UNKNOWN], [FRAUD]]


def test_of_two_labels_the_later_stands_in_either_order() -> None:
    ring = ring_of([Entry(0.0, "a", 5.0, "C1")])
    suspected, cleared = ("a", FRAUD, 10.0), ("a", GENUINE, 20.0)
    assert ring.label(*suspected).label(*cleared) == ring.label(*cleared).label(*suspected)
    assert ring.label(*suspected).label(*cleared).entries[0].label == GENUINE


def test_a_label_of_another_payment_changes_nothing() -> None:
    ring = ring_of([Entry(0.0, "a", 5.0, "C1")])
    assert ring.label("b", FRAUD, 1.0) is ring


def test_a_payment_sees_neither_itself_nor_what_follows() -> None:
    ring = ring_of([Entry(100.0, "a", 1.0, "T1"), Entry(100.0, "b", 2.0, "T1"), Entry(100.0, "c", 3.0, "T1")])
    row = features(payment(100.0, "b"), ring, Ring())
    assert [entry.id for entry in row.customer] == ["a"]


def test_windows_are_padded_to_the_longest_and_flag_the_counterpart() -> None:
    long = ring_of([Entry(float(second), f"e{second}", 2.0 * second, "T1" if second % 2 else "T2") for second in range(3)])
    stacked = stack([features(payment(50.0), long, Ring()), features(payment(50.0), Ring(), Ring())])
    assert stacked.customer.valid.tolist() == [[True, True, True], [False, False, False]]
    assert stacked.customer.amount[0].tolist() == [4.0, 2.0, 0.0]
    assert stacked.customer.same[0].tolist() == [False, True, False]
    assert stacked.terminal.valid.shape == (2, 0)
    assert np.isfinite(stacked.customer.time_s).all()
