"""Scoring of stored payments as if they streamed in: the same rings, the same features, labels at their own time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from core.clock import epoch_s
from core.records import Label, Transaction
from models.fraud.history import CUSTOMER, DAY_S, TERMINAL, Ring, customer_entry, label_state, terminal_entry
from models.fraud.score import FraudScore, FraudScorer
from models.fraud.windows import FeatureRow, features

_BATCH = 1024
_FORGET_S = TERMINAL.horizon_s + 3 * DAY_S  # a label of an older payment would find it in no ring


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a payment's entries are kept."""

    time_s: float
    customer_id: str
    terminal_id: str


@dataclass(slots=True)
class Past:
    """The rings of all customers and terminals, and where each recent payment went."""

    customers: dict[str, Ring] = field(default_factory=dict)
    terminals: dict[str, Ring] = field(default_factory=dict)
    places: dict[str, _Place] = field(default_factory=dict)
    early: dict[str, Label] = field(default_factory=dict)

    def add(self, transaction: Transaction) -> FeatureRow:
        """What a score of the payment may use; afterwards the payment is part of the past."""
        customer = self.customers.get(transaction.customer_id, Ring())
        terminal = self.terminals.get(transaction.terminal_id, Ring())
        row = features(transaction, customer, terminal)
        self.customers[transaction.customer_id] = customer.insert(customer_entry(transaction), CUSTOMER)
        self.terminals[transaction.terminal_id] = terminal.insert(terminal_entry(transaction), TERMINAL)
        self.places[transaction.id] = _Place(row.time_s, transaction.customer_id, transaction.terminal_id)
        if transaction.id in self.early:
            self.learn(self.early.pop(transaction.id))
        self._forget(row.time_s - _FORGET_S)
        return row

    def learn(self, label: Label) -> None:
        """Attach a label to its payment's entries; a label that comes before its payment waits for it."""
        place = self.places.get(label.transaction_id)
        if place is None:
            self.early[label.transaction_id] = label
            return
        state, label_s = label_state(label), epoch_s(label.time)
        customer, terminal = self.customers[place.customer_id], self.terminals[place.terminal_id]
        self.customers[place.customer_id] = customer.label(label.transaction_id, state, label_s)
        self.terminals[place.terminal_id] = terminal.label(label.transaction_id, state, label_s)

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
    waiting: list[FeatureRow] = []
    coming = sorted(labels, key=lambda label: label.time, reverse=True)
    for transaction in transactions:
        while coming and coming[-1].time <= transaction.time:
            past.learn(coming.pop())
        waiting.append(past.add(transaction))
        if len(waiting) == _BATCH:
            yield from _scored(waiting, scorer)
            waiting = []
    yield from _scored(waiting, scorer)


def _scored(rows: list[FeatureRow], scorer: FraudScorer) -> Iterator[tuple[Transaction, FraudScore]]:
    for row, score in zip(rows, scorer.score(rows), strict=True):
        yield row.transaction, score
