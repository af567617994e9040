"""What faster labels are worth: the same test payments, scored as if every label had come after other numbers of days."""

from collections.abc import Mapping, Sequence

import numpy as np

from models.fraud.aggregates import usual_of
from models.fraud.arrays import Floats, Ints
from models.fraud.score import FraudScorer
from models.training.fraud.ledger import Ledger, exact, histories
from models.training.fraud.protocol import DELAY_DAYS, METRICS, Fold, measure

DELAYS = (7.0, 3.0, 1.0, 0.0)
# (ROC AUC, AP, CP@100) by delay, means over the test folds: a causal detector after Bayes that is told the simulator's rules and
# rates, and so about what the Handbook's payments allow.
SIMULATOR: dict[float, tuple[float, float, float]] = {
    7.0: (0.887, 0.769, 0.311),
    3.0: (0.943, 0.878, 0.364),
    1.0: (0.975, 0.935, 0.393),
    0.0: (0.989, 0.962, 0.405),
}
_KNOWS = "a detector that knows the simulator (test folds)"
_PART = 512

Scorers = Mapping[str, FraudScorer]


def served(scorer: FraudScorer, book: Ledger, rows: Ints, *, delay_days: float = DELAY_DAYS) -> Floats:
    """Logits as the model serves them, with its cascade if it has one, and every label after `delay_days`."""
    found = np.empty(len(rows))
    for start in range(0, len(rows), _PART):
        part = rows[start : start + _PART]
        past = histories(book, part, exact(len(part), delay_days=delay_days), keep=scorer.keep)
        found[start : start + _PART] = scorer.logits(past, usual_of(past))[0]
    return found


def by_delay(
    book: Ledger, tested: Sequence[Fold], scorers: Scorers, delays: Sequence[float], *, known: Mapping[str, Floats]
) -> dict[str, dict[float, Floats]]:
    """The means over the folds of each model's `METRICS` (4,), by delay in days; `known` are those of the protocol's own delay."""
    return {
        name: {delay: known[name] if delay == DELAY_DAYS else _mean(book, tested, scorer, delay) for delay in delays}
        for name, scorer in scorers.items()
    }


def _mean(book: Ledger, tested: Sequence[Fold], scorer: FraudScorer, delay: float) -> Floats:
    found: Floats = np.mean([measure(book, each, served(scorer, book, each.test, delay_days=delay)) for each in tested], axis=0)
    return found


def delay_table(found: Mapping[str, Mapping[float, Floats]], folds: str) -> str:
    """The means as Markdown, a line for each model and delay, beside what a detector that knows the simulator reaches.

    >>> print(delay_table({"fraud/1": {3.0: np.array([0.9, 0.8, 0.3, 0.7])}}, "validation").splitlines()[2])
    | fraud/1 | 3 | 0.9000 | 0.8000 | 0.3000 | 0.7000 |
    """
    delays = dict.fromkeys(delay for of in found.values() for delay in of)
    lines = [_line(f"mean of the {folds} folds", "labels after days", *METRICS), "|---" * (2 + len(METRICS)) + "|"]
    for name, of in found.items():
        lines += [_line(name, f"{delay:g}", *(f"{one:.4f}" for one in values)) for delay, values in of.items()]
    lines += [
        _line(_KNOWS, f"{delay:g}", *(f"{one:.3f}" for one in SIMULATOR[delay]), "") for delay in delays if delay in SIMULATOR
    ]
    return "\n".join(lines)


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
