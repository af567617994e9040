"""The shipped model's first reasons name what mattered: without it, scores fall further than without another cause."""

from datetime import UTC, datetime

import numpy as np
import pytest

from core.records import Transaction
from models.aliases import resolve
from models.fraud import reasons
from models.fraud.history import CUSTOMER, Entry, Ring
from models.fraud.score import FraudScorer
from models.fraud.windows import FeatureRow
from models.training.fraud.deletion import Deletion, delete, explaining_ms, report, risky, share, without
from models.training.fraud.generator import World

WORLD = World(customers=80, terminals=120, days=50, seed=6, terminal_compromise_rate=1e-3, customer_compromise_rate=2e-3)


@pytest.fixture(scope="module")
def scorer() -> FraudScorer:
    return FraudScorer.open(resolve("champion", "fraud"), device="cpu")


@pytest.fixture(scope="module")
def rows(scorer: FraudScorer) -> list[FeatureRow]:
    return risky(scorer, WORLD, threshold=scorer.explain_from)


def test_without_what_the_first_reason_names_scores_fall_further(scorer: FraudScorer, rows: list[FeatureRow]) -> None:
    deletion = delete(scorer, rows)
    assert len(deletion.first) > 100
    assert len(set(deletion.first)) >= 3
    measured = share(deletion)
    assert measured.low > 0.75
    assert deletion.named.mean() > deletion.other.mean() + 2.0


def test_the_report_tells_every_cause_and_the_cost(scorer: FraudScorer, rows: list[FeatureRow]) -> None:
    told = report(scorer, rows[:60])
    assert "| all | " in told
    assert " ms of CPU." in told
    assert 0 < explaining_ms(scorer, rows[:20]) < 1_000


def test_payments_are_taken_out_as_if_never_made() -> None:
    ring = Ring()
    for name in "abcd":
        ring = ring.insert(Entry(float(ord(name)), name, 5.0, other=0), CUSTOMER)
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    payment = Transaction(id="now", time=moment, customer_id="C", terminal_id="T", amount=1.0, currency="USD")
    question = next(each for each in reasons.QUESTIONS if each.side == "customer")
    row = without(FeatureRow(payment, 200.0, ring, ring), question, np.array([True, False, True, False]))
    assert row.customer.names(range(2)) == ["a", "c"]
    assert row.terminal is ring


def test_the_interval_is_of_customers_not_of_payments() -> None:
    """One customer with ninety payments of a hundred says no more than its one vote."""
    named = np.array([1.0] * 90 + [-1.0] * 10)
    customers = ("C0",) * 90 + tuple(f"C{number}" for number in range(1, 11))
    measured = share(Deletion(named, np.zeros(100), ("amount",) * 100, customers))
    assert measured.value == 0.9
    assert measured.low < 0.1
