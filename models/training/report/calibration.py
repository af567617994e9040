"""How far scores are from being right as often as they say: bins of scores, and their mean gap."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]

_BINS = 15


@dataclass(frozen=True, slots=True)
class Bin:
    """The cases whose score is between `low` and `high`: how many, their mean score, and the share of them that is right."""

    low: float
    high: float
    count: int
    mean: float
    share: float


def reliability(score: Floats, right: Floats) -> list[Bin]:
    """The bins, of 15 as wide as each other, that hold a case. `score`, `right`: (cases,) 0..1.

    >>> [(round(each.low, 2), each.count, each.share) for each in reliability(np.array([0.5, 0.5, 1.0]), np.array([0.0, 1.0, 1.0]))]
    [(0.47, 2, 0.5), (0.93, 1, 1.0)]
    """
    place = np.minimum((score * _BINS).astype(np.int64), _BINS - 1)
    return [
        Bin(
            low=int(each) / _BINS,
            high=(int(each) + 1) / _BINS,
            count=int((place == each).sum()),
            mean=float(score[place == each].mean()),
            share=float(right[place == each].mean()),
        )
        for each in np.unique(place)
    ]


def halving(score: Floats, right: Floats, *, least: int) -> list[Bin]:
    """Bins by quantile: each holds the lower half of what lies above the one before, the last no fewer than `least`.

    For scores of rare events, most of which are tiny: the few high ones, which matter, get bins of their own.

    >>> [each.count for each in halving(np.arange(20) / 20, np.ones(20), least=3)]
    [10, 5, 5]
    """
    left = np.argsort(score, kind="stable")
    parts = []
    while len(left) // 2 >= least:
        half = (len(left) + 1) // 2
        parts.append(left[:half])
        left = left[half:]
    return [
        Bin(
            low=float(score[part].min()),
            high=float(score[part].max()),
            count=len(part),
            mean=float(score[part].mean()),
            share=float(right[part].mean()),
        )
        for part in (*parts, left)
        if len(part)
    ]


def expected_gap(bins: Sequence[Bin]) -> float:
    """Expected calibration error: the mean distance of score from the share that is right, over all cases (Guo et al. 2017).

    >>> expected_gap([Bin(0.9, 1.0, count=3, mean=1.0, share=0.5), Bin(0.5, 0.6, count=1, mean=0.5, share=0.5)])
    0.375
    """
    count = sum(each.count for each in bins)
    return sum(abs(each.share - each.mean) * each.count for each in bins) / count
