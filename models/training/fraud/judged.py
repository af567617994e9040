"""Payments that a model has not learned from, and what each of its stages makes of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.fraud.aggregates import NAMES, aggregates, usual_of
from models.fraud.arrays import Floats, Ints, Singles
from models.fraud.history import DAY_S
from models.fraud.score import FraudScorer
from models.training.fraud.ledger import exact, histories
from models.training.fraud.sources import Part

SERVED, ENCODER, TREES = "as it serves", "encoder on every payment", "its boosted trees alone"
_PART = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`systems` are logits by name: the model as it serves comes first, what it is held against last.

    `sums` is (N, sums) of the payments' pasts; `threshold` is the cascade's, if there is one.
    """

    part: Part
    sums: Singles
    systems: Mapping[str, Floats]
    threshold: float | None = None

    def beside(self, name: str, logits: Floats) -> "Judged":
        """The same with one system more, which is what the model is held against where it has no trees of its own."""
        others = {each: of for each, of in self.systems.items() if each != TREES}
        own = {each: of for each, of in self.systems.items() if each == TREES}
        return replace(self, systems=others | {name: logits} | own)

    @property
    def served(self) -> Floats:
        """Scores, 0..1, of the model as it serves."""
        scores: Floats = 1 / (1 + np.exp(-self.systems[SERVED]))
        return scores

    @property
    def reference(self) -> str:
        return list(self.systems)[-1]

    @property
    def customer(self) -> Ints:
        return self.part.book.customer.key[self.part.rows]

    @property
    def time_s(self) -> Floats:
        return self.part.book.time_s[self.part.rows]

    @property
    def amount(self) -> Floats:
        return self.part.book.amount[self.part.rows]

    def sum(self, name: str) -> Singles:
        """(N,): one of the sums."""
        return self.sums[:, NAMES.index(name)]

    def days(self) -> int:
        """The number of days on which the payments lie."""
        return len(np.unique(np.floor(self.time_s / DAY_S)))


def stages(part: Part, sums: Singles, encoder: Floats, first: Floats | None, *, threshold: float | None = None) -> Judged:
    """The judgement of a model from its stages' logits; `first` are those of its boosted trees."""
    if first is None or threshold is None:
        served, alone = encoder, {}
    else:
        served, alone = np.where(first >= threshold, encoder, first), {ENCODER: encoder}
    systems = {SERVED: served, **alone, **({} if first is None else {TREES: first})}
    return Judged(part=part, sums=sums, systems=systems, threshold=threshold)


def judge(scorer: FraudScorer, part: Part) -> Judged:
    """What an exported model makes of payments, with every label after 7 days."""
    sums = np.empty((len(part.rows), len(NAMES)), np.float32)
    encoder = np.empty(len(part.rows))
    for start in range(0, len(part.rows), _PART):
        at = slice(start, start + _PART)
        past = histories(part.book, part.rows[at], exact(len(part.rows[at])), keep=scorer.keep)
        sums[at] = aggregates(past, usual_of(past))
        encoder[at] = scorer.encode(past)
    if scorer.first is None:
        return stages(part, sums, encoder, None)
    return stages(part, sums, encoder, scorer.first.logits(sums), threshold=scorer.first.threshold)
