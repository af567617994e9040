"""A recipe → a training run → a model folder: trees first, the encoder on top of them, then calibration, measures, card and report."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch

from core.errors import ConfigError
from models.fraud.features import inputs
from models.fraud.score import FIRST_GRAPH
from models.registry import DataSource, Licence
from models.training.fraud import trees
from models.training.fraud.calibrate import calibrate, cost, report, threshold
from models.training.fraud.card import card, measured_on, measured_section
from models.training.fraud.export import FirstStage, Release, export
from models.training.fraud.judged import ENCODER, SERVED, Judged, stages
from models.training.fraud.ledger import exact, histories
from models.training.fraud.network import Encoder
from models.training.fraud.recipe import Recipe, read_recipe
from models.training.fraud.report import fraud_report, overview
from models.training.fraud.sources import Part, held_out, training
from models.training.fraud.train import Plan, logits, rows_of, train

_TRAINED, _RUN, _CHECKPOINT = "encoder.pt", "run.json", "checkpoint.pt"
_FURTHER, _SERVED = "further.onnx", "served.onnx"
_SAMPLE = 64


class Run(msgspec.Struct, frozen=True):
    """What a run's folder says of itself."""

    recipe: Recipe
    source: DataSource
    licence: Licence
    further: DataSource | None = None

    @property
    def sources(self) -> tuple[DataSource, ...]:
        """All that was learned from."""
        return (self.source,) if self.further is None else (self.source, self.further)


def learn(recipe_name: str, data: Path | None, out: Path, *, resume: bool = False) -> Path:
    """The folder of a finished run, trained on one thread; with `resume` it goes on from the last checkpoint there.

    A run that was finished without the recipe's further trees is given them.
    """
    torch.set_num_threads(1)
    recipe = read_recipe(recipe_name)
    if (out / _CHECKPOINT).is_file() and not resume:
        raise ConfigError(f"{out} holds a run; --resume goes on with it, another --out begins anew")
    if resume and (out / _RUN).is_file() and not _continues(_read(out).recipe, recipe):
        raise ConfigError(f"{out} was begun by another recipe than {recipe_name}; name that one, or another --out")
    learned = training(recipe.data, data)
    out.mkdir(parents=True, exist_ok=True)
    further = training(recipe.further.data, data) if recipe.further is not None else None
    licence: Licence = "research-use" if further is not None and further.licence == "research-use" else learned.licence
    made = Run(recipe, learned.source, licence, None if further is None else further.source)
    (out / _RUN).write_bytes(msgspec.json.encode(made))
    first = _first(learned.part, recipe.plan, out) if recipe.first_stage else None
    rows = rows_of(learned.part.book, learned.part.rows)
    model = train(learned.part.book, rows, recipe.plan, shape=recipe.shape, folder=out, first=first)
    torch.save(model.state_dict(), out / _TRAINED)
    if further is not None:
        onnx.save(trees.graph_of(_grown(further.part, replace(recipe.plan, varied_labels=False)).members), out / _FURTHER)
    return out


def _continues(begun: Recipe, recipe: Recipe) -> bool:
    """Whether a run of the first recipe may become one of the second."""
    without = msgspec.structs.replace(recipe, further=None)
    return begun in (recipe, without)


def _first(part: Part, plan: Plan, folder: Path) -> trees.Members:
    """The first stage, as it lies in the folder or newly learned."""
    if not (folder / FIRST_GRAPH).is_file():
        _grown(part, plan).write(folder)
    return trees.Members(folder)


def _grown(part: Part, plan: Plan) -> trees.Trees:
    """Trees that learned from a part, with labels reported as the plan says."""
    kept, weights = trees.thinned(part.book, part.rows, seed=plan.seed)
    rng = np.random.default_rng(plan.seed)
    sums = trees.sums_of(part.book, kept, plan.reporting(len(kept), rng), rng)
    return trees.fit(part.book, kept, sums, weights)


