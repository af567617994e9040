"""Parts of the judged payments by what is known of them when they are scored, and what the model makes of each part."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from models.fraud.arrays import Flags, Floats
from models.fraud.history import DAY_S
from models.training.fraud.judged import SERVED, Judged
from models.training.fraud.protocol import Measured, bound
from models.training.fraud.ranking import MEASURES, RATES, measures, rank, resample

PATTERNS = {
    1: "high amount",
    2: "compromised terminal",
    3: "compromised customer",
    4: "slow bust-out",
    5: "card testing",
    6: "collusive terminals",
}
COLD = 5  # payments of a terminal, below which it counts as new
_PAYMENTS = (1, 5, 16, 64)  # lower bounds of the parts by the customer's past, which holds 64 at most
_HOURS = 6
_AP = MEASURES.index("AP")
_FEWEST = 10  # frauds; of fewer, a precision says nothing


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the judged payments: flags (N,)."""

    name: str
    rows: Flags


@dataclass(frozen=True, slots=True)
class SliceFigures:
    """What the model makes of a slice.

    `found` and `wrong` are the shares of its frauds and of its genuine payments that score above all but a thousandth of all genuine
    payments, not a number where there are none; `precision` is the AP within the slice, None of fewer than ten frauds.
    """

    name: str
    payments: int
    frauds: int
    mean_score: float
    found: float
    wrong: float
    precision: Measured | None
    reference: float | None


def groups(judged: Judged) -> dict[str, list[Slice]]:
    """The slices by what divides them."""
    hour = judged.time_s % DAY_S // 3600
    past, seen = judged.sum("customer_count"), judged.sum("terminal_count")
    return {
        "Amount": _quarters(judged.amount),
        "Hour of day, UTC": [
            Slice(f"{start} to {start + _HOURS}", (hour >= start) & (hour < start + _HOURS)) for start in range(0, 24, _HOURS)
        ],
        "Payments of the customer within 28 days": [
            Slice(name, np.asarray((past >= low) & (past < high), np.bool_)) for name, low, high in _steps()
        ],
        "Payments at the terminal within 42 days": [
            Slice(f"fewer than {COLD}", np.asarray(seen < COLD, np.bool_)),
            Slice(f"{COLD} or more", np.asarray(seen >= COLD, np.bool_)),
        ],
    }


def patterns(judged: Judged) -> list[Slice]:
    """Each generated pattern's frauds among all genuine payments; none where the patterns are not known."""
    pattern = judged.part.pattern
    if pattern is None:
        return []
    numbers = np.unique(pattern[pattern > 0]).tolist()
    return [Slice(PATTERNS.get(number, str(number)), (pattern == number) | ~judged.part.truth) for number in numbers]


def figures(judged: Judged, slices: Sequence[Slice], *, samples: int) -> list[SliceFigures]:
    """The figures of slices; those of the reference are on the same payments."""
    above = judged.systems[SERVED] > bound(judged.systems[SERVED], judged.part.truth, rate=RATES[-1])
    return [_figures(judged, each, above, samples) for each in slices]


def _figures(judged: Judged, part: Slice, above: Flags, samples: int) -> SliceFigures:
    rows, truth = part.rows, judged.part.truth[part.rows]
    frauds = int(truth.sum())
    precision, reference = None, None
    if _FEWEST <= frauds < len(truth):
        scores = {SERVED: judged.systems[SERVED][rows]}
        precision = resample(scores, truth, judged.customer[rows], samples=samples)[SERVED].measured()[_AP]
        reference = float(measures(rank(judged.systems[judged.reference][rows], truth))[_AP])
    return SliceFigures(
        name=part.name,
        payments=len(truth),
        frauds=frauds,
        mean_score=_mean(judged.served[rows]),
        found=_mean(above[rows][truth]),
        wrong=_mean(above[rows][~truth]),
        precision=precision,
        reference=reference,
    )


def _mean(values: Flags | Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _quarters(values: Floats) -> list[Slice]:
    """Four parts of like size; equal values stay together."""
    part = np.searchsorted(np.quantile(values, (0.25, 0.5, 0.75)), values)
    return [
        Slice(f"{values[part == each].min():.2f} to {values[part == each].max():.2f}", part == each)
        for each in np.unique(part).tolist()
    ]


def _steps() -> list[tuple[str, float, float]]:
    """(name, from, to) of the parts by the customer's past.

    >>> [name for name, _, _ in _steps()]
    ['none', '1 to 4', '5 to 15', '16 to 63', '64 or more']
    """
    inner = [(f"{low} to {high - 1}", float(low), float(high)) for low, high in pairwise(_PAYMENTS)]
    return [("none", 0.0, float(_PAYMENTS[0])), *inner, (f"{_PAYMENTS[-1]} or more", float(_PAYMENTS[-1]), float("inf"))]
