"""The shipped model: a score does not depend on its batch, streaming equals arrays, reasons name the cause."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from bench.fraud_scorer import alone
from core.errors import ModelError
from core.records import Label, Transaction
from models.aliases import assigned, resolve
from models.fraud.aggregates import aggregates, usual_of
from models.fraud.features import inputs
from models.fraud.history import CUSTOMER, DAY_S, FRAUD, GENUINE, KEEP, TERMINAL, Entry, Keep, Ring, counterpart
from models.fraud.offline import Past, batches, score_stream
from models.fraud.score import FraudScore, FraudScorer, contract
from models.fraud.windows import FeatureRow, features, stack
from models.registry import ARTIFACTS, Artifact
from models.training.fraud.files import labels, transactions
from models.training.fraud.generator import Payments, World, generate, label_times
from models.training.fraud.ledger import exact, histories, ledger

NOW_S = 1_700_000_000.0
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def scorer() -> FraudScorer:
    return FraudScorer.open(resolve("champion", "fraud"), device="cpu")


@pytest.fixture(scope="module")
def payments() -> Payments:
    world = World(customers=60, terminals=80, days=40, seed=5, terminal_compromise_rate=2e-3, customer_compromise_rate=4e-3)
    return generate(world)


@pytest.fixture(scope="module")
def rows(payments: Payments) -> list[FeatureRow]:
    return rows_of(transactions(payments), labels(payments, label_times(payments)))


@pytest.fixture(scope="module")
def encoder() -> FraudScorer:
    """The shipped encoder, which judges every payment."""
    return FraudScorer.open(alone(resolve("champion", "fraud")), device="cpu")


@pytest.fixture(scope="module")
def cascade(scorer: FraudScorer, rows: list[FeatureRow]) -> Artifact:
    """The shipped model with a threshold that a twentieth of the newest rows reaches."""
    stacked = stack(rows[-1500:], scorer.keep)
    assert scorer.first is not None
    least = float(np.quantile(scorer.first.logits(aggregates(stacked, usual_of(stacked))), 0.95))
    return altered(resolve("champion", "fraud"), {"cascade": {"first": "first.onnx", "threshold": least}})


def rows_of(records: Iterable[Transaction], known: Iterable[Label]) -> list[FeatureRow]:
    """Rows as a stream would make them, one by one."""
    past = Past()
    coming = sorted(known, key=lambda label: label.time)
    rows = []
    for transaction in records:
        while coming and coming[0].time <= transaction.time:
            past.learn(coming.pop(0))
        rows.append(past.add(transaction))
    return rows


def values(scores: Iterable[FraudScore]) -> list[float]:
    return [score.fraud_score for score in scores]


@pytest.mark.parametrize("keep", [KEEP, Keep(5, 3)])
def test_rings_and_arrays_give_the_same_inputs(payments: Payments, keep: Keep) -> None:
    known_s = label_times(payments)
    rows = rows_of(transactions(payments), labels(payments, known_s))
    book = ledger(payments.time_s, payments.amount, payments.fraud, customer=payments.customer, terminal=payments.terminal)
    chosen = np.arange(len(book) - 500, len(book))
    streamed = inputs(stack([rows[row] for row in chosen.tolist()], keep))
    arrays = inputs(histories(book, chosen, exact(len(chosen)), keep=keep).narrowed())
    assert np.array_equal(streamed.mask, arrays.mask)
    assert np.array_equal(streamed.ids[streamed.mask > 0], arrays.ids[arrays.mask > 0])
    np.testing.assert_allclose(streamed.tokens, arrays.tokens, atol=1e-5)
    np.testing.assert_allclose(streamed.base, arrays.base, atol=1e-5)


def test_a_score_is_the_same_alone_and_in_a_batch(scorer: FraudScorer, rows: list[FeatureRow]) -> None:
    chosen = [*rows[:40], *rows[-160:]]
    together = values(scorer.score(chosen))
    alone = [values(scorer.score([row]))[0] for row in chosen]
    np.testing.assert_allclose(together, alone, atol=TOLERANCE)
    assert values(scorer.score(chosen[::-1])) == pytest.approx(together[::-1], abs=TOLERANCE)


def test_threads_change_nothing(scorer: FraudScorer, rows: list[FeatureRow]) -> None:
    threaded = FraudScorer.open(resolve("champion", "fraud"), device="cpu", threads=2)
    found, expected = threaded.score(rows[-300:]), scorer.score(rows[-300:])
    np.testing.assert_allclose(values(found), values(expected), atol=TOLERANCE)
    assert [score.reasons for score in found] == [score.reasons for score in expected]


def test_a_stream_in_batches_equals_one_by_one(scorer: FraudScorer, payments: Payments) -> None:
    records = list(islice(transactions(payments), 1500))
    known = list(labels(payments, label_times(payments, delay_s=2 * DAY_S, jitter=0.5)))
    streamed = list(score_stream(records, known, scorer))
    single = [scorer.score([row])[0] for row in rows_of(records, known)]
    assert [transaction.id for transaction, _ in streamed] == [transaction.id for transaction in records]
    np.testing.assert_allclose([score.fraud_score for _, score in streamed], values(single), atol=TOLERANCE)


def test_a_label_changes_no_score_before_its_time(scorer: FraudScorer, payments: Payments) -> None:
    records = list(islice(transactions(payments), 600))
    until = records[300].time
    known = [label for label in labels(payments, label_times(payments, delay_s=DAY_S)) if label.time > until]
    informed = [score.fraud_score for _, score in score_stream(records, known, scorer)]
    ignorant = [score.fraud_score for _, score in score_stream(records, [], scorer)]
    np.testing.assert_allclose(informed[:301], ignorant[:301], atol=TOLERANCE)
    assert max(abs(a - b) for a, b in zip(informed[301:], ignorant[301:], strict=True)) > 1e-4


def test_a_replay_in_batches_leaves_the_past_that_one_by_one_leaves(payments: Payments) -> None:
    """Late, early and repeated labels included."""
    records = list(islice(transactions(payments), 2000))
    known = list(labels(payments, label_times(payments, delay_s=2 * DAY_S, jitter=0.9)))
    known += [msgspec.structs.replace(label, fraud=not label.fraud, time=label.time + timedelta(hours=5)) for label in known[::7]]
    known += [msgspec.structs.replace(label, time=records[0].time) for label in known[::50]]
    together, single = Past(), Past()
    rows = [row for steps in batches(records, known, 300) for row in together.replay(steps)]
    alone = [row for steps in batches(records, known, 1) for step in steps for row in single.replay([step])]
    assert rows == alone
    assert (together.customers, together.terminals) == (single.customers, single.terminals)
    ratio = stack(rows[-500:]).terminal.ratio
    assert np.abs(ratio).max() > 1.0


def test_a_label_may_come_before_its_payment() -> None:
    first, second = payment(40.0, name="a", at=NOW_S), payment(40.0, name="b", at=NOW_S + 60)
    past = Past()
    past.learn(Label(transaction_id="a", fraud=True, time=first.time))
    past.add(first)
    assert [entry.label for entry in past.add(second).customer.entries] == [FRAUD]


def test_of_two_payments_in_a_batch_the_second_sees_the_first(scorer: FraudScorer) -> None:
    past = Past()
    rows = [past.add(payment(40.0, name=name, at=NOW_S + second)) for second, name in enumerate("ab")]
    assert [[entry.id for entry in row.customer.entries] for row in rows] == [[], ["a"]]


def payment(amount: float, *, name: str = "now", at: float = NOW_S) -> Transaction:
    moment = datetime.fromtimestamp(at, UTC)
    return Transaction(id=name, time=moment, customer_id="C1", terminal_id="T1", amount=amount, currency="USD")


def calm_ring(other: str, *, count: int, every_s: float, mean: float, label: int = GENUINE) -> Ring:
    """A past of ordinary payments, those older than a week labelled."""
    ring = Ring()
    for step in range(count, 0, -1):
        time_s = NOW_S - step * every_s
        entry = Entry(time_s, f"{other}-{step}", mean * (0.6 + 0.08 * (step % 11)), counterpart(f"{other}{step}"))
        ring = ring.insert(entry, CUSTOMER if other == "T" else TERMINAL)
        if step * every_s > 7 * DAY_S:
            ring = ring.label(entry.id, label, time_s + 7 * DAY_S)
    return ring


def test_an_ordinary_payment_scores_low_with_plain_facts(scorer: FraudScorer) -> None:
    customer = calm_ring("T", count=28, every_s=0.7 * DAY_S, mean=40.0)
    terminal = calm_ring("C", count=24, every_s=DAY_S, mean=50.0)
    (score,) = scorer.score([features(payment(42.0), customer, terminal)])
    assert score.fraud_score < 0.01
    assert "times the customer's usual 3" in score.reasons[0]
    assert score.reasons[1] == "none of the last 24 payments at terminal T1 is reported as fraud"


def test_a_high_amount_is_named(scorer: FraudScorer) -> None:
    customer = calm_ring("T", count=28, every_s=0.7 * DAY_S, mean=69.5)
    terminal = calm_ring("C", count=24, every_s=DAY_S, mean=50.0)
    (score,) = scorer.score([features(payment(431.2), customer, terminal)])
    assert score.fraud_score > 0.9
    assert score.reasons[0].startswith("amount 431.20 is 6.")
    assert score.reasons[0].endswith(" over 28 payments, the highest 97.30 (T-10)")


def test_reports_at_the_terminal_are_named_with_the_latest(scorer: FraudScorer) -> None:
    customer = calm_ring("T", count=28, every_s=0.7 * DAY_S, mean=40.0)
    terminal = calm_ring("C", count=24, every_s=DAY_S, mean=50.0)
    for name in ("C-8", "C-9", "C-10"):
        terminal = terminal.label(name, FRAUD, NOW_S - 0.5 * DAY_S)
    (score,) = scorer.score([features(payment(42.0), customer, terminal)])
    assert score.fraud_score > 0.5
    listed = ", ".join(f"C-{step} (2023-11-{14 - step:02d}, 1.0 times the usual)" for step in (8, 9, 10))
    told = f"3 of the last 24 payments at terminal T1 were reported as fraud though ordinary for their customers: {listed}"
    assert score.reasons[0] == told


def test_a_report_of_an_unusual_amount_is_held_against_its_customer_not_the_terminal(scorer: FraudScorer) -> None:
    customer = calm_ring("T", count=28, every_s=0.7 * DAY_S, mean=40.0)
    scores = []
    for ratio in (0.0, 1.6):
        terminal = calm_ring("C", count=24, every_s=DAY_S, mean=50.0)
        stolen = Entry(NOW_S - 8.5 * DAY_S, "stolen", 90.0, counterpart("C99"), ratio=ratio)
        terminal = terminal.insert(stolen, TERMINAL).label("stolen", FRAUD, NOW_S - DAY_S)
        scores += scorer.score([features(payment(42.0), customer, terminal)])
    assert scores[0].fraud_score > 3 * scores[1].fraud_score


def test_a_customers_burst_of_unusual_amounts_is_named(scorer: FraudScorer) -> None:
    customer = calm_ring("T", count=28, every_s=0.7 * DAY_S, mean=20.0)
    for step in range(4):
        stolen = Entry(NOW_S - (3 - 0.6 * step) * DAY_S, f"stolen-{step}", 110.0, counterpart("T9"))
        customer = customer.insert(stolen, CUSTOMER)
    row = features(payment(105.0), customer, calm_ring("C", count=24, every_s=DAY_S, mean=50.0))
    (score,) = scorer.score([row])
    assert score.fraud_score > 0.5
    assert any("the last 14 days: stolen-3 (110.00 on 2023-11-13), stolen-2" in reason for reason in score.reasons)


def test_every_score_has_one_to_three_reasons(scorer: FraudScorer, payments: Payments) -> None:
    scored = [score for _, score in score_stream(transactions(payments), labels(payments, label_times(payments)), scorer)]
    assert all(1 <= len(score.reasons) <= 3 for score in scored)
    assert all(0.0 <= score.fraud_score <= 1.0 for score in scored)
    assert max(values(scored)) > 0.9


def test_scores_tell_frauds_from_genuine_payments(scorer: FraudScorer, payments: Payments) -> None:
    scores = np.array(
        [s.fraud_score for _, s in score_stream(transactions(payments), labels(payments, label_times(payments)), scorer)]
    )
    high = scores >= 0.9
    assert high.sum() > 10
    assert payments.fraud[high].mean() > 0.85


@pytest.mark.parametrize(
    "config",
    [
        {"contract": {"aggregates": ["amount"]}},
        {"contract": contract(Keep(CUSTOMER.keep + 1, TERMINAL.keep))},
        {"contract": contract(Keep(CUSTOMER.keep, 0))},
        {"cascade": {"first": "first.onnx"}},
        {"cascade": {"first": "model.onnx", "threshold": -3.0}},  # which takes more inputs than a first stage has
    ],
)
def test_a_model_for_other_features_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        FraudScorer.open(altered(resolve("champion", "fraud"), config), device="cpu")


def altered(artifact: Artifact, config: dict[str, Any]) -> Artifact:
    """The model as if its manifest said so."""
    manifest = msgspec.structs.replace(artifact.manifest, config=artifact.manifest.config | config)
    return Artifact(artifact.folder, manifest)


def test_the_encoder_judges_what_the_first_stage_lets_pass_and_nothing_else(
    encoder: FraudScorer, rows: list[FeatureRow], cascade: Artifact
) -> None:
    both, chosen = FraudScorer.open(cascade, device="cpu"), rows[-1500:]
    found, judged = np.array(values(both.score(chosen))), np.array(values(encoder.score(chosen)))
    stacked = stack(chosen, encoder.keep)
    assert both.first is not None
    first = both.first.logits(aggregates(stacked, usual_of(stacked)))
    passed = first >= both.first.threshold
    assert 0.03 < passed.mean() < 0.07
    np.testing.assert_allclose(found[passed], judged[passed], atol=TOLERANCE)
    np.testing.assert_allclose(found[~passed], 1 / (1 + np.exp(-first[~passed])), atol=TOLERANCE)


def test_with_a_cascade_a_score_is_the_same_alone_in_a_batch_and_on_threads(rows: list[FeatureRow], cascade: Artifact) -> None:
    chosen = [*rows[:40], *rows[-160:]]
    both = FraudScorer.open(cascade, device="cpu")
    together = values(both.score(chosen))
    np.testing.assert_allclose(together, [values(both.score([row]))[0] for row in chosen], atol=TOLERANCE)
    threaded = values(FraudScorer.open(cascade, device="cpu", threads=2).score(chosen[::-1]))
    np.testing.assert_allclose(threaded, together[::-1], atol=TOLERANCE)


def test_only_what_passes_is_explained_by_what_ifs(rows: list[FeatureRow], cascade: Artifact) -> None:
    closed = altered(cascade, {"cascade": {"first": "first.onnx", "threshold": 1e9}})
    found = FraudScorer.open(closed, device="cpu").score(rows[-300:])
    assert all(1 <= len(score.reasons) <= 2 for score in found)


@pytest.mark.parametrize(("alias", "licences"), [("champion", {"Apache-2.0", "research-use"}), ("permissive", {"Apache-2.0"})])
def test_what_serves_is_a_fraud_model_under_the_aliass_licence(alias: str, licences: set[str]) -> None:
    manifest = resolve(alias, "fraud").manifest
    assert assigned(alias)["fraud"] == manifest.reference
    assert manifest.task == "fraud"
    assert manifest.licence in licences
    assert (Path(ARTIFACTS) / manifest.name / manifest.version / "CARD.md").is_file()


def test_no_rows_give_no_scores(scorer: FraudScorer) -> None:
    assert scorer.score([]) == []