def release(run: Path, reference: str, data: Path | None, *, root: Path) -> Path:
    """The model folder `root/<reference>` of a finished run, calibrated and measured on payments that it has not learned from."""
    made = _read(run)
    recipe = made.recipe
    model = Encoder(recipe.shape)
    try:
        model.load_state_dict(torch.load(run / _TRAINED, weights_only=True))
    except FileNotFoundError as error:
        raise ConfigError(f"{run} holds no finished run; `models train fraud … --resume` finishes it", file=_TRAINED) from error
    model.eval()
    calibration, test = held_out(recipe.data, data)
    first = trees.Ensemble(_served_trees(run, recipe, model)) if recipe.first_stage else None
    stage = None if first is None else FirstStage(graph=first.graph)
    metrics: dict[str, float] = {}
    judged, found, pages = None, {}, None
    if len(calibration.rows):
        _calibrate(model, calibration, recipe.plan, first)
        judged, stage = _judged(model, first, (calibration, test))
        metrics = measures(judged, stage)
        found = overview(judged)
        pages = fraud_report(reference, judged, found, data=measured_on(recipe.data))
    newest = np.arange(len(test.book) - _SAMPLE, len(test.book))
    sample = inputs(histories(test.book, newest, exact(_SAMPLE)))
    made_of = Release(
        reference=reference,
        data=made.sources,
        licence=made.licence,
        metrics=metrics,
        card=card(reference, recipe, made.sources, made.licence, measured_section(judged, found, metrics)),
        first=stage,
        report=pages,
    )
    return export(model, sample, made_of, root=root)


def _served_trees(run: Path, recipe: Recipe, model: Encoder) -> Path:
    """The graph of the trees that are served; where further ones have a share in it, the network's part is scaled to the rest."""
    if recipe.further is None:
        return run / FIRST_GRAPH
    share = recipe.further.share
    onnx.save(trees.blended(run / FIRST_GRAPH, run / _FURTHER, share), run / _SERVED)
    with torch.no_grad():
        for parameter in model.head[-1].parameters():
            parameter.mul_(1 - share)
    return run / _SERVED


def measures(judged: Judged, stage: FirstStage | None) -> dict[str, float]:
    """What the manifest says: the measures of the encoder on every payment, and what the cascade costs."""
    found = report(judged.systems.get(ENCODER, judged.systems[SERVED]), judged.part.truth, judged.part.pattern)
    return found | ({} if stage is None else {f"cascade.{name}": value for name, value in stage.cost.items()})


def _calibrate(model: Encoder, part: Part, plan: Plan, first: trees.Ensemble | None) -> None:
    """Calibrate the network's logit under the reporting that it learned with."""
    reporting = plan.reporting(len(part.rows), np.random.default_rng(plan.seed))
    calibrate(model, logits(model, part.book, part.rows, reporting=reporting, first=first), part.truth)


def _judged(model: Encoder, first: trees.Ensemble | None, parts: tuple[Part, Part]) -> tuple[Judged, FirstStage | None]:
    """What the stages make of the second part's payments; the cascade's threshold is set on the first part's."""
    found = [logits(model, part.book, part.rows, first=first) for part in parts]
    sums = [trees.sums_of(part.book, part.rows) for part in parts]
    if first is None:
        return stages(parts[1], sums[1], found[1], None), None
    screened = [first.logits(each).astype(np.float64) for each in sums]
    least = threshold(screened[0], found[0], parts[0].truth)
    told = cost(screened[1], found[1], parts[1].truth, threshold=least)
    stage = FirstStage(graph=first.graph, threshold=least, cost=told)
    return stages(parts[1], sums[1], found[1], screened[1], threshold=least), stage


def _read(run: Path) -> Run:
    try:
        return msgspec.json.decode((run / _RUN).read_bytes(), type=Run)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{run} is no folder of `models train fraud`: {error}", file=_RUN) from error
