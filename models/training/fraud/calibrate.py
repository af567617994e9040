"""Calibration of the logit, the cascade's threshold, and the measures of a model on payments that it has not learned from."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from models.fraud.arrays import Flags, Floats, States
from models.training.fraud.network import Encoder
from models.training.fraud.protocol import average_precision, bound, recall_at, roc_auc

DETECTED = 1e-3  # of the genuine payments score higher than what counts as a detection
_LOST = 0.001  # of the detections on the calibration's payments; with 0.003, another world lost 0.006 of its own
_PASSED = (
    0.03  # of the payments go on in any case: few detections tell little of where the next ones lie, and so many cost little
)


def calibrate(model: Encoder, found: Floats, truth: Flags) -> tuple[float, float]:
    """(slope, offset) that were fitted to the logits by maximum likelihood (Platt) and folded into the network's."""
    platt = LogisticRegression(C=1e6).fit(found[:, None], truth)
    slope, offset = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    model.slope.mul_(slope)
    model.offset.mul_(slope).add_(offset)
    return slope, offset


def threshold(first: Floats, found: Floats, truth: Flags) -> float:
    """The least first logit of the detections, but for one in a thousand, or less; `found` are the encoder's logits."""
    return float(min(np.quantile(first[_detections(found, truth)], _LOST), np.quantile(first, 1 - _PASSED)))


def cost(first: Floats, found: Floats, truth: Flags, *, threshold: float) -> dict[str, float]:
    """What the cascade costs: the share of payments that the encoder judges, and of detections lost."""
    passed = first >= threshold
    detections = _detections(found, truth)
    return {"passed": round(float(passed.mean()), 4), "detections_lost": round(float((~passed[detections]).mean()), 5)}


def _detections(found: Floats, truth: Flags) -> Flags:
    """The frauds that score higher than all but a thousandth of the genuine payments."""
    caught: Flags = truth & (found > bound(found, truth, rate=DETECTED))
    return caught


def calibration_error(scores: Floats, truth: Flags, *, bins: int = 15) -> float:
    """Expected calibration error over bins of equal size: the mean gap between score and share of frauds.

    >>> calibration_error(np.array([0.5, 0.5]), np.array([True, False]), bins=1)
    0.0
    """
    order = np.argsort(scores)
    gaps = [len(part) * abs(float(scores[part].mean() - truth[part].mean())) for part in np.array_split(order, bins)]
    return sum(gaps) / len(scores)


def report(found: Floats, truth: Flags, pattern: States | None = None) -> dict[str, float]:
    """Measures of logits; with the frauds' patterns, also the share of each that is detected."""
    scores = 1 / (1 + np.exp(-found))
    return {
        "roc_auc": round(roc_auc(scores, truth), 4),
        "average_precision": round(average_precision(scores, truth), 4),
        "calibration_error": round(calibration_error(scores, truth), 5),
        "recall_at_fpr_0.0001": round(recall_at(scores, truth, false_positive_rate=1e-4), 4),
        "recall_at_fpr_0.001": round(recall_at(scores, truth, false_positive_rate=1e-3), 4),
        "fraud_rate": round(float(truth.mean()), 5),
        "mean_score": round(float(scores.mean()), 5),
        **({} if pattern is None else _by_pattern(_detections(found, truth), pattern)),
    }


def _by_pattern(detected: Flags, pattern: States) -> dict[str, float]:
    """The share of each pattern's frauds that are detected."""
    numbers = np.unique(pattern[pattern > 0]).tolist()
    return {f"detected.pattern_{number}": round(float(detected[pattern == number].mean()), 4) for number in numbers}
