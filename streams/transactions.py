"""Payments and labels on their way to a score: admit → meet the terminal's history → meet the customer's history → score.

    transactions.raw ─► admit ─► transactions.by_terminal ─► meet_terminal ─► transactions.by_customer ─► score_transactions
                          └────► transactions.places ─┐          ▲ labels           │ labels ─────────────────┘
    labels.raw ───────────────────────────────────────┴► join_labels

A label names only its transaction, so it first meets the transaction's place, in whatever order the two come, and then goes the
same way as the payments to both histories. Every step is idempotent: what is worked off twice changes nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from core.clock import Clock, epoch_s
from core.codec import decode_label, decode_transaction, encode
from core.errors import InvalidRecord
from core.records import Label, ScoredTransaction, Transaction
from core.topics import LABELS_RAW, TRANSACTIONS_BY_CUSTOMER, TRANSACTIONS_BY_TERMINAL, TRANSACTIONS_PLACES, TRANSACTIONS_SCORED
from models.fraud.history import CUSTOMER, TERMINAL, Ring, customer_entry, label_state, terminal_entry
from models.fraud.score import FraudScore, FraudScorer
from models.fraud.windows import FeatureRow, features
from streams.messages import Outgoing, Received, Worked
from streams.steps import Joining, Payment, Place, PlacedLabel, decode_joining, decode_place, decode_step, encode_step
from streams.tables import StateTable


@dataclass(frozen=True, slots=True)
class Admit:
    """Decodes payments and sends each to its terminal, and its place to where labels look for it."""

    clock: Clock

    async def __call__(self, batch: Sequence[Received]) -> Worked:
        now = self.clock()
        worked = Worked()
        for message in batch:
            try:
                transaction = decode_transaction(message.value, now)
            except InvalidRecord as error:
                worked.dead.append((message, str(error)))
                continue
            place = Place(transaction.id, transaction.customer_id, transaction.terminal_id)
            worked.outgoing += [
                Outgoing(TRANSACTIONS_BY_TERMINAL.name, encode_step(Payment(transaction)), key=transaction.terminal_id.encode()),
                Outgoing(TRANSACTIONS_PLACES.name, encode_step(place), key=transaction.id.encode()),
            ]
        return worked


@dataclass(frozen=True, slots=True)
class JoinLabels:
    """Brings a label and its transaction's place together; the later of the two sends the label on."""

    table: StateTable
    clock: Clock

    async def __call__(self, batch: Sequence[Received]) -> Worked:
        now = self.clock()
        worked = Worked()
        for message in batch:
            try:
                worked.outgoing += self._label(message, now) if message.topic == LABELS_RAW.name else self._place(message)
            except InvalidRecord as error:
                worked.dead.append((message, str(error)))
        return worked

    def _label(self, message: Received, now: datetime) -> list[Outgoing]:
        label = decode_label(message.value, now)
        key = label.transaction_id.encode()
        if message.key != key:  # from a producer that keys otherwise: send it to the partition where its place is
            return [Outgoing(LABELS_RAW.name, message.value, key=key)]
        known = decode_joining(self.table.get(message, label.transaction_id))
        self.table.put(message, label.transaction_id, encode_step(Joining(known.place, label)))
        return [] if known.place is None else [_to_terminal(PlacedLabel(label, known.place))]

    def _place(self, message: Received) -> list[Outgoing]:
        place = decode_place(message.value)
        known = decode_joining(self.table.get(message, place.transaction_id))
        if known.place is None:
            self.table.put(message, place.transaction_id, encode_step(Joining(place, known.label)))
        return [] if known.label is None else [_to_terminal(PlacedLabel(known.label, place))]


@dataclass(frozen=True, slots=True)
class MeetTerminal:
    """Attaches the terminal's history to each payment and keeps that history."""

    table: StateTable

    async def __call__(self, batch: Sequence[Received]) -> Worked:
        worked = Worked()
        for message in batch:
            try:
                step = decode_step(message.value)
            except InvalidRecord as error:
                worked.dead.append((message, str(error)))
                continue
            if isinstance(step, Payment):
                onward: Payment | PlacedLabel = Payment(step.transaction, self._history(message, step.transaction).encode())
                customer = step.transaction.customer_id
            else:
                _label_ring(self.table, message, step.place.terminal_id, step.label)
                onward, customer = step, step.place.customer_id
            worked.outgoing.append(Outgoing(TRANSACTIONS_BY_CUSTOMER.name, encode_step(onward), key=customer.encode()))
        return worked

    def _history(self, message: Received, transaction: Transaction) -> Ring:
        """What a score of the payment may use of its terminal's past; afterwards the payment is part of that past."""
        ring = _ring(self.table.get(message, transaction.terminal_id))
        entry = terminal_entry(transaction)
        grown = ring.insert(entry, TERMINAL)
        if grown is not ring:
            self.table.put(message, transaction.terminal_id, grown.encode())
        return grown.snapshot(entry.time_s, entry.id, TERMINAL)


@dataclass(frozen=True, slots=True)
class ScoreTransactions:
    """Scores payments from both histories and keeps the customer's."""

    table: StateTable
    scorer: FraudScorer
    clock: Clock

    async def __call__(self, batch: Sequence[Received]) -> Worked:
        worked = Worked()
        payments: list[Transaction] = []
        rows: list[FeatureRow] = []
        for message in batch:
            try:
                step = decode_step(message.value)
            except InvalidRecord as error:
                worked.dead.append((message, str(error)))
                continue
            if isinstance(step, PlacedLabel):
                _label_ring(self.table, message, step.place.customer_id, step.label)
                worked.absorbed.append(message)
                continue
            payments.append(step.transaction)
            rows.append(self._row(message, step))
        scores = await asyncio.to_thread(self.scorer.score, rows)
        for transaction, score in zip(payments, scores, strict=True):
            scored = scored_transaction(transaction, score, clock=self.clock)
            worked.outgoing.append(Outgoing(TRANSACTIONS_SCORED.name, encode(scored), key=scored.id.encode()))
        return worked

    def _row(self, message: Received, step: Payment) -> FeatureRow:
        """The payment's features from both histories, after the customer's has taken it in (a payment never sees itself)."""
        customer_id = step.transaction.customer_id
        ring = _ring(self.table.get(message, customer_id))
        grown = ring.insert(customer_entry(step.transaction), CUSTOMER)
        if grown is not ring:
            self.table.put(message, customer_id, grown.encode())
        return features(step.transaction, grown, _ring(step.terminal_ring))


def scored_transaction(transaction: Transaction, score: FraudScore, *, clock: Clock) -> ScoredTransaction:
    """The payment with its score."""
    return ScoredTransaction(
        ingested=clock(),
        fraud_score=score.fraud_score,
        reasons=score.reasons,
        model=score.model,
        **{name: getattr(transaction, name) for name in transaction.__struct_fields__},
    )


def _ring(raw: bytes | None) -> Ring:
    return Ring() if raw is None else Ring.decode(raw)


def _label_ring(table: StateTable, message: Received, key: str, label: Label) -> None:
    raw = table.get(message, key)
    if raw is None:
        return
    ring = Ring.decode(raw)
    marked = ring.label(label.transaction_id, label_state(label), epoch_s(label.time))
    if marked is not ring:
        table.put(message, key, marked.encode())


def _to_terminal(label: PlacedLabel) -> Outgoing:
    return Outgoing(TRANSACTIONS_BY_TERMINAL.name, encode_step(label), key=label.place.terminal_id.encode())
