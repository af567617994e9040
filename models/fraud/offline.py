"""Scoring of stored payments as if they streamed in: the same rings, the same features, labels at their own time.

As in the stream, a batch of payments meets its customers' rings first. These tell how unusual each amount is, all at once, and with
that the payments go on to their terminals' rings.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from core.clock import epoch_s
from core.records import Label, Transaction
from models.fraud.history import CUSTOMER, DAY_S, TERMINAL, Ring, customer_entry, label_state, terminal_entry
from models.fraud.score import FraudScore, FraudScorer
from models.fraud.usual import ratios
from models.fraud.windows import FeatureRow, features

_BATCH = 2048  # rows: enough for batches of similar length on every thread
_FORGET_S = TERMINAL.horizon_s + 3 * DAY_S  # a label of an older payment would find it in no ring
_EMPTY = Ring()


class _Place(NamedTuple):
    """Where a payment's entries are kept."""

    time_s: float
    customer_id: str
    terminal_id: str


class _Finding(NamedTuple):
    """A label and the place of its payment."""

    label: Label
    place: _Place

    def attached(self, ring: Ring) -> Ring:
        return ring.label(self.label.transaction_id, label_state(self.label), epoch_s(self.label.time))


@dataclass(slots=True)
class Past:
    """The rings of all customers and terminals, and where each recent payment went."""

    customers: dict[str, Ring] = field(default_factory=dict)
    terminals: dict[str, Ring] = field(default_factory=dict)
    places: OrderedDict[str, _Place] = field(default_factory=OrderedDict)  # a dict's first key takes longer, the more went before
    early: dict[str, Label] = field(default_factory=dict)

    def replay(self, steps: Sequence[Transaction | Label]) -> list[FeatureRow]:
        """What a score of each payment may use, in order; afterwards the payments are part of the past.

        A label counts for the payments that follow it; one that comes before its payment waits for it.
        """
        ordered = list(self._placed(steps))
        payments = [step for step in ordered if isinstance(step, Transaction)]
        customers = self._through_customers(ordered)
        customer, ratio = iter(customers), iter(ratios(payments, customers))
        return [row for step in ordered if (row := self._at_terminal(step, customer, ratio))]

    def add(self, transaction: Transaction) -> FeatureRow:
        """`replay` of one payment."""
        return self.replay([transaction])[0]

    def learn(self, label: Label) -> None:
        """`replay` of one label."""
        self.replay([label])

    def _placed(self, steps: Sequence[Transaction | Label]) -> Iterator[Transaction | _Finding]:
        """The steps with each label at the place of its payment, after it if it came too early."""
        for step in steps:
            if isinstance(step, Label):
                place = self.places.get(step.transaction_id)
                if place is None:
                    self.early[step.transaction_id] = step
                else:
                    yield _Finding(step, place)
                continue
            place = _Place(epoch_s(step.time), step.customer_id, step.terminal_id)
            self.places[step.id] = place
            yield step
            if step.id in self.early:
                yield _Finding(self.early.pop(step.id), place)
            self._forget(place.time_s - _FORGET_S)

    def _through_customers(self, steps: Sequence[Transaction | _Finding]) -> list[Ring]:
        """Each payment's customer as it was before it."""
        before = []
        for step in steps:
            if isinstance(step, _Finding):
                key = step.place.customer_id
                self.customers[key] = step.attached(self.customers[key])
                continue
            ring = self.customers.get(step.customer_id, _EMPTY)
            before.append(ring)
            self.customers[step.customer_id] = ring.insert(customer_entry(step), CUSTOMER)
        return before

    def _at_terminal(self, step: Transaction | _Finding, customers: Iterator[Ring], ratio: Iterator[float]) -> FeatureRow | None:
        """A payment's row, with the terminal as it was before it; None of a label."""
        if isinstance(step, _Finding):
            key = step.place.terminal_id
            self.terminals[key] = step.attached(self.terminals[key])
            return None
        ring = self.terminals.get(step.terminal_id, _EMPTY)
        self.terminals[step.terminal_id] = ring.insert(terminal_entry(step, next(ratio)), TERMINAL)
        return features(step, next(customers), ring)

    def _forget(self, before_s: float) -> None:
        """Drop the places of payments that no ring can hold any more."""
        while (oldest := next(iter(self.places))) and self.places[oldest].time_s < before_s:
            del self.places[oldest]


def score_stream(
    transactions: Iterable[Transaction], labels: Iterable[Label], scorer: FraudScorer
) -> Iterator[tuple[Transaction, FraudScore]]:
    """Every transaction with its score, in the order given, which should be that of time.

    A label counts from its own time on. Transactions are read as they are scored; all labels are read at once.
    """
    past = Past()
    for steps in batches(transactions, labels):
        rows = past.replay(steps)
        for row, score in zip(rows, scorer.score(rows), strict=True):
            yield row.transaction, score


def batches(
    transactions: Iterable[Transaction], labels: Iterable[Label], size: int = _BATCH
) -> Iterator[list[Transaction | Label]]:
    """Payments with the labels between them, each label before the first payment that it counts for; `size` payments a batch."""
    coming = sorted(labels, key=lambda label: label.time, reverse=True)
    steps: list[Transaction | Label] = []
    count = 0
    for transaction in transactions:
        while coming and coming[-1].time <= transaction.time:
            steps.append(coming.pop())
        steps.append(transaction)
        count += 1
        if count == size:
            yield steps
            steps, count = [], 0
    yield steps
