"""The fraud model's report and card: measures against the protocol's and scikit-learn's, parts that add up, nobody named."""

from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise

import numpy as np
import pytest

metrics = pytest.importorskip("sklearn.metrics", reason="needs the train extra")
pytest.importorskip("matplotlib", reason="needs the train extra")
pytest.importorskip("torch", reason="needs the train extra")

from models.registry import DataSource  # noqa: E402
from models.training.fraud import report as pages  # noqa: E402
from models.training.fraud import trees  # noqa: E402
from models.training.fraud.card import card, measured_on, measured_section  # noqa: E402
from models.training.fraud.generator import World, generate  # noqa: E402
from models.training.fraud.judged import ENCODER, SERVED, TREES, Judged, stages  # noqa: E402
from models.training.fraud.protocol import average_precision, bound, fold, recall_at, resampled_measures, roc_auc  # noqa: E402
from models.training.fraud.ranking import MEASURES, RATES, measures, rank, resample  # noqa: E402
from models.training.fraud.recipe import Handbook, Recipe, read_recipe  # noqa: E402
from models.training.fraud.slices import figures, groups, patterns  # noqa: E402
from models.training.fraud.sources import Part, book_of  # noqa: E402
from models.training.fraud.train import Plan  # noqa: E402
from models.training.report.calibration import halving  # noqa: E402
from models.training.report.document import Chart, Report, Table  # noqa: E402
from models.training.report.markdown import report_markdown  # noqa: E402
from models.training.report.pages import report_html  # noqa: E402

WORLD = World(customers=150, terminals=300, days=45, seed=4, terminal_compromise_rate=1e-3, customer_compromise_rate=3e-3)
SOURCE = DataSource(name="own generator: seed 1", licence="Apache-2.0", rows=9_000, sha256="0123456789abcdef")


@pytest.fixture(scope="module")
def judged() -> Judged:
    """Stages that are right about most: the encoder a little more often than the trees."""
    payments = generate(WORLD)
    book = book_of(payments)
    rows = np.flatnonzero(payments.time_s >= payments.time_s[0] + 20 * 86_400)
    part = Part(book, rows, payments.pattern[rows])
    rng = np.random.default_rng(1)
    encoder = np.where(part.truth, 3.0, -5.0) + rng.normal(0, 2, len(rows))
    first = np.where(part.truth, 2.0, -5.0) + rng.normal(0, 2.2, len(rows))
    return stages(part, trees.sums_of(book, rows), encoder, first, threshold=-2.0)


@pytest.fixture(scope="module")
def told(judged: Judged) -> Report:
    return pages.fraud_report("fraud/1", judged, pages.overview(judged, samples=20), data="Generated payments.")


def table(report: Report, caption: str) -> Table:
    parts = [part.table if isinstance(part, Chart) else part for section in report.sections for part in section.parts]
    return next(part for part in parts if part.caption == caption)


def test_a_ranking_measures_what_the_protocol_measures_ties_and_weights_included() -> None:
    rng = np.random.default_rng(0)
    scores, truth = rng.integers(0, 40, 3000) / 40, rng.random(3000) < 0.05
    weights = rng.integers(0, 4, 3000)
    drawn = np.repeat(np.arange(3000), weights)
    ranking = rank(scores, truth)
    for found, rows in ((measures(ranking), np.arange(3000)), (measures(ranking, weights.astype(np.float64)), drawn)):
        expected = [average_precision(scores[rows], truth[rows]), roc_auc(scores[rows], truth[rows])]
        expected += [recall_at(scores[rows], truth[rows], false_positive_rate=rate) for rate in RATES]
        np.testing.assert_allclose(found, expected)


def test_samples_are_the_protocols_and_pair(judged: Judged) -> None:
    book = judged.part.book
    tested = fold(book, datetime(2024, 1, 20, tzinfo=UTC))
    scores, truth = book.amount[tested.test], book.fraud[tested.test]
    systems = {"amount": scores, "twice": 2 * scores}
    found = resample(systems, truth, book.customer.key[tested.test], samples=15)
    auc, precision, _, recall = resampled_measures(book, tested, scores, samples=15).T
    np.testing.assert_allclose(found["amount"].samples[:, :3], np.stack([precision, auc, recall], axis=1))
    assert all(each.low == each.value == each.high == 0.0 for each in found["twice"].minus(found["amount"]))
    assert all(each.low <= each.value <= each.high for each in found["amount"].measured()[:2])


