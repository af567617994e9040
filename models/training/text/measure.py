"""Accuracy and F1 with bootstrap intervals, and the temperature of logits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Labels = np.ndarray[tuple[int], np.dtype[np.int64]]
Logits = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Flags = np.ndarray[tuple[int, int], np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

_RESAMPLES = 1000


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


# What follows is weighted, so that a thousand resamples are one matrix product. `weights`: (resamples, texts), how often each is drawn.
FlagFigure = Callable[[Flags, Flags, Floats], Floats]


def exact_accuracy(truth: Flags, predicted: Flags, weights: Floats) -> Floats:
    """The share of texts all of whose labels are right: (resamples,).

    >>> exact_accuracy(np.eye(2, dtype=bool), np.array([[True, False], [True, True]]), np.ones((1, 2))).tolist()
    [0.5]
    """
    result: Floats = weights @ (truth == predicted).all(axis=1) / weights.sum(axis=1)
    return result


def flag_macro_f1(truth: Flags, predicted: Flags, weights: Floats) -> Floats:
    """The mean of the labels' F1 over the labels that the (resampled) truth holds: (resamples,).

    >>> flag_macro_f1(np.eye(2, dtype=bool), np.array([[True, False], [True, False]]), np.ones((1, 2))).round(3).tolist()
    [0.333]
    """
    hits, support, claimed = (weights @ each for each in (truth & predicted, truth, predicted))
    present = support > 0
    f1 = 2 * hits / np.maximum(support + claimed, 1)
    result: Floats = (f1 * present).sum(axis=1) / present.sum(axis=1)
    return result


def flag_micro_f1(truth: Flags, predicted: Flags, weights: Floats) -> Floats:
    """F1 of all flags together: (resamples,).

    >>> flag_micro_f1(np.ones((1, 2), dtype=bool), np.array([[True, False]]), np.ones((1, 1))).round(3).tolist()
    [0.667]
    """
    result: Floats = 2 * (weights @ (truth & predicted).sum(axis=1)) / (weights @ (truth.sum(axis=1) + predicted.sum(axis=1)))
    return result


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure of the model and of the baseline, and their difference on the same resamples."""

    model: Interval
    baseline: Interval
    difference: Interval


def compare(figure: FlagFigure, truth: Flags, model: Flags, baseline: Flags, *, seed: int = 0) -> Compared:
    """The figure of both systems with 95 % intervals over 1,000 resamples of the texts, the same for both (a paired bootstrap).

    >>> right = np.eye(2, dtype=bool)
    >>> str(compare(exact_accuracy, right, right, ~right).difference)
    '1.000 (1.000 to 1.000)'
    """
    drawn = np.random.default_rng(seed).integers(0, len(truth), (_RESAMPLES, len(truth)))
    weights = np.array([np.bincount(rows, minlength=len(truth)) for rows in drawn], dtype=np.float64)
    whole = np.ones((1, len(truth)))
    values = [float(figure(truth, each, whole)[0]) for each in (model, baseline)]
    resampled = [figure(truth, each, weights) for each in (model, baseline)]
    return Compared(
        model=_interval(values[0], resampled[0]),
        baseline=_interval(values[1], resampled[1]),
        difference=_interval(values[0] - values[1], resampled[0] - resampled[1]),
    )


def _interval(value: float, resampled: Floats) -> Interval:
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(value=value, low=float(low), high=float(high))
