"""The generator keeps its word: seeds, the rates of the three patterns, labels that come late."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.records import Label, Transaction
from models.fraud.history import DAY_S
from models.training.fraud.__main__ import main
from models.training.fraud.files import SAMPLE, SAMPLE_ROWS, write_sample
from models.training.fraud.generator import Payments, World, generate, label_times

WORLD = World(customers=1_000, terminals=2_000, days=90, seed=3)


@pytest.fixture(scope="module")
def payments() -> Payments:
    return generate(WORLD)


def test_a_seed_gives_the_same_payments_and_another_seed_others(payments: Payments) -> None:
    again, other = generate(WORLD), generate(replace(WORLD, seed=4))
    for name in ("time_s", "amount", "customer", "terminal", "pattern"):
        assert np.array_equal(getattr(payments, name), getattr(again, name))
    assert len(other) != len(payments)


def test_payments_are_around_noon_and_within_the_period(payments: Payments) -> None:
    first_s = payments.time_s[0] // DAY_S * DAY_S
    assert payments.time_s[-1] < first_s + WORLD.days * DAY_S
    assert np.mean(payments.time_s % DAY_S) == pytest.approx(DAY_S / 2, rel=0.01)
    assert len(payments) / WORLD.customers / WORLD.days == pytest.approx(2.0, rel=0.1)


def test_every_high_amount_is_fraud_and_pattern_1_is_nothing_else(payments: Payments) -> None:
    assert payments.fraud[payments.amount > WORLD.high_amount].all()
    assert payments.amount[payments.pattern == 1].min() > WORLD.high_amount


def test_a_compromised_terminal_takes_fraud_only_for_its_days(payments: Payments) -> None:
    day = ((payments.time_s - payments.time_s[0] // DAY_S * DAY_S) // DAY_S).astype(int)
    for terminal in np.unique(payments.terminal[payments.pattern == 2])[:20]:
        at = payments.terminal == terminal
        days = day[at & (payments.pattern == 2)]
        genuine = at & (payments.pattern == 0)
        if np.ptp(days) < WORLD.terminal_compromise_days:
            assert not (genuine & (day >= days.min()) & (day <= days.max())).any()


def test_a_compromised_customer_pays_a_third_at_five_times(payments: Payments) -> None:
    calm = replace(WORLD, customer_compromise_rate=0.0)
    stolen = payments.pattern == 3
    before = generate(calm)
    ratio = payments.amount[stolen] / before.amount[stolen]
    assert ratio == pytest.approx(WORLD.stolen_factor, rel=0.02)
    days = WORLD.customers * WORLD.days
    expected = days * WORLD.customer_compromise_rate * WORLD.customer_compromise_days * 2.0 / 3
    assert stolen.sum() == pytest.approx(expected, rel=0.35)


def test_frauds_are_as_rare_as_stated(payments: Payments) -> None:
    shares = np.bincount(payments.pattern, minlength=4)[1:] / payments.fraud.sum()
    assert 0.006 < payments.fraud.mean() < 0.012
    assert 0.02 < shares[0] < 0.12
    assert 0.45 < shares[1] < 0.75
    assert 0.2 < shares[2] < 0.45


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 30), st.integers(1, 60), st.integers(1, 40), st.integers(0, 99))
def test_any_world_however_small_is_sound(customers: int, terminals: int, days: int, seed: int) -> None:
    found = generate(World(customers=customers, terminals=terminals, days=days, seed=seed))
    assert (np.diff(found.time_s) >= 0).all()
    assert (found.amount >= 0).all()
    assert found.customer.max(initial=0) < customers
    assert found.terminal.max(initial=0) < terminals


def test_labels_come_after_their_delay(payments: Payments) -> None:
    late = label_times(payments, delay_s=3 * DAY_S, jitter=0.5, seed=1) - payments.time_s
    assert late.min() >= 1.5 * DAY_S
    assert late.max() <= 4.5 * DAY_S
    assert set(label_times(payments) - payments.time_s) == {7 * DAY_S}


def test_the_sample_has_all_patterns_and_labels_within_its_period(tmp_path: Path) -> None:
    (transactions, labels) = write_sample(tmp_path)
    decoded = [msgspec.json.decode(line, type=Transaction) for line in transactions.path.read_bytes().splitlines()]
    known = [msgspec.json.decode(line, type=Label) for line in labels.path.read_bytes().splitlines()]
    truth = generate(SAMPLE).first(SAMPLE_ROWS)
    assert len(decoded) == SAMPLE_ROWS == len({transaction.id for transaction in decoded})
    assert [transaction.amount for transaction in decoded] == truth.amount.tolist()
    assert sorted(transaction.id for transaction in decoded) == [transaction.id for transaction in decoded]
    assert (np.bincount(truth.pattern) >= 10).all()
    at = {transaction.id: (transaction.time, bool(fraud)) for transaction, fraud in zip(decoded, truth.fraud, strict=True)}
    assert all(at[label.transaction_id][0] < label.time < decoded[-1].time for label in known)
    assert all(at[label.transaction_id][1] == label.fraud for label in known)


def test_the_command_writes_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["generate", "--customers", "20", "--terminals", "40", "--days", "5", "--seed", "2", "--out", str(tmp_path)])
    rows = len((tmp_path / "transactions.jsonl").read_bytes().splitlines())
    assert rows == len(generate(World(customers=20, terminals=40, days=5, seed=2)))
    assert f"transactions.jsonl: {rows} records" in capsys.readouterr().out