def test_without_a_fraud_there_is_no_measure() -> None:
    assert np.isnan(measures(rank(np.array([0.1, 0.2]), np.array([False, False])))).all()


def test_the_cascade_serves_the_trees_below_its_threshold(judged: Judged) -> None:
    passed = judged.systems[TREES] >= -2.0
    assert 0 < passed.sum() < len(passed)
    assert np.array_equal(judged.systems[SERVED][passed], judged.systems[ENCODER][passed])
    assert np.array_equal(judged.systems[SERVED][~passed], judged.systems[TREES][~passed])
    assert list(judged.systems) == [SERVED, ENCODER, TREES]
    alone = stages(judged.part, judged.sums, judged.systems[ENCODER], judged.systems[TREES])
    assert list(alone.systems) == [SERVED, TREES]


def test_every_payment_is_in_one_part_of_each_kind(judged: Judged) -> None:
    for parts in groups(judged).values():
        assert np.array_equal(np.sum([each.rows for each in parts], axis=0), np.ones(len(judged.part.rows)))
    cold, warm = groups(judged)["Payments at the terminal within 42 days"]
    assert judged.sum("terminal_count")[cold.rows].max() == 4
    assert judged.sum("terminal_count")[warm.rows].min() == 5


def test_the_figures_of_a_part_by_hand(judged: Judged) -> None:
    parts = groups(judged)["Amount"]
    logits, truth = judged.systems[SERVED], judged.part.truth
    above = logits > bound(logits, truth, rate=1e-3)
    assert above[~truth].mean() == pytest.approx(1e-3, abs=1.0 / (~truth).sum())
    for part, found in zip(parts, figures(judged, parts, samples=10), strict=True):
        assert (found.payments, found.frauds) == (part.rows.sum(), truth[part.rows].sum())
        assert found.found == (above & truth & part.rows).sum() / found.frauds
        assert found.precision is not None
        assert found.precision.value == pytest.approx(average_precision(logits[part.rows], truth[part.rows]))
        assert found.reference == pytest.approx(average_precision(judged.systems[TREES][part.rows], truth[part.rows]))
    few = replace(parts[0], rows=parts[0].rows & ~truth)
    (none,) = figures(judged, [few], samples=10)
    assert none.precision is None
    assert np.isnan(none.found)


def test_each_pattern_stands_among_all_genuine_payments(judged: Judged) -> None:
    truth = judged.part.truth
    found = patterns(judged)
    assert [each.name for each in found] == ["high amount", "compromised terminal", "compromised customer"]
    assert all((each.rows & ~truth).sum() == (~truth).sum() for each in found)
    assert sum(int((each.rows & truth).sum()) for each in found) == truth.sum()
    assert patterns(replace(judged, part=replace(judged.part, pattern=None))) == []


def test_the_overview_holds_the_model_against_its_trees(judged: Judged, told: Report) -> None:
    rows = table(told, "Measures").rows
    assert tuple(row[0] for row in rows) == MEASURES
    precision = average_precision(judged.systems[SERVED], judged.part.truth)
    lost = precision - average_precision(judged.systems[TREES], judged.part.truth)
    assert rows[0][1].startswith(f"{precision:.4f} [")
    assert rows[0][-1].startswith(f"{lost:+.4f} [")


