"""The first test fold of the Fraud Detection Handbook: the shipped model unchanged, and an encoder trained on the fold's own week.

What each may know of the past, as in the protocol: every payment before the scored one, and the label of each after exactly seven
days. The encoder of the fold learns from the training week's payments alone; their pasts reach back before that week, as a running
system's state does.
"""

from datetime import datetime
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from models.fraud.arrays import Floats, Ints
from models.fraud.features import inputs
from models.fraud.score import GRAPH
from models.registry import Artifact
from models.runtime import open_session
from models.training.fraud.ledger import Ledger, exact, histories
from models.training.fraud.network import Shape
from models.training.fraud.protocol import PUBLISHED, TRAIN_DAYS, Measured, fold, measure, window
from models.training.fraud.train import Plan, logits, rows_between, train

# Chosen on the validation fold of 2018-06-20: AP .646 after 500 steps at half the rate, .703 with these, .693 after 1,800 steps.
WEEK_PLAN = Plan(steps=900, peak_rate=2e-3, warm_up=100, decay=0.05, average=0.99, save_every=100)
WEEK_SHAPE = Shape(dropout=0.1)
_PART = 256


def evaluate(book: Ledger, start: datetime, *, shipped: Artifact | None, work: Path) -> dict[str, dict[str, Measured]]:
    """Each model's AUC, AP and CP@100 on the fold whose training week begins at `start`; `work` keeps the checkpoint."""
    tested = fold(book, start)
    found = {}
    if shipped is not None:
        found["shipped encoder, unchanged"] = measure(book, tested, _served(shipped, book, tested.test))
    found["encoder, the week alone"] = measure(book, tested, _trained(book, start, tested.test, work))
    found["trees on the encoder's sums, the week alone"] = measure(book, tested, _trees(book, tested.train, tested.test))
    return found


def _served(artifact: Artifact, book: Ledger, rows: Ints) -> Floats:
    """Logits from the exported graph."""
    session = open_session(artifact.path(GRAPH), device="cpu")
    parts = [rows[start : start + _PART] for start in range(0, len(rows), _PART)]
    served = [session.run(inputs(histories(book, part, exact(len(part)))).feeds(), ["logit"])[0] for part in parts]
    return np.concatenate(served).astype(np.float64)


def _trained(book: Ledger, start: datetime, rows: Ints, work: Path) -> Floats:
    """Logits of an encoder that learned from the training week alone."""
    begin_s, end_s = window(start, TRAIN_DAYS)
    folder = work / f"week-{start:%Y-%m-%d}"
    model = train(book, rows_between(book, begin_s, end_s), WEEK_PLAN, shape=WEEK_SHAPE, folder=folder)
    return logits(model, book, rows)


def _trees(book: Ledger, known: Ints, rows: Ints) -> Floats:
    """Scores of gradient-boosted trees on the same sums, for comparison."""
    trees = HistGradientBoostingClassifier(
        max_iter=150, learning_rate=0.06, max_leaf_nodes=15, min_samples_leaf=30, l2_regularization=1.0, random_state=0
    )
    trees.fit(_sums(book, known), book.fraud[known])
    return np.asarray(trees.predict_proba(_sums(book, rows))[:, 1], dtype=np.float64)


def _sums(book: Ledger, rows: Ints) -> Floats:
    parts = [rows[start : start + _PART] for start in range(0, len(rows), _PART)]
    return np.concatenate([inputs(histories(book, part, exact(len(part)))).base for part in parts]).astype(np.float64)


def table(found: dict[str, dict[str, Measured]]) -> str:
    """The results as a Markdown table, beside the book's published means over its four test folds."""
    lines = ["| Model | ROC AUC | AP | CP@100 |", "|---|---|---|---|"]
    lines += [f"| {name} | {' | '.join(str(one) for one in measures.values())} |" for name, measures in found.items()]
    lines += [
        f"| book: {name} (mean of four folds) | {' | '.join(f'{one:.4f}' for one in published)} |"
        for name, published in PUBLISHED.items()
    ]
    return "\n".join(lines)
