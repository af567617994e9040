"""From a recipe to a served model: the graphs agree with the networks, the folder is a cascade, wrong graphs are refused."""

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="the `train` extra is not installed")

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from core.errors import ConfigError, ModelError
from models.fraud.aggregates import usual_of
from models.fraud.features import inputs
from models.fraud.score import GRAPH, FraudScorer
from models.registry import Artifact, load
from models.runtime import open_session
from models.training.fraud import trees
from models.training.fraud.delays import by_delay, delay_table, served
from models.training.fraud.evaluate import Asked, evaluate
from models.training.fraud.export import FirstStage, Release, export
from models.training.fraud.generator import Payments, World, generate
from models.training.fraud.judged import ENCODER, SERVED, TREES, judge
from models.training.fraud.ledger import exact, histories
from models.training.fraud.network import Encoder, Shape
from models.training.fraud.protocol import average_precision, fold, measure
from models.training.fraud.recipe import Recipe, read_recipe
from models.training.fraud.release import learn, release
from models.training.fraud.sources import Part, book_of, held_out
from models.training.fraud.train import logits, tensors

RECIPE = """
data:
  kind: generator
  training: {customers: 300, terminals: 500, days: 50, seed: 1, terminal_compromise_rate: 0.001, customer_compromise_rate: 0.003}
  calibration: {customers: 150, terminals: 250, days: 40, seed: 2, terminal_compromise_rate: 0.001, customer_compromise_rate: 0.003}
  test: {customers: 150, terminals: 250, days: 40, seed: 3, terminal_compromise_rate: 0.001, customer_compromise_rate: 0.003}
plan: {steps: 4, batch: 64, save_every: 2}
shape: {width: 8, heads: 2, inner: 16}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "small.yaml").write_text(RECIPE)
    return learn(str(folder / "small.yaml"), None, folder / "out")


@pytest.fixture(scope="module")
def artifact(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return load(release(run, "fraud-small/7", None, root=tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def recipe(run: Path) -> Recipe:
    return read_recipe(str(run.parent / "small.yaml"))


@pytest.fixture(scope="module")
def test_part(recipe: Recipe) -> Part:
    return held_out(recipe.data, None)[1]


def test_a_run_becomes_a_cascade_that_serves(run: Path, artifact: Artifact, test_part: Part) -> None:
    scorer, first = FraudScorer.open(artifact, device="cpu"), trees.Members(run)
    rows = test_part.rows[-500:]
    past = histories(test_part.book, rows, exact(len(rows)))
    served, passed = scorer.logits(past, usual_of(past))
    screened = first.logits(trees.sums_of(test_part.book, rows))
    assert scorer.first is not None
    assert passed.tolist() == (screened >= scorer.first.threshold).tolist()
    assert 0 < passed.sum() < len(rows)
    np.testing.assert_allclose(served[~passed], screened[~passed], atol=1e-5)
    np.testing.assert_allclose(served[passed], scorer.encode(past)[passed], atol=1e-5)


def test_the_encoders_graph_holds_the_trees(run: Path, artifact: Artifact, recipe: Recipe, test_part: Part) -> None:
    """It gives the calibrated sum of both without being given the trees' logit."""
    model = Encoder(recipe.shape)
    model.load_state_dict(torch.load(run / "encoder.pt", weights_only=True))
    rows = test_part.rows[:200]
    alone = logits(model.eval(), test_part.book, rows, first=trees.Members(run))
    past = histories(test_part.book, rows, exact(len(rows)))
    (served,) = open_session(artifact.path(GRAPH), device="cpu").run(inputs(past).feeds())
    slope, offset = np.polyfit(alone, served, 1)
    assert slope > 0
    np.testing.assert_allclose(served, slope * alone + offset, atol=1e-3)