def test_alerts_are_counted_as_scikit_learn_counts_them(judged: Judged, told: Report) -> None:
    flagged, truth = judged.served >= 0.5, judged.part.truth
    counts = metrics.confusion_matrix(truth, flagged)
    assert [row[1:] for row in table(told, "Confusion matrix").rows] == [tuple(map(str, row)) for row in counts.tolist()]
    theirs = metrics.classification_report(truth, flagged, output_dict=True)
    for label, row in zip(("False", "True", "macro avg"), table(told, "Classification").rows, strict=True):
        assert row[1:4] == tuple(f"{theirs[label][name]:.4f}" for name in ("precision", "recall", "f1-score"))
    alerts = {row[0]: row for row in table(told, "Alerts by threshold").rows}
    assert alerts["0.5"][1] == f"{flagged.sum():,}"


def test_precision_by_recall_is_scikit_learns(judged: Judged, told: Report) -> None:
    precision, recall, _ = metrics.precision_recall_curve(judged.part.truth, judged.systems[SERVED])
    for row in table(told, "Precision by recall").rows:
        least = float(row[0].rstrip("%")) / 100
        assert row[1] == f"{precision[np.flatnonzero(recall >= least)[-1]]:.3f}"


def test_the_worst_errors_are_the_surest_and_name_nobody(judged: Judged, told: Report) -> None:
    genuine = table(told, "Genuine payments with the highest scores")
    assert [row[0] for row in genuine.rows[:2]] == [
        f"{score:.5f}" for score in np.sort(judged.served[~judged.part.truth])[:-3:-1]
    ]
    frauds = table(told, "Frauds with the lowest scores")
    assert frauds.rows[0][0] == f"{judged.served[judged.part.truth].min():.5f}"
    assert frauds.header[-1] == "Pattern"
    lowest = int(np.flatnonzero(judged.served == judged.served[judged.part.truth].min())[0])
    assert frauds.rows[0][1] == f"{judged.amount[lowest]:.2f}"


def test_the_pages_show_every_section_and_chart(told: Report) -> None:
    html, text = report_html(told), report_markdown(told)
    assert [f"## {section.title}" in text for section in told.sections] == [True] * 7
    assert html.count("<svg") == 4  # two of calibration, precision by recall, confusion
    assert report_html(told) == html
    assert "nan" not in text
    assert "Cost of the cascade" in text


def test_a_network_without_trees_is_reported_alone(judged: Judged) -> None:
    alone = stages(judged.part, judged.sums, judged.systems[ENCODER], None)
    report = pages.fraud_report("fraud/1", alone, pages.overview(alone, samples=20), data="Generated payments.")
    assert table(report, "Measures").header == ("Measure", "As it serves")
    assert [section.title for section in report.sections][-1] == "Worst errors"


def test_bins_halve_what_is_left() -> None:
    scores = np.random.default_rng(0).random(1000)
    bins = halving(scores, (scores > 0.5).astype(np.float64), least=60)
    assert [each.count for each in bins] == [500, 250, 125, 63, 62]
    assert all(one.high <= other.low for one, other in pairwise(bins))
    assert bins[0].share < bins[1].share == 1.0


def test_the_card_tells_the_split_the_intervals_and_what_was_not_tested(judged: Judged) -> None:
    recipe = read_recipe("generator")
    found = pages.overview(judged, samples=20)
    told = card("fraud/1", recipe, (SOURCE,), "Apache-2.0", measured_section(judged, found, {"fraud_rate": 0.01, "roc_auc": 0.9}))
    for section in ("Licence", "Data", "Training", "Figures", "Limits"):
        assert f"\n## {section}\n" in told
    assert "seed 2); measured on a world of 3,000 customers, 6,000 terminals and 60 days (seed 3)" in told
    assert str(found[SERVED].measured()[0]).replace("[", r"\[").replace("]", r"\]") in told
    assert r"| fraud\_rate | 0.01 |" in told
    assert "roc" not in told
    assert "Not tested on" in told
    assert "seed 3" in measured_on(recipe.data)


def test_the_card_of_a_model_that_was_not_measured_says_so() -> None:
    recipe = Recipe(data=Handbook(end=date(2018, 6, 27), held_days=0), plan=Plan(steps=3))
    told = card("fraud/1", recipe, (SOURCE,), "research-use", measured_section(None, {}, {}))
    assert "neither calibrated nor measured" in told
    assert "state no licence" in told
    assert "slow bust-out" not in told
