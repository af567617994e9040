"""Training: batches follow from the seed, a run goes on from its checkpoint, the book's protocol is kept."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="the `train` extra is not installed")

import torch

from core.errors import ConfigError
from models.fraud.features import inputs
from models.fraud.history import DAY_S, FRAUD
from models.training.fraud import trees
from models.training.fraud.calibrate import calibrate, cost, threshold
from models.training.fraud.evaluate import HISTORY, compare, tables
from models.training.fraud.generator import World, generate
from models.training.fraud.harder import SOME
from models.training.fraud.ledger import Ledger, exact, histories, ledger, read_handbook
from models.training.fraud.network import Encoder, Shape
from models.training.fraud.protocol import (
    METRICS,
    STARTS,
    average_precision,
    card_precision,
    fold,
    measure,
    resampled_measures,
)
from models.training.fraud.recipe import RECIPES, Generated, read_recipe
from models.training.fraud.sources import book_of
from models.training.fraud.train import Plan, draw, logits, rows_of, tensors, train

SHAPE = Shape(width=8, layers=2, heads=2, inner=16)
PLAN = Plan(steps=6, batch=32, warm_up=2, save_every=3)
WORLD = World(customers=120, terminals=240, days=50, seed=8, terminal_compromise_rate=1e-3, customer_compromise_rate=3e-3)


@pytest.fixture(scope="module")
def book() -> Ledger:
    return book_of(generate(WORLD))


@pytest.fixture(scope="module")
def grown(book: Ledger) -> trees.Trees:
    everything = np.arange(len(book))
    return trees.fit(book, everything, trees.sums_of(book, everything), np.ones(len(book)))


@pytest.fixture(scope="module")
def members(grown: trees.Trees, tmp_path_factory: pytest.TempPathFactory) -> trees.Members:
    folder = tmp_path_factory.mktemp("trees")
    grown.write(folder)
    return trees.Members(folder)


def test_a_run_that_stopped_ends_as_one_that_did_not(book: Ledger, tmp_path: Path) -> None:
    rows = rows_of(book, np.arange(len(book)))
    whole = train(book, rows, PLAN, shape=SHAPE, folder=tmp_path / "whole")
    train(book, rows, replace(PLAN, until=2), shape=SHAPE, folder=tmp_path / "halves")
    resumed = train(book, rows, PLAN, shape=SHAPE, folder=tmp_path / "halves")
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_batch_follows_from_seed_and_step(book: Ledger) -> None:
    rows = rows_of(book, np.arange(len(book)))
    first, again, other = (draw(book, rows, PLAN, step) for step in (5, 5, 6))
    assert np.array_equal(first.inputs.tokens, again.inputs.tokens)
    assert not np.array_equal(first.inputs.base, other.inputs.base)
    assert first.truth.sum() == PLAN.batch * PLAN.fraud_share


def test_training_finds_frauds_and_its_logits_have_the_rows_odds(book: Ledger, tmp_path: Path) -> None:
    everything = np.arange(len(book))
    plan = replace(PLAN, steps=60, batch=64, average=0.9)
    model = train(book, rows_of(book, everything), plan, shape=SHAPE, folder=tmp_path)
    newest, truth = everything[-4000:], book.fraud[-4000:]
    found = logits(model, book, newest)
    assert average_precision(found, truth) > 4 * truth.mean()
    assert (1 / (1 + np.exp(-found))).mean() == pytest.approx(truth.mean(), rel=0.7)
    calibrate(model, found, truth)
    assert (1 / (1 + np.exp(-logits(model, book, newest)))).mean() == pytest.approx(truth.mean(), rel=0.1)


def test_on_top_of_a_first_stage_training_begins_where_that_ends(book: Ledger, members: trees.Members, tmp_path: Path) -> None:
    everything = np.arange(len(book))
    plan = replace(PLAN, peak_rate=1e-9)
    untrained = train(book, rows_of(book, everything), plan, shape=SHAPE, folder=tmp_path, first=members)
    newest = everything[-1000:]
    expected = members.logits(trees.sums_of(book, newest))
    np.testing.assert_allclose(logits(untrained, book, newest, first=members), expected, atol=1e-4)


def test_the_trees_graphs_give_what_the_trees_give(book: Ledger, grown: trees.Trees, members: trees.Members) -> None:
    sums, customer = trees.sums_of(book, np.arange(3000)), book.customer.key[:3000]
    np.testing.assert_allclose(members.logits(sums), grown.logits(sums), atol=1e-4)
    each = np.stack([member.decision_function(sums) for member in grown.members])
    unseen = each[customer % trees.MEMBERS, np.arange(len(sums))]
    np.testing.assert_allclose(members.unseen_logits(sums, customer).astype(np.float64), unseen, atol=1e-4)


def test_a_blended_graph_gives_the_share_of_each(book: Ledger, grown: trees.Trees, tmp_path: Path) -> None:
    some = np.arange(len(book) // 2)
    others = trees.fit(book, some, trees.sums_of(book, some), np.ones(len(some)))
    for name, ensemble in (("first", grown), ("other", others)):
        onnx.save(trees.graph_of(ensemble.members), tmp_path / f"{name}.onnx")
    onnx.save(trees.blended(tmp_path / "first.onnx", tmp_path / "other.onnx", 0.3), tmp_path / "both.onnx")
    sums = trees.sums_of(book, np.arange(3000))
    expected = 0.7 * grown.logits(sums) + 0.3 * others.logits(sums)
    np.testing.assert_allclose(trees.Ensemble(tmp_path / "both.onnx").logits(sums), expected, atol=1e-4)


def test_no_member_judges_a_customer_that_it_learned_from(book: Ledger, members: trees.Members) -> None:
    """What it has not seen, a member knows less well."""
    sums, customer = trees.sums_of(book, np.arange(len(book))), book.customer.key
    unseen = average_precision(members.unseen_logits(sums, customer).astype(np.float64), book.fraud)
    seen = average_precision(members.unseen_logits(sums, customer + 1).astype(np.float64), book.fraud)
    assert unseen < seen - 0.02


def test_padding_changes_no_logit(book: Ledger) -> None:
    torch.manual_seed(0)
    model = Encoder(SHAPE).eval()
    tokens, ids, mask, base = tensors(inputs(histories(book, np.arange(2000, 2008), exact(8))))
    wide = [torch.nn.functional.pad(one, (0, 0, 0, 9), value=value) for one, value in ((tokens, 3.0), (ids, 1))]
    with torch.inference_mode():
        plain = model(tokens, ids, mask, base)
        padded = model(wide[0], wide[1], torch.nn.functional.pad(mask, (0, 9)), base)
    assert torch.allclose(plain, padded, atol=1e-5)


def test_a_hidden_amount_cannot_be_read_from_its_token(book: Ledger) -> None:
    torch.manual_seed(0)
    model = Encoder(SHAPE).eval()
    past = histories(book, np.arange(2000, 2008), exact(8))
    dearer = replace(past, customer=replace(past.customer, amount=np.where(past.customer.valid, 2000.0, 0.0)))
    hidden = torch.zeros(inputs(past).mask.shape, dtype=torch.bool)
    hidden[:, 1:33] = True
    one, other = (model.embed(*tensors(inputs(each))[:2], hidden)[:, 1:33] for each in (past, dearer))
    assert torch.equal(one, other)


def test_a_cascade_loses_few_detections_and_says_how_many() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(20_000) < 400
    found = np.where(truth, 4.0, -4.0) + rng.normal(size=20_000)
    first = found + rng.normal(size=20_000)
    least = threshold(first, found, truth)
    told = cost(first, found, truth, threshold=least)
    assert told["detections_lost"] <= 0.005
    assert 0.015 < told["passed"] < 0.2
    assert cost(first, found, truth, threshold=least + 3.0)["detections_lost"] > 0.02


def test_a_fold_drops_customers_whose_fraud_is_known() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    day = np.array([0, 2, 8, 14, 14, 15, 16, 20, 21])
    customer = np.array([1, 2, 3, 1, 3, 3, 3, 4, 4])
    fraud = np.array([True, False, True, False, True, True, True, False, True])
    book = ledger(start.timestamp() + day * DAY_S + 60, np.ones(9), fraud, customer=customer, terminal=np.zeros(9, np.int64))
    found = fold(book, start)
    assert found.train.tolist() == [0, 1]
    # Customer 1 is known from the start, customer 3 from day 16 on, and day 21 is past the end.
    assert found.test.tolist() == [4, 5, 7]


def test_the_test_folds_are_the_books_and_come_after_all_that_is_chosen() -> None:
    assert [f"{start:%m-%d}" for start in STARTS["test"]] == ["07-25", "08-01", "08-08", "08-15"]
    assert [f"{start:%m-%d}" for start in STARTS["validation"]] == ["06-20", "06-27", "07-04", "07-11"]


def test_caught_cards_leave_the_following_days() -> None:
    cards, days = np.array([1, 2, 1, 2]), np.array([0, 0, 1, 1])
    truth = np.array([True, False, True, True])
    scores = np.array([0.9, 0.1, 0.9, 0.8])
    assert card_precision(scores, truth, cards=cards, days=days, top=1) == 1.0
    assert card_precision(scores, ~truth, cards=cards, days=days, top=1) == 0.0


def test_bootstrap_samples_surround_the_value_and_pair(book: Ledger) -> None:
    tested = fold(book, datetime(2024, 1, 20, tzinfo=UTC))
    scores = book.amount[tested.test]
    value = measure(book, tested, scores)
    samples = resampled_measures(book, tested, scores, samples=40)
    assert samples.shape == (40, len(METRICS))
    assert (np.abs(samples.mean(axis=0) - value) < 3 * samples.std(axis=0) + 0.01).all()
    assert np.array_equal(samples, resampled_measures(book, tested, 2 * scores, samples=40))


def test_models_are_compared_fold_by_fold_and_in_pairs(book: Ledger, members: trees.Members) -> None:
    starts = [datetime(2024, 1, day, tzinfo=UTC) for day in (15, 22)]
    folds = [fold(book, start) for start in starts]
    scores = {
        HISTORY: [members.logits(trees.sums_of(book, each.test)).astype(np.float64) for each in folds],
        "amount": [book.amount[each.test] for each in folds],
    }
    found = compare(book, folds, scores, samples=20)
    assert found[HISTORY].folds.shape == (2, len(METRICS))
    assert all(each.value == each.low == each.high == 0.0 for each in found[HISTORY].differences)
    assert found["amount"].differences[1].high < 0.0
    told = tables({name: found[name] for name in (HISTORY, "amount")}, "validation", starts).splitlines()
    assert sum(line.startswith("| amount |") for line in told) == 4  # mean, difference, and each fold
    assert any(line.startswith("| book: XGBoost (test folds) | 0.8694 | 0.6865 | 0.3032 |") for line in told)


def test_a_payment_knows_no_label_before_its_delay(book: Ledger) -> None:
    past = histories(book, np.arange(3000, 3400), exact(400, delay_days=7))
    age = past.time_s[:, None] - past.terminal.time_s
    assert (age[past.terminal.valid & (past.terminal.state == FRAUD)] >= 7 * DAY_S).all()


def test_the_bundled_recipes_are_sound() -> None:
    names = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    recipes = {name: read_recipe(name) for name in names}
    assert isinstance(recipes["generator"].data, Generated)
    worlds = recipes["generator"].data
    assert worlds.training.harder == worlds.calibration.harder == worlds.test.harder == SOME
    assert len({worlds.training.seed, worlds.calibration.seed, worlds.test.seed}) == 3
    # No bundled recipe learns from what the test folds hold, or from labels that the validation folds do not know yet.
    assert all(isinstance(each.data, Generated) or each.data.end <= date(2018, 6, 27) for each in recipes.values())


@pytest.mark.parametrize(
    ("text", "reason"), [("plan: {steps: 3}", "data"), ("data: {kind: generator}\nplan: {stepz: 3}", "recipe for fraud")]
)
def test_a_wrong_recipe_says_what_is_wrong(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        read_recipe(str(tmp_path / "wrong.yaml"))
    with pytest.raises(ConfigError, match="the bundled ones are generator"):
        read_recipe("none")


def test_a_missing_handbook_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"transactions\.parquet"):
        read_handbook(tmp_path)