def test_trees_of_ones_own_history_are_added_to_a_finished_run(
    run: Path, recipe: Recipe, test_part: Part, tmp_path: Path
) -> None:
    """What is served is the share of their logit and, for the rest, the logit of the run as it was."""
    own = generate(World(customers=150, terminals=250, days=50, seed=4, terminal_compromise_rate=1e-3, start=date(2018, 4, 1)))
    _write_handbook(own, tmp_path)
    (tmp_path / "more.yaml").write_text(
        f"{RECIPE}further: {{share: 0.4, data: {{kind: handbook, end: 2018-05-15, held_days: 0}}}}\n"
    )
    both = Path(shutil.copytree(run, tmp_path / "both"))
    learn(str(tmp_path / "more.yaml"), tmp_path, both, resume=True)
    model = load(release(both, "fraud-small/8", None, root=tmp_path / "models"))
    assert [each.licence for each in model.manifest.data] == ["Apache-2.0", "none stated"]
    assert model.manifest.licence == "research-use"
    assert "A share of 0.4 " in model.path("CARD.md").read_text()
    encoder = Encoder(recipe.shape)
    encoder.load_state_dict(torch.load(run / "encoder.pt", weights_only=True))
    rows = test_part.rows[:300]
    alone = logits(encoder.eval(), test_part.book, rows, first=trees.Members(run))
    further = trees.Ensemble(both / "further.onnx").logits(trees.sums_of(test_part.book, rows))
    expected = 0.6 * alone + 0.4 * further
    (served,) = open_session(model.path(GRAPH), device="cpu").run(
        inputs(histories(test_part.book, rows, exact(len(rows)))).feeds()
    )
    np.testing.assert_allclose(served, np.polyval(np.polyfit(expected, served, 1), expected), atol=1e-3)
    with pytest.raises(ConfigError, match="another recipe"):
        learn(str(run.parent / "small.yaml"), None, both, resume=True)


def _write_handbook(payments: Payments, folder: Path) -> None:
    """The payments as the Handbook's file has them."""
    columns = {
        "TX_DATETIME": (payments.time_s * 1_000).astype("datetime64[ms]"),
        "TRANSACTION_ID": np.arange(len(payments.time_s)),
        "CUSTOMER_ID": payments.customer,
        "TERMINAL_ID": payments.terminal,
        "TX_AMOUNT": payments.amount,
        "TX_FRAUD": payments.fraud.astype(np.int64),
    }
    pq.write_table(pa.table(columns), folder / "transactions.parquet")


def test_the_manifest_tells_the_measures_the_cascades_cost_and_the_licence(artifact: Artifact) -> None:
    manifest = artifact.manifest
    assert (manifest.reference, manifest.task, manifest.licence) == ("fraud-small/7", "fraud", "Apache-2.0")
    assert manifest.config["cascade"]["cost"]["detections_lost"] == manifest.metrics["cascade.detections_lost"]
    assert 0 < manifest.metrics["average_precision"] <= 1
    assert manifest.data[0].name.startswith("own generator")
    assert "fraud-small/7" in artifact.path("CARD.md").read_text()


def test_the_report_lies_beside_the_model_and_is_of_its_own_figures(artifact: Artifact) -> None:
    measured = f"{artifact.manifest.metrics['average_precision']:.4f} "
    assert "encoder on every payment" in artifact.path("report.html").read_text()
    for page in ("report.md", "CARD.md"):
        assert measured in artifact.path(page).read_text()


def test_an_exported_model_is_judged_as_its_release_judged_it(artifact: Artifact, test_part: Part) -> None:
    judged = judge(FraudScorer.open(artifact, device="cpu"), test_part)
    stated = artifact.manifest.metrics
    assert list(judged.systems) == [SERVED, ENCODER, TREES]
    found = average_precision(judged.systems[ENCODER], test_part.truth)
    assert found == pytest.approx(stated["average_precision"], abs=1e-3)
    assert judged.threshold is not None
    assert (judged.systems[TREES] >= judged.threshold).mean() == pytest.approx(stated["cascade.passed"], abs=1e-3)
    beside = judged.beside("other trees", judged.systems[TREES])
    assert list(beside.systems) == [SERVED, ENCODER, "other trees", TREES]


def test_sooner_labels_find_more_on_the_same_payments(artifact: Artifact, test_part: Part) -> None:
    book = test_part.book
    tested = [fold(book, datetime(2024, 1, day, tzinfo=UTC)) for day in (14, 20)]
    known = {"fraud-small/7": np.array([0.5, 0.4, 0.3, 0.2])}
    scorers = {"fraud-small/7": FraudScorer.open(artifact, device="cpu")}
    found = by_delay(book, tested, scorers, (7.0, 1.0), known=known)["fraud-small/7"]
    assert found[7.0] is known["fraud-small/7"]
    late = by_delay(book, tested, scorers, (6.999,), known=known)["fraud-small/7"][6.999]
    assert found[1.0][1] > late[1] + 0.02
    whole = [measure(book, each, served(scorers["fraud-small/7"], book, each.test, delay_days=1.0)) for each in tested]
    np.testing.assert_allclose(found[1.0], np.mean(whole, axis=0))


