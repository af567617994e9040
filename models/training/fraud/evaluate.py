"""The Fraud Detection Handbook's protocol, fold by fold: the book's figures, boosted trees on the sums, and models of this project.

What each may know of the past, as in the protocol: every payment before the scored one, and the label of each after exactly seven
days. Trees learn from the fold's training week alone, or from all payments whose labels had come by the test week.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from models.fraud.arrays import Floats, Ints
from models.fraud.history import DAY_S
from models.fraud.score import FraudScorer
from models.registry import Artifact
from models.training.fraud import trees
from models.training.fraud.delays import DELAYS, by_delay, delay_table, served
from models.training.fraud.judged import judge
from models.training.fraud.ledger import Ledger
from models.training.fraud.protocol import (
    DELAY_DAYS,
    METRICS,
    PUBLISHED,
    STARTS,
    TRAIN_DAYS,
    Fold,
    Folds,
    Measured,
    fold,
    measure,
    resampled_measures,
)
from models.training.fraud.report import fraud_report, overview
from models.training.fraud.sources import Part
from models.training.report.pages import write_pages

WEEK, HISTORY = "trees on our sums, 7 days", "trees on our sums, all history"
_WARM_DAYS = 28  # until a customer's past is full

Scores = Mapping[str, Sequence[Floats]]  # by contender, of each fold's test rows


@dataclass(frozen=True, slots=True)
class Found:
    """A model's measures: `folds` is (folds, 4) by `METRICS`, `differences` those of its means to the reference's."""

    folds: Floats
    differences: tuple[Measured, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an evaluation is to tell: on which folds, with how many bootstrap samples, and for which delays of labels in days.

    With `out`, each model's report is written to `out/NAME/VERSION`.
    """

    folds: Folds = "validation"
    samples: int = 200
    delays: Sequence[float] = DELAYS
    out: Path | None = None


def evaluate(book: Ledger, models: Sequence[Artifact], asked: Asked) -> str:
    """The tables as Markdown; differences are to the trees with all history, which every model but those may be held against."""
    scorers = {artifact.manifest.reference: FraudScorer.open(artifact, device="cpu") for artifact in models}
    starts = STARTS[asked.folds]
    tested = [fold(book, start) for start in starts]
    scores = {
        WEEK: [of_trees(book, each.train, each.test) for each in tested],
        HISTORY: [of_trees(book, history(book, each), each.test) for each in tested],
        **{name: [served(scorer, book, each.test) for each in tested] for name, scorer in scorers.items()},
    }
    found = compare(book, tested, scores, samples=asked.samples)
    told = [tables(found, asked.folds, starts)]
    if scorers and asked.delays:
        known = {name: found[name].folds.mean(axis=0) for name in scorers}
        told.append(delay_table(by_delay(book, tested, scorers, asked.delays, known=known), asked.folds))
    if asked.out is not None:
        part = Part(book, np.concatenate([each.test for each in tested]))
        for name, scorer in scorers.items():
            judged = judge(scorer, part).beside(HISTORY, np.concatenate(scores[HISTORY]))
            measured = overview(judged, samples=asked.samples)
            write_pages(fraud_report(name, judged, measured, data=_told(asked.folds)), asked.out / name)
    return "\n\n".join(told)


def _told(folds: Folds) -> str:
    """What the payments of a report are."""
    weeks = ", ".join(f"{start + timedelta(days=TRAIN_DAYS + DELAY_DAYS):%Y-%m-%d}" for start in STARTS[folds])
    return f"The Handbook's {folds} folds together, test weeks from {weeks}; every label after {DELAY_DAYS} days."


def compare(
    book: Ledger, tested: Sequence[Fold], scores: Scores, *, reference: str = HISTORY, samples: int = 200
) -> dict[str, Found]:
    """The measures of each contender's scores on every fold; differences have intervals from resampling whole customers in pairs."""
    folds = {name: [measure(book, *each) for each in zip(tested, of, strict=True)] for name, of in scores.items()}
    drawn = {
        name: [resampled_measures(book, *each, samples=samples) for each in zip(tested, of, strict=True)]
        for name, of in scores.items()
    }
    of = {name: np.mean(each, axis=0) for name, each in drawn.items()}
    mean = {name: np.mean(each, axis=0) for name, each in folds.items()}
    return {
        name: Found(np.array(folds[name]), _differences(mean[name] - mean[reference], of[name] - of[reference]))
        for name in scores
    }


def _differences(value: Floats, drawn: Floats) -> tuple[Measured, ...]:
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return tuple(map(Measured, value.tolist(), low.tolist(), high.tolist()))


def history(book: Ledger, tested: Fold) -> Ints:
    """The rows whose labels had come by the fold's test week, without the first four weeks of the data."""
    first_s = book.time_s[0] // DAY_S * DAY_S + _WARM_DAYS * DAY_S
    first, end = np.searchsorted(book.time_s, [first_s, tested.start_s + TRAIN_DAYS * DAY_S])
    return np.arange(first, end)


def of_trees(book: Ledger, known: Ints, rows: Ints) -> Floats:
    """Logits of `rows` from trees that learned from `known`."""
    kept, weights = trees.thinned(book, known)
    return trees.fit(book, kept, trees.sums_of(book, kept), weights).logits(trees.sums_of(book, rows))


def tables(found: Mapping[str, Found], folds: str, starts: Sequence[datetime]) -> str:
    """Means and differences, then every fold."""
    lines = [_row(f"mean of the {folds} folds", METRICS), _RULE]
    lines += [_row(f"book: {name} (test folds)", [f"{one:.4f}" for one in of]) for name, of in PUBLISHED.items()]
    lines += [_row(name, [f"{one:.4f}" for one in each.folds.mean(axis=0)]) for name, each in found.items()]
    lines += ["", _row(f"difference to {HISTORY}", METRICS), _RULE]
    lines += [_row(name, [one.signed for one in each.differences]) for name, each in found.items() if name != HISTORY]
    for place, start in enumerate(starts):
        lines += ["", _row(f"training week from {start:%Y-%m-%d}", METRICS), _RULE]
        lines += [_row(name, [f"{one:.4f}" for one in each.folds[place]]) for name, each in found.items()]
    return "\n".join(lines)


_RULE = "|---" * (1 + len(METRICS)) + "|"


def _row(name: str, cells: Sequence[Any]) -> str:
    return "| " + " | ".join([name, *cells, *[""] * (len(METRICS) - len(cells))]) + " |"
