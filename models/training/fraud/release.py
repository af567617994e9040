"""A recipe → a training run → a model folder: trees first, the encoder on top of them, then calibration, measures, card and report."""

from pathlib import Path

import msgspec
import numpy as np
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
_SAMPLE = 64


class Run(msgspec.Struct, frozen=True):
    """What a run's folder says of itself."""

    recipe: Recipe
    source: DataSource
    licence: Licence


def learn(recipe_name: str, data: Path | None, out: Path, *, resume: bool = False) -> Path:
    """The folder of a finished run, trained on one thread; with `resume` it goes on from the last checkpoint there."""
    torch.set_num_threads(1)
    recipe = read_recipe(recipe_name)
    if (out / _CHECKPOINT).is_file() and not resume:
        raise ConfigError(f"{out} holds a run; --resume goes on with it, another --out begins anew")
    if resume and (out / _RUN).is_file() and _read(out).recipe != recipe:
        raise ConfigError(f"{out} was begun by another recipe than {recipe_name}; name that one, or another --out")
    learned = training(recipe.data, data)
    out.mkdir(parents=True, exist_ok=True)
    (out / _RUN).write_bytes(msgspec.json.encode(Run(recipe, learned.source, learned.licence)))
    first = _first(learned.part, recipe.plan, out) if recipe.first_stage else None
    rows = rows_of(learned.part.book, learned.part.rows)
    model = train(learned.part.book, rows, recipe.plan, shape=recipe.shape, folder=out, first=first)
    torch.save(model.state_dict(), out / _TRAINED)
    return out


def _first(part: Part, plan: Plan, folder: Path) -> trees.Members:
    """The first stage, as it lies in the folder or newly learned."""
    if not (folder / FIRST_GRAPH).is_file():
        kept, weights = trees.thinned(part.book, part.rows, seed=plan.seed)
        rng = np.random.default_rng(plan.seed)
        sums = trees.sums_of(part.book, kept, plan.reporting(len(kept), rng), rng)
        trees.fit(part.book, kept, sums, weights).write(folder)
    return trees.Members(folder)


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
    first = trees.Members(run) if recipe.first_stage else None
    stage = None if first is None else FirstStage(graph=run / FIRST_GRAPH)
    metrics: dict[str, float] = {}
    judged, found, pages = None, {}, None
    if len(calibration.rows):
        _calibrate(model, calibration, recipe.plan, first)
        judged, stage = _judged(model, run, first, (calibration, test))
        metrics = measures(judged, stage)
        found = overview(judged)
        pages = fraud_report(reference, judged, found, data=measured_on(recipe.data))
    newest = np.arange(len(test.book) - _SAMPLE, len(test.book))
    sample = inputs(histories(test.book, newest, exact(_SAMPLE)))
    made_of = Release(
        reference=reference,
        data=(made.source,),
        licence=made.licence,
        metrics=metrics,
        card=card(reference, recipe, made.source, made.licence, measured_section(judged, found, metrics)),
        first=stage,
        report=pages,
    )
    return export(model, sample, made_of, root=root)


def measures(judged: Judged, stage: FirstStage | None) -> dict[str, float]:
    """What the manifest says: the measures of the encoder on every payment, and what the cascade costs."""
    found = report(judged.systems.get(ENCODER, judged.systems[SERVED]), judged.part.truth, judged.part.pattern)
    return found | ({} if stage is None else {f"cascade.{name}": value for name, value in stage.cost.items()})


def _calibrate(model: Encoder, part: Part, plan: Plan, first: trees.Members | None) -> None:
    """Calibrate the network's logit under the reporting that it learned with."""
    reporting = plan.reporting(len(part.rows), np.random.default_rng(plan.seed))
    calibrate(model, logits(model, part.book, part.rows, reporting=reporting, first=first), part.truth)


def _judged(model: Encoder, run: Path, first: trees.Members | None, parts: tuple[Part, Part]) -> tuple[Judged, FirstStage | None]:
    """What the stages make of the second part's payments; the cascade's threshold is set on the first part's."""
    found = [logits(model, part.book, part.rows, first=first) for part in parts]
    sums = [trees.sums_of(part.book, part.rows) for part in parts]
    if first is None:
        return stages(parts[1], sums[1], found[1], None), None
    screened = [first.logits(each).astype(np.float64) for each in sums]
    least = threshold(screened[0], found[0], parts[0].truth)
    told = cost(screened[1], found[1], parts[1].truth, threshold=least)
    stage = FirstStage(graph=run / FIRST_GRAPH, threshold=least, cost=told)
    return stages(parts[1], sums[1], found[1], screened[1], threshold=least), stage


def _read(run: Path) -> Run:
    try:
        return msgspec.json.decode((run / _RUN).read_bytes(), type=Run)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{run} is no folder of `models train fraud`: {error}", file=_RUN) from error
