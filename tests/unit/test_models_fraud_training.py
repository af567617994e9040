"""Training: batches follow from the seed, a run goes on from its checkpoint, the book's protocol is kept, an export agrees."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the `train` extra is not installed")

import torch

from core.errors import ConfigError
from models.aliases import ALIASES, assigned
from models.fraud.features import inputs
from models.fraud.history import DAY_S
from models.fraud.score import FraudScorer
from models.registry import load
from models.runtime import open_session
from models.training.fraud.calibrate import calibrate
from models.training.fraud.export import Release, export
from models.training.fraud.generator import World, generate
from models.training.fraud.ledger import Ledger, exact, histories, ledger, read_handbook
from models.training.fraud.network import Encoder, Shape
from models.training.fraud.protocol import average_precision, card_precision, fold, measure
from models.training.fraud.release import book_of
from models.training.fraud.train import Plan, draw, logits, rows_between, tensors, train

SHAPE = Shape(width=8, layers=2, heads=2, inner=16)
PLAN = Plan(steps=6, batch=32, warm_up=2, save_every=3)


@pytest.fixture(scope="module")
def book() -> Ledger:
    return book_of(generate(World(customers=200, terminals=400, days=60, seed=8, start=datetime(2024, 1, 1, tzinfo=UTC).date())))


def test_a_run_that_stopped_ends_as_one_that_did_not(book: Ledger, tmp_path: Path) -> None:
    rows = rows_between(book, -np.inf, np.inf)
    whole = train(book, rows, PLAN, shape=SHAPE, folder=tmp_path / "whole")
    train(book, rows, replace(PLAN, until=2), shape=SHAPE, folder=tmp_path / "halves")
    resumed = train(book, rows, PLAN, shape=SHAPE, folder=tmp_path / "halves")
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_batch_follows_from_seed_and_step(book: Ledger) -> None:
    rows = rows_between(book, -np.inf, np.inf)
    first, truth = draw(book, rows, PLAN, 5)
    again, _ = draw(book, rows, PLAN, 5)
    other, _ = draw(book, rows, PLAN, 6)
    assert np.array_equal(first.tokens, again.tokens)
    assert not np.array_equal(first.base, other.base)
    assert truth.sum() == PLAN.batch * PLAN.fraud_share


def test_training_lowers_the_loss_and_calibration_matches_the_rate(book: Ledger, tmp_path: Path) -> None:
    rows = rows_between(book, -np.inf, np.inf)
    model = train(book, rows, replace(PLAN, steps=60, batch=64, average=0.9), shape=SHAPE, folder=tmp_path)
    everything = np.arange(len(book))
    calibrate(model, book, everything)
    found = logits(model, book, everything)
    assert average_precision(found, book.fraud) > 5 * book.fraud.mean()
    assert (1 / (1 + np.exp(-found))).mean() == pytest.approx(book.fraud.mean(), rel=0.3)


def test_an_export_agrees_with_the_network_and_becomes_the_champion(book: Ledger, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Encoder(SHAPE).eval()
    (tmp_path / ALIASES).write_text('{"champion": {"topic.en": "text-encoder/1"}}')
    sample = inputs(histories(book, np.arange(1000, 1064), exact(64)))
    folder = export(model, sample, Release(version="7", data=(), metrics={}, card="# card\n"), root=tmp_path)
    assert assigned("champion", tmp_path) == {"fraud": "fraud-encoder/7", "topic.en": "text-encoder/1"}
    artifact = load(folder)
    FraudScorer.open(artifact, device="cpu")
    other = inputs(histories(book, np.arange(5), exact(5)))
    (served,) = open_session(artifact.path("model.onnx"), device="cpu").run(other.feeds())
    with torch.inference_mode():
        np.testing.assert_allclose(served, model(*tensors(other)).numpy(), atol=1e-5)


def test_padding_changes_no_logit(book: Ledger) -> None:
    torch.manual_seed(0)
    model = Encoder(SHAPE).eval()
    batch = inputs(histories(book, np.arange(2000, 2008), exact(8)))
    tokens, ids, mask, base = tensors(batch)
    wide = [torch.nn.functional.pad(one, (0, 0, 0, 9), value=value) for one, value in ((tokens, 3.0), (ids, 1))]
    with torch.inference_mode():
        plain = model(tokens, ids, mask, base)
        padded = model(wide[0], wide[1], torch.nn.functional.pad(mask, (0, 9)), base)
    assert torch.allclose(plain, padded, atol=1e-5)


def test_a_fold_drops_customers_whose_fraud_is_known() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    day = np.array([0, 2, 8, 14, 14, 15, 16, 20, 21])
    customer = np.array([1, 2, 3, 1, 3, 3, 3, 4, 4])
    fraud = np.array([True, False, True, False, True, True, True, False, True])
    book = ledger(start.timestamp() + day * DAY_S + 60, np.ones(9), fraud, customer=customer, terminal=np.zeros(9, np.int64))
    found = fold(book, start)
    assert found.train.tolist() == [0, 1]
    assert found.test.tolist() == [
        4,
        5,
        7,
    ]  # customer 1 is known from the start, customer 3 from day 16 on, day 21 is past the end


def test_caught_cards_leave_the_following_days() -> None:
    cards, days = np.array([1, 2, 1, 2]), np.array([0, 0, 1, 1])
    truth = np.array([True, False, True, True])
    scores = np.array([0.9, 0.1, 0.9, 0.8])
    assert card_precision(scores, truth, cards=cards, days=days, top=1) == 1.0
    assert card_precision(scores, ~truth, cards=cards, days=days, top=1) == 0.0


def test_intervals_hold_the_value(book: Ledger) -> None:
    tested = fold(book, datetime(2024, 1, 20, tzinfo=UTC))
    scores = book.amount[tested.test]
    for measured in measure(book, tested, scores, samples=40).values():
        assert measured.low <= measured.value + 0.05
        assert measured.high >= measured.value - 0.05


def test_a_missing_handbook_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"transactions\.parquet"):
        read_handbook(tmp_path)
