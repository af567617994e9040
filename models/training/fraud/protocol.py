"""The Fraud Detection Handbook's protocol: 7 days to train on, 7 days until labels are known, 7 days to test on.

Customers with a fraud known by (test day − 8) leave the test set of that day: their cards would be blocked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from models.fraud.arrays import Flags, Floats, Ints
from models.fraud.history import DAY_S
from models.training.fraud.ledger import Ledger

TRAIN_DAYS = DELAY_DAYS = TEST_DAYS = 7
FIRST_TEST_FOLD = datetime(2018, 7, 25, tzinfo=UTC)
# The book's means over its four test folds (AUC, AP, CP@100); its spread over folds is .01 to .02.
PUBLISHED: dict[str, tuple[float, float, float]] = {
    "logistic regression": (0.8677, 0.6233, 0.2971),
    "random forest": (0.8704, 0.6777, 0.2993),
    "XGBoost": (0.8694, 0.6865, 0.3032),
    "feed-forward": (0.8765, 0.6749, 0.3032),
    "LSTM with attention": (0.8743, 0.6672, 0.2954),
}


@dataclass(frozen=True, slots=True)
class Fold:
    """Row numbers to train and to test on; `start_s` begins the training week."""

    start_s: float
    train: Ints
    test: Ints


@dataclass(frozen=True, slots=True)
class Measured:
    """A metric's value with the interval that 95 % of the bootstrap samples fall into."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def fold(book: Ledger, start: datetime) -> Fold:
    """The fold whose training week starts at `start`."""
    start_s = start.timestamp()
    day = np.floor((book.time_s - start_s) / DAY_S).astype(np.int64)
    inside = np.flatnonzero((day >= 0) & (day < TRAIN_DAYS + DELAY_DAYS + TEST_DAYS))
    first_fraud = np.full(int(book.customer.key.max()) + 1, 10**6)
    frauds = inside[book.fraud[inside]]
    np.minimum.at(first_fraud, book.customer.key[frauds], day[frauds])
    tested = inside[day[inside] >= TRAIN_DAYS + DELAY_DAYS]
    known = first_fraud[book.customer.key[tested]] <= day[tested] - 1 - DELAY_DAYS
    return Fold(start_s=start_s, train=inside[day[inside] < TRAIN_DAYS], test=tested[~known])


def roc_auc(scores: Floats, truth: Flags) -> float:
    """Area under the receiver operating characteristic."""
    from sklearn.metrics import roc_auc_score  # here, so that the generator runs without the `train` extra

    return float(roc_auc_score(truth, scores))


def average_precision(scores: Floats, truth: Flags) -> float:
    """The step-wise area under the precision-recall curve."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(truth, scores))


def card_precision(scores: Floats, truth: Flags, *, cards: Ints, days: Ints, top: int = 100) -> float:
    """Mean over days of the share of frauds among the `top` cards by their day's highest score; caught cards leave later days.

    >>> flags = np.array([True, False, False])
    >>> card_precision(np.array([0.9, 0.2, 0.1]), flags, cards=np.array([1, 2, 3]), days=np.array([0, 0, 0]), top=2)
    0.5
    """
    caught = np.zeros(int(cards.max(initial=0)) + 1, np.bool_)
    precisions = []
    for day in np.unique(days):
        rows = np.flatnonzero((days == day) & ~caught[cards])
        highest = np.full(len(caught), -np.inf)
        np.maximum.at(highest, cards[rows], scores[rows])
        stolen = np.zeros(len(caught), np.bool_)
        stolen[cards[rows[truth[rows]]]] = True
        best = np.argsort(-highest, kind="stable")[:top]
        best = best[np.isfinite(highest[best])]
        precisions.append(stolen[best].sum() / top)
        caught[best[stolen[best]]] = True
    return float(np.mean(precisions))


def measure(book: Ledger, tested: Fold, scores: Floats, *, samples: int = 300, seed: int = 0) -> dict[str, Measured]:
    """AUC, AP and CP@100 of a fold's test rows, with intervals from resampling whole customers."""
    truth = book.fraud[tested.test]
    cards = book.customer.key[tested.test]
    days = np.floor((book.time_s[tested.test] - tested.start_s) / DAY_S).astype(np.int64)
    metrics: dict[str, Callable[[Ints, Ints], float]] = {
        "roc_auc": lambda rows, _: roc_auc(scores[rows], truth[rows]),
        "average_precision": lambda rows, _: average_precision(scores[rows], truth[rows]),
        "card_precision_100": lambda rows, drawn: card_precision(scores[rows], truth[rows], cards=drawn, days=days[rows]),
    }
    draws = list(_resampled(cards, samples, np.random.default_rng(seed)))
    whole = np.arange(len(cards))
    found = {}
    for name, metric in metrics.items():
        spread = np.array([metric(rows, drawn) for rows, drawn in draws])
        low, high = np.percentile(spread, [2.5, 97.5])
        found[name] = Measured(metric(whole, cards), float(low), float(high))
    return found


def _resampled(cards: Ints, samples: int, rng: np.random.Generator) -> list[tuple[Ints, Ints]]:
    """(rows, card of each row) of bootstrap samples over cards; a card drawn twice counts as two cards."""
    order = np.argsort(cards, kind="stable")
    unique, first, size = np.unique(cards[order], return_index=True, return_counts=True)
    drawn = []
    for _ in range(samples):
        chosen = rng.integers(0, len(unique), len(unique))
        sizes = size[chosen]
        step = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        drawn.append((order[np.repeat(first[chosen], sizes) + step], np.repeat(np.arange(len(chosen)), sizes)))
    return drawn


def window(start: datetime, days: int) -> tuple[float, float]:
    """(start, end) in seconds since the epoch."""
    return start.timestamp(), (start + timedelta(days=days)).timestamp()
