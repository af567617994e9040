"""Measures of how scores rank payments, with intervals from resampling whole customers: sorted once, weighed many times."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from models.fraud.arrays import Flags, Floats, Ints
from models.training.fraud.protocol import Measured

MEASURES = ("AP", "ROC AUC", "recall at 0.01 %", "recall at 0.1 %")
RATES = (1e-4, 1e-3)  # of the genuine payments score higher than what counts as found


@dataclass(frozen=True, slots=True)
class Ranking:
    """Payments by falling score: `order` of their rows, whether each is fraud, and where every group begins.

    Equal scores are one group, and so are all genuine payments between two frauds: no measure tells these apart.
    """

    order: Ints
    fraud: Flags
    starts: Ints

    def caught(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """(frauds, genuine payments) down to the end of each group; `weights` (N,) says how often each payment counts."""
        each = np.ones(len(self.order)) if weights is None else weights[self.order]
        caught = np.cumsum(np.add.reduceat(np.where(self.fraud, each, 0.0), self.starts))
        return caught, np.cumsum(np.add.reduceat(each, self.starts)) - caught


def rank(scores: Floats, truth: Flags) -> Ranking:
    """The ranking of payments, in which the order of equal scores plays no part.

    >>> rank(np.array([0.2, 0.9, 0.3, 0.2]), np.array([False, False, False, True])).starts.tolist()
    [0, 2]
    """
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))
    fraud = truth[order]
    some = np.logical_or.reduceat(fraud, starts)
    return Ranking(order, fraud, starts[np.append(True, some[1:] | some[:-1])])


def measures(ranking: Ranking, weights: Floats | None = None) -> Floats:
    """(4,) by `MEASURES`, as `models.training.fraud.protocol` defines them; not a number where one class is not there.

    >>> measures(rank(np.array([0.9, 0.4, 0.2]), np.array([True, False, True]))).round(3).tolist()
    [0.833, 0.5, 0.5, 0.5]
    """
    caught, wrong = ranking.caught(weights)
    frauds, genuine = caught[-1], wrong[-1]
    if not frauds or not genuine:
        return np.full(len(MEASURES), np.nan)
    steps = np.diff(caught, prepend=0.0)
    precise = float(steps @ (caught / np.maximum(caught + wrong, 1)) / frauds)
    area = float(np.diff(wrong, prepend=0.0) @ (caught - steps / 2) / (frauds * genuine))
    above = np.insert(caught, 0, 0.0)
    found = [float(above[np.searchsorted(wrong, int(rate * genuine), side="right")] / frauds) for rate in RATES]
    return np.array([precise, area, *found])


@dataclass(frozen=True, slots=True)
class Resampled:
    """Measures of a system, and those of bootstrap samples, which are the same ones for every system: (4,) and (samples, 4)."""

    value: Floats
    samples: Floats

    def measured(self) -> tuple[Measured, ...]:
        """By `MEASURES`, with intervals."""
        return _intervals(self.value, self.samples)

    def minus(self, other: "Resampled") -> tuple[Measured, ...]:
        """The difference on the same samples."""
        return _intervals(self.value - other.value, self.samples - other.samples)


def resample(systems: Mapping[str, Floats], truth: Flags, customer: Ints, *, samples: int = 200) -> dict[str, Resampled]:
    """The measures of each system's scores, with bootstrap samples over whole customers."""
    ranked = {name: rank(scores, truth) for name, scores in systems.items()}
    drawn: dict[str, list[Floats]] = {name: [] for name in systems}
    for weights in _weights(customer, samples):
        for name, ranking in ranked.items():
            drawn[name].append(measures(ranking, weights))
    return {name: Resampled(measures(ranking), np.array(drawn[name])) for name, ranking in ranked.items()}


def _weights(customer: Ints, samples: int, *, seed: int = 0) -> Iterator[Floats]:
    """(N,) for each sample: how often the payment's customer is drawn."""
    rng = np.random.default_rng(seed)
    unique, place = np.unique(customer, return_inverse=True)
    for _ in range(samples):
        drawn = rng.integers(0, len(unique), len(unique))
        yield np.bincount(drawn, minlength=len(unique))[place].astype(np.float64)


def _intervals(value: Floats, samples: Floats) -> tuple[Measured, ...]:
    """A sample without a fraud says nothing and is left out."""
    low, high = np.nanpercentile(samples, [2.5, 97.5], axis=0)
    return tuple(map(Measured, value.tolist(), low.tolist(), high.tolist()))
