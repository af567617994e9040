"""Calibration of the logit and the measures of a model on a world that it has not seen."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from models.fraud.arrays import Flags, Floats, Ints
from models.training.fraud.ledger import Ledger, varied
from models.training.fraud.network import Encoder
from models.training.fraud.protocol import average_precision, roc_auc
from models.training.fraud.train import logits


def calibrate(model: Encoder, book: Ledger, rows: Ints, *, seed: int = 0) -> tuple[float, float]:
    """(slope, offset) that were fitted by maximum likelihood (Platt) and folded into the network's logit."""
    found = logits(model, book, rows, reporting=varied(len(rows), np.random.default_rng(seed)))
    platt = LogisticRegression(C=1e6).fit(found[:, None], book.fraud[rows])
    slope, offset = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    model.slope.mul_(slope)
    model.offset.mul_(slope).add_(offset)
    return slope, offset


def calibration_error(scores: Floats, truth: Flags, *, bins: int = 15) -> float:
    """Expected calibration error over bins of equal size: the mean gap between score and share of frauds.

    >>> calibration_error(np.array([0.5, 0.5]), np.array([True, False]), bins=1)
    0.0
    """
    order = np.argsort(scores)
    gaps = [len(part) * abs(float(scores[part].mean() - truth[part].mean())) for part in np.array_split(order, bins)]
    return sum(gaps) / len(scores)


def recall_at(scores: Floats, truth: Flags, *, false_positive_rate: float) -> float:
    """The share of frauds above the score that `false_positive_rate` of the genuine payments exceed.

    >>> recall_at(np.array([0.9, 0.2, 0.4]), np.array([True, True, False]), false_positive_rate=0.0)
    0.5
    """
    genuine = np.sort(scores[~truth])[::-1]
    allowed = int(false_positive_rate * len(genuine))
    return float((scores[truth] > genuine[allowed]).mean())


def report(model: Encoder, book: Ledger, rows: Ints) -> dict[str, float]:
    """Measures on `rows` with every label after 7 days."""
    found = logits(model, book, rows)
    scores, truth = 1 / (1 + np.exp(-found)), book.fraud[rows]
    return {
        "roc_auc": round(roc_auc(scores, truth), 4),
        "average_precision": round(average_precision(scores, truth), 4),
        "calibration_error": round(calibration_error(scores, truth), 5),
        "recall_at_fpr_0.0001": round(recall_at(scores, truth, false_positive_rate=1e-4), 4),
        "recall_at_fpr_0.001": round(recall_at(scores, truth, false_positive_rate=1e-3), 4),
        "fraud_rate": round(float(truth.mean()), 5),
        "mean_score": round(float(scores.mean()), 5),
    }
