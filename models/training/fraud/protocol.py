"""The Fraud Detection Handbook's protocol: 7 days to train on, 7 days until labels are known, 7 days to test on.

Customers with a fraud known by (test day − 8) leave the test set of that day: their cards would be blocked.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from models.fraud.arrays import Flags, Floats, Ints
from models.fraud.history import DAY_S
from models.training.fraud.ledger import Ledger

TRAIN_DAYS = DELAY_DAYS = TEST_DAYS = 7
Folds = Literal["validation", "test"]
# The book's first test week begins on 2018-08-08. Everything is chosen on the validation folds, which end before that.
STARTS: dict[Folds, tuple[datetime, ...]] = {
    "validation": tuple(datetime(2018, 6, 20, tzinfo=UTC) + timedelta(days=7 * week) for week in range(4)),
    "test": tuple(datetime(2018, 7, 25, tzinfo=UTC) + timedelta(days=7 * week) for week in range(4)),
}
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

    @property
    def signed(self) -> str:
        """As a difference."""
        return f"{self.value:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


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


def recall_at(scores: Floats, truth: Flags, *, false_positive_rate: float = 1e-4) -> float:
    """The share of frauds above the score that `false_positive_rate` of the genuine payments exceed.

    >>> recall_at(np.array([0.9, 0.2, 0.4]), np.array([True, True, False]), false_positive_rate=0.0)
    0.5
    """
    return float((scores[truth] > bound(scores, truth, rate=false_positive_rate)).mean())


def bound(scores: Floats, truth: Flags, *, rate: float) -> float:
    """The score that `rate` of the genuine payments exceed.

    >>> bound(np.array([0.9, 0.3, 0.2]), np.array([True, False, False]), rate=1e-3)
    0.3
    """
    genuine = np.sort(scores[~truth])[::-1]
    return float(genuine[int(rate * len(genuine))])


METRICS = ("ROC AUC", "AP", "CP@100", "recall at 0.01 %")


def measure(book: Ledger, tested: Fold, scores: Floats) -> Floats:
    """(4,) of a fold's test rows: `METRICS` in order."""
    return _measured(book, tested, scores, (np.arange(len(scores)), book.customer.key[tested.test]))


def resampled_measures(book: Ledger, tested: Fold, scores: Floats, *, samples: int, seed: int = 0) -> Floats:
    """(samples, 4) of bootstrap samples over whole customers; the same samples for the same fold and seed, so that models pair."""
    draws = _resampled(book.customer.key[tested.test], samples, np.random.default_rng(seed))
    return np.array([_measured(book, tested, scores, draw) for draw in draws])


def _measured(book: Ledger, tested: Fold, scores: Floats, draw: tuple[Ints, Ints]) -> Floats:
    rows, cards = draw
    drawn, truth = scores[rows], book.fraud[tested.test][rows]
    days = np.floor((book.time_s[tested.test][rows] - tested.start_s) / DAY_S).astype(np.int64)
    caught = card_precision(drawn, truth, cards=cards, days=days)
    return np.array([roc_auc(drawn, truth), average_precision(drawn, truth), caught, recall_at(drawn, truth)])


def _resampled(cards: Ints, samples: int, rng: np.random.Generator) -> Iterator[tuple[Ints, Ints]]:
    """(rows, card of each row) of bootstrap samples over cards; a card drawn twice counts as two cards."""
    order = np.argsort(cards, kind="stable")
    unique, first, size = np.unique(cards[order], return_index=True, return_counts=True)
    for _ in range(samples):
        chosen = rng.integers(0, len(unique), len(unique))
        sizes = size[chosen]
        step = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        yield order[np.repeat(first[chosen], sizes) + step], np.repeat(np.arange(len(chosen)), sizes)
