"""Accuracy, macro-F1 and calibration of label probabilities, with bootstrap intervals."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Labels = np.ndarray[tuple[int], np.dtype[np.int64]]
Logits = np.ndarray[tuple[int, int], np.dtype[np.float64]]

_RESAMPLES = 1000
_BINS = 15


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def accuracy(truth: Labels, predicted: Labels) -> float:
    """The share of equal labels.

    >>> accuracy(np.array([0, 1]), np.array([0, 0]))
    0.5
    """
    return float((truth == predicted).mean())


def macro_f1(truth: Labels, predicted: Labels) -> float:
    """The mean of the labels' F1 over the labels that the truth holds; −1 in `predicted` is a miss of whatever label is true.

    >>> round(macro_f1(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0])), 4)
    0.7333
    """
    size = int(max(truth.max(), predicted.max())) + 1
    hits = np.bincount(truth[truth == predicted], minlength=size)
    support = np.bincount(truth, minlength=size)
    claimed = np.bincount(predicted[predicted >= 0], minlength=size)
    present = support > 0
    return float((2 * hits[present] / (support + claimed)[present]).mean())


def bootstrap(figure: Callable[[Labels, Labels], float], truth: Labels, predicted: Labels, *, seed: int = 0) -> Interval:
    """The figure with the 2.5th and 97.5th percentile over 1,000 resamples of the texts."""
    rng = np.random.default_rng(seed)
    resampled = []
    for _ in range(_RESAMPLES):
        rows = rng.integers(0, len(truth), len(truth))
        resampled.append(figure(truth[rows], predicted[rows]))
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(value=figure(truth, predicted), low=float(low), high=float(high))


def log_softmax(logits: Logits) -> Logits:
    """Log-probabilities along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: Logits = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def negative_log_likelihood(logits: Logits, truth: Labels) -> float:
    """The mean of −log p(truth)."""
    return float(-log_softmax(logits)[np.arange(len(truth)), truth].mean())


def fit_temperature(logits: Logits, truth: Labels) -> float:
    """The temperature that makes the truth most likely (Guo et al. 2017), to 0.01, between 0.2 and 5.

    >>> fit_temperature(np.array([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [0.0, 4.0]]), np.array([0, 0, 0, 0])) > 2
    True
    """
    candidates = np.arange(20, 501) / 100
    losses = [negative_log_likelihood(logits / temperature, truth) for temperature in candidates]
    return float(candidates[int(np.argmin(losses))])


def calibration_error(probabilities: Logits, truth: Labels) -> float:
    """Expected calibration error over 15 bins of confidence: how far from being right as often as it says the model is.

    >>> calibration_error(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1]))
    0.5
    """
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == truth).astype(float)
    bins: np.ndarray[Any, Any] = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = [abs(right[bins == each].mean() - confidence[bins == each].mean()) * (bins == each).mean() for each in np.unique(bins)]
    return float(sum(gaps))
