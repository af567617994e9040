"""The deletion test of the reasons: does the score fall when what the first reason names is taken away?

Every explained payment is scored again without what its first reason names, and once more without what a random other cause names
that applied to it too. Past payments are taken out of the rings as if they had never been; a field of the payment itself, which
cannot be taken away, becomes ordinary. `python -m models.training.fraud.deletion` prints the measure for the served model.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np

from models.aliases import CHAMPION, resolve
from models.fraud import reasons
from models.fraud.aggregates import usual_of
from models.fraud.arrays import Flags, Floats
from models.fraud.history import CUSTOMER, Ring
from models.fraud.offline import Past, batches
from models.fraud.reasons import Question
from models.fraud.score import FraudScorer
from models.fraud.windows import FeatureRow, Histories, stack
from models.registry import load
from models.training.fraud.files import labels, transactions
from models.training.fraud.generator import World, generate, label_times
from models.training.fraud.protocol import Measured

WORLD = World(customers=1_000, terminals=2_000, days=60, seed=21)
_PART = 512
_TOGETHER = 8  # of 512 payments, about what the scorer explains at once


@dataclass(frozen=True, slots=True)
class Deletion:
    """What became of N explained payments.

    `named` and `other` are (N,) falls of the logit without what the first reason and what a random other cause names; `first` are
    the questions behind the first reasons, `customers` whose payments these were.
    """

    named: Floats
    other: Floats
    first: tuple[str, ...]
    customers: tuple[str, ...]

    @property
    def lower(self) -> Flags:
        """(N,): whether deleting what the reason names lowered the logit more."""
        return np.asarray(self.named > self.other)


def risky(scorer: FraudScorer, world: World, *, threshold: float) -> list[FeatureRow]:
    """The payments of a generated world, with labels after a week, whose score by the encoder is at least `threshold`."""
    found: list[FeatureRow] = []
    rows = _rows(world)
    while part := list(islice(rows, _PART)):
        histories = stack(part, scorer.keep)
        logits, passed = scorer.logits(histories, usual_of(histories))
        places = np.flatnonzero(passed & (1.0 / (1.0 + np.exp(-logits)) >= threshold))
        found += [part[place] for place in places.tolist()]
    return found


def _rows(world: World) -> Iterator[FeatureRow]:
    payments, past = generate(world), Past()
    for steps in batches(transactions(payments), labels(payments, label_times(payments)), _PART):
        yield from past.replay(steps)


def delete(scorer: FraudScorer, rows: Sequence[FeatureRow], *, seed: int = 0) -> Deletion:
    """The deletion test on those of `rows` that have a cause for their first reason and another to hold it against."""
    histories = stack(rows, scorer.keep)
    logits = scorer.encode(histories)
    found = reasons.causes(histories, logits, scorer.encode)
    places = [place for place, each in enumerate(found) if len(each) > 1 and each[0].drop >= reasons.DROP_MIN]
    rng = np.random.default_rng(seed)
    first = [found[place][0].question for place in places]
    other = [found[place][int(rng.integers(1, len(found[place])))].question for place in places]
    chosen, past, before = [rows[place] for place in places], histories.take(np.array(places, np.int64)), logits[places]
    return Deletion(
        named=before - _after(scorer, chosen, past, first),
        other=before - _after(scorer, chosen, past, other),
        first=tuple(question.name for question in first),
        customers=tuple(row.transaction.customer_id for row in chosen),
    )


def _after(scorer: FraudScorer, rows: Sequence[FeatureRow], histories: Histories, deleted: Sequence[Question]) -> Floats:
    """(N,) logits of the rows, each without what its question in `deleted` names."""
    logits = np.empty(len(rows))
    for question in set(deleted):
        places = np.array([place for place, each in enumerate(deleted) if each is question])
        part = histories.take(places)
        usual = usual_of(part)
        if question.past:
            named = question.named(part, usual)
            part = stack([without(rows[place], question, flags) for place, flags in zip(places, named, strict=True)], scorer.keep)
        else:
            part = question.change(part, usual)
        logits[places] = scorer.encode(part)
    return logits


def without(row: FeatureRow, question: Question, named: Flags) -> FeatureRow:
    """The payment as if the past payments that `named` flags, newest first, had not been made."""
    ring = row.customer if question.side == "customer" else row.terminal
    gone = {len(ring) - 1 - step for step in np.flatnonzero(named).tolist()}
    kept = Ring()
    for place, entry in enumerate(ring.entries):
        kept = kept if place in gone else kept.insert(entry, CUSTOMER)
    side = "customer" if question.side == "customer" else "terminal"
    return msgspec.structs.replace(row, **{side: kept})


def share(deletion: Deletion, *, samples: int = 1_000, seed: int = 0) -> Measured:
    """The share of payments that fall more without what the first reason names; the interval resamples whole customers."""
    _, customer = np.unique(deletion.customers, return_inverse=True)
    lower, count = np.bincount(customer, deletion.lower), np.bincount(customer)
    drawn = np.random.default_rng(seed).multinomial(len(count), np.full(len(count), 1 / len(count)), samples)
    low, high = np.percentile((drawn @ lower) / (drawn @ count), [2.5, 97.5])
    return Measured(float(deletion.lower.mean()), float(low), float(high))


def explaining_ms(scorer: FraudScorer, rows: Sequence[FeatureRow]) -> float:
    """CPU milliseconds per explained payment: its what-if questions, put to the encoder, and the words."""
    histories = [stack(rows[start : start + _TOGETHER], scorer.keep) for start in range(0, len(rows), _TOGETHER)]
    logits = [scorer.encode(part) for part in histories]
    started = time.process_time()
    for place, (part, found) in enumerate(zip(histories, logits, strict=True)):
        scorer.explain(rows[place * _TOGETHER : (place + 1) * _TOGETHER], part, found)
    return (time.process_time() - started) / len(rows) * 1e3


def report(scorer: FraudScorer, rows: Sequence[FeatureRow]) -> str:
    """The measures as Markdown."""
    deletion = delete(scorer, rows)
    lines = ["| First reason | Payments | Falls by | A random other cause | Falls more |", "|---|---|---|---|---|"]
    names = np.array(deletion.first)
    for name, count in Counter(deletion.first).most_common():
        of = names == name
        falls = f"{deletion.named[of].mean():.2f} | {deletion.other[of].mean():.2f} | {deletion.lower[of].mean():.3f}"
        lines.append(f"| {name} | {count} | {falls} |")
    falls = f"{deletion.named.mean():.2f} | {deletion.other.mean():.2f} | {share(deletion)}"
    lines += [
        f"| all | {len(names)} | {falls} |",
        "",
        f"{len(rows) - len(names)} of {len(rows)} payments had no cause to delete.",
    ]
    return "\n".join([*lines, f"Explaining one takes {explaining_ms(scorer, rows):.2f} ms of CPU."])


def main() -> None:
    """Print the measures of one model."""
    parser = argparse.ArgumentParser(prog="python -m models.training.fraud.deletion", description=__doc__)
    parser.add_argument("--model", type=Path, help="model folder; without it, the champion")
    parser.add_argument(
        "--threshold", type=float, help="least score of a payment; without it, that from which scores are explained"
    )
    options = parser.parse_args()
    scorer = FraudScorer.open(load(options.model) if options.model else resolve(CHAMPION, "fraud"), device="cpu")
    threshold = scorer.explain_from if options.threshold is None else options.threshold
    print(report(scorer, risky(scorer, WORLD, threshold=threshold)))


if __name__ == "__main__":
    main()