def test_the_table_of_delays_stands_beside_what_the_simulator_allows() -> None:
    values = np.array([0.9, 0.8, 0.3, 0.7])
    told = delay_table({"fraud/1": {7.0: values, 2.0: values}}, "test").splitlines()
    assert told[0].startswith("| mean of the test folds | labels after days | ROC AUC | AP |")
    assert "| fraud/1 | 2 | 0.9000 | 0.8000 | 0.3000 | 0.7000 |" in told
    assert told[-1] == "| a detector that knows the simulator (test folds) | 7 | 0.887 | 0.769 | 0.311 |  |"


def test_an_evaluation_tells_folds_and_delays_and_writes_the_report(artifact: Artifact, tmp_path: Path) -> None:
    """From the 23rd of May on, there is history before the first fold; the last one ends on the 31st of July."""
    world = World(customers=40, terminals=80, days=100, seed=2, start=date(2018, 4, 24), terminal_compromise_rate=1e-3)
    told = evaluate(book_of(generate(world)), [artifact], Asked(samples=20, delays=(7.0, 0.0), out=tmp_path))
    assert told.count("| fraud-small/7 |") == 6 + 2  # mean, difference, four folds; two delays
    page = (tmp_path / "fraud-small" / "7" / "report.md").read_text()
    assert "test weeks from 2018-07-04, 2018-07-11, 2018-07-18, 2018-07-25" in page
    assert "| Encoder on every payment | Trees on our sums, all history | Its boosted trees alone |" in page


def test_a_run_is_not_begun_twice_nor_gone_on_with_by_another_recipe(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--resume"):
        learn(str(run.parent / "small.yaml"), None, run)
    (tmp_path / "other.yaml").write_text(RECIPE.replace("steps: 4", "steps: 6"))
    with pytest.raises(ConfigError, match="another recipe"):
        learn(str(tmp_path / "other.yaml"), None, run, resume=True)
    with pytest.raises(ConfigError, match="models train fraud"):
        release(tmp_path, "fraud-small/8", None, root=tmp_path)


def released(first: FirstStage | None, past: Part, root: Path) -> Path:
    torch.manual_seed(0)
    sample = inputs(histories(past.book, past.rows[-64:], exact(64)))
    made = Release(reference="fraud/1", data=(), licence="Apache-2.0", metrics={}, card="# card\n", first=first)
    return export(Encoder(Shape(width=8, layers=2, heads=2, inner=16)), sample, made, root=root)


def test_a_network_alone_is_exported_without_a_cascade(test_part: Part, tmp_path: Path) -> None:
    artifact = load(released(None, test_part, tmp_path))
    assert "cascade" not in artifact.manifest.config
    assert FraudScorer.open(artifact, device="cpu").first is None
    sample = inputs(histories(test_part.book, test_part.rows[:5], exact(5)))
    torch.manual_seed(0)
    model = Encoder(Shape(width=8, layers=2, heads=2, inner=16)).eval()
    (served,) = open_session(artifact.path(GRAPH), device="cpu").run(sample.feeds())
    with torch.inference_mode():
        np.testing.assert_allclose(served, model(*tensors(sample)).numpy(), atol=1e-5)


def test_a_first_stage_that_gives_no_logit_a_payment_is_refused(run: Path, test_part: Part, tmp_path: Path) -> None:
    stage = onnx.load(run / "first.onnx")
    shape = next(node for node in stage.graph.node if node.op_type == "Constant")
    shape.CopyFrom(onnx.helper.make_node("Constant", [], list(shape.output), value_ints=[-1, 1]))
    onnx.save(stage, tmp_path / "column.onnx")
    with pytest.raises(ModelError, match="do not serve it"):
        released(FirstStage(graph=tmp_path / "column.onnx"), test_part, tmp_path)
