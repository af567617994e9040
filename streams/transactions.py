"""Payments and labels on their way to a score: admit → meet the customer's history → meet the terminal's history → score.

    transactions.raw ─► admit ─► transactions.by_customer ─► meet_customer ─► transactions.by_terminal ─► score_transactions
    labels.raw ───────► admit        ▲ labels                                   payments and labels             │
                          └─► transactions.by_id ─► join_labels                              transactions.scored ◄─┘
                              labels, places

The topics in between carry parcels: the steps of a batch for one partition, with the watermarks of where they come from. What keeps a
history works its steps off in event-time order, each once, whatever partitions they came by and whoever was killed meanwhile:
`streams/merge.py` tells how. So a streamed score is that of `models/fraud/offline.py` over the sorted file.

A label names only its transaction, so it first meets the transaction's place, in whatever order the two come, and then goes the same
way as the payments to both histories. It counts from its own time on. The customer comes first because a terminal remembers how unusual
each payment was for its customer.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any, NamedTuple

from core import log
from core.clock import Clock, epoch_s
from core.codec import decode_label, decode_transaction, encode
from core.errors import InvalidRecord
from core.records import Label, ScoredTransaction, Transaction
from core.topics import (
    LABELS_RAW,
    TRANSACTIONS_BY_CUSTOMER,
    TRANSACTIONS_BY_ID,
    TRANSACTIONS_BY_TERMINAL,
    TRANSACTIONS_RAW,
    TRANSACTIONS_SCORED,
)
from models.fraud.history import CUSTOMER, DAY_S, TERMINAL, Bounds, Ring, customer_entry, label_state, terminal_entry
from models.fraud.score import FraudScore, FraudScorer
from models.fraud.usual import ratios
from models.fraud.windows import FeatureRow, features
from streams.joining import Joining, decode_joining, encode_joining
from streams.merge import Released
from streams.merging import Merges, Taken
from streams.messages import Outgoing, Received, Worked
from streams.silence import Tide, source_name
from streams.steps import AnyStep, LooseLabel, Mark, Parcels, Payment, Place, PlacedLabel
from streams.sweep import Sweep
from streams.tables import StateTable
from streams.watermarks import Rising, mark_messages

_SLACK_S = 3 * DAY_S  # beyond a horizon, before a history or a place is forgotten
_log = log.get(__name__)


@dataclass(slots=True)
class Admit:
    """Decodes payments and labels and sends each to where its history is, with the watermark of its partition."""

    partitions: int
    lateness_s: float
    tide: Tide
    clock: Clock
    _high_s: dict[str, float] = field(default_factory=dict)

    async def __call__(self, batch: Sequence[Received]) -> Worked:
        now, worked = self.clock(), Worked()
        sources = list(dict.fromkeys((message.topic, message.partition) for message in batch))
        places = {source: place for place, source in enumerate(sources)}
        payments, by_id = (Parcels(topic, self.partitions) for topic in (TRANSACTIONS_BY_CUSTOMER, TRANSACTIONS_BY_ID))
        for message in batch:
            origin = (places[message.topic, message.partition], message.offset, message.partition, message.offset)
            try:
                if message.topic == LABELS_RAW.name:
                    label = decode_label(message.value, now)
                    by_id.add(label.transaction_id, LooseLabel(*origin, label))
                    time_s = epoch_s(label.time)
                else:
                    payment = decode_transaction(message.value, now)
                    time_s = epoch_s(payment.time)
                    payments.add(payment.customer_id, Payment(*origin, payment))
                    by_id.add(payment.id, Place(*origin, payment.id, payment.customer_id, payment.terminal_id, time_s))
            except InvalidRecord as error:
                worked.dead.append((message, str(error)))
                continue
            source = source_name(message.topic, message.partition)
            self._high_s[source] = max(self._high_s.get(source, -inf), time_s)
        marks = [self._mark(source_name(*source)) for source in sources]
        worked.outgoing += by_id.messages(marks, always=True)
        if any(topic == TRANSACTIONS_RAW.name for topic, _ in sources):
            worked.outgoing += payments.messages(marks, always=True)
        return worked

    def _mark(self, source: str) -> Mark:
        high_s = self._high_s.get(source, -inf)
        self.tide.rise(high_s)
        return Mark(source, high_s - self.lateness_s, high_s)


@dataclass(slots=True)
class JoinLabels:
    """Brings a label and its transaction's place together; the later of the two sends the label on."""

    merges: Merges
    table: StateTable
    wait_s: float
    partitions: int
    sweep: Sweep = field(init=False)

    def __post_init__(self) -> None:
        self.sweep = Sweep(self.table, lambda raw: decode_joining(raw).until_s(self.wait_s, TERMINAL.horizon_s + _SLACK_S))

    async def __call__(self, batch: Sequence[Received]) -> Worked:
        taken = self.merges.take(batch)
        parcels = Parcels(TRANSACTIONS_BY_CUSTOMER, self.partitions)
        places = taken.places
        for partition, released in taken.released:
            try:
                label = self._join(partition, released, places[partition])
            except Exception as error:  # noqa: BLE001 — a bug met by one record must not stop the others
                taken.spoil(partition, released, error)
                continue
            if label is None:
                taken.absorb(partition, released)
            else:  # where it had waited, its place ends here in its stead
                parcels.add(label.customer_id, label)
        marks, news = self.merges.marks(taken)
        taken.worked.outgoing += parcels.messages(marks, always=news)
        for partition, merge in taken.merges.items():
            if merge.newest is not None:  # else the ledger would not count what expires
                for name, raw in self.sweep.advance(partition, merge.state.before_s):
                    self._expire(taken, partition, name, decode_joining(raw))
        return self.merges.save(taken)

    def _join(self, partition: int, released: Released, source: int) -> PlacedLabel | None:
        step = released.step
        if isinstance(step, LooseLabel):
            return self._label(partition, step, (source, released.number, step.partition, step.offset))
        if isinstance(step, Place):
            return self._place(partition, step, (source, released.number))
        raise InvalidRecord(f"a {type(step).__name__} does not belong on {TRANSACTIONS_BY_ID.name}")

    def _label(self, partition: int, step: LooseLabel, origin: tuple[int, int, int, int]) -> PlacedLabel | None:
        name = step.label.transaction_id
        known = decode_joining(self.table.get(partition, name))
        if known.place is not None:
            customer_id, terminal_id, paid_s = known.place
            return PlacedLabel(*origin, step.label, customer_id, terminal_id, paid_s)
        waiting = known.waiting
        if waiting is None or (waiting.time, waiting.fraud) < (step.label.time, step.label.fraud):
            waits = Joining(waiting=step.label, partition=step.partition, offset=step.offset)
            self.table.put(partition, name, encode_joining(waits))
        return None

    def _place(self, partition: int, step: Place, origin: tuple[int, int]) -> PlacedLabel | None:
        known = decode_joining(self.table.get(partition, step.transaction_id))
        if known.place is None:
            place = (step.customer_id, step.terminal_id, step.time_s)
            self.table.put(partition, step.transaction_id, encode_joining(Joining(place)))
        if known.waiting is None:
            return None
        return PlacedLabel(*origin, known.partition, known.offset, known.waiting, step.customer_id, step.terminal_id, step.time_s)

    def _expire(self, taken: Taken, partition: int, name: str, joining: Joining) -> None:
        """A label whose payment did not come is a dead letter."""
        if joining.waiting is not None:
            raw = Received(LABELS_RAW.name, joining.partition, joining.offset, None, encode(joining.waiting), 0.0)
            taken.merges[partition].bury()
            taken.worked.dead.append((raw, f"no payment {name!r} came within {self.wait_s / DAY_S:g} days of its label"))


@dataclass(slots=True)
class Histories:
    """The rings of one side, in a table; those that nothing can look back on any more are deleted."""

    table: StateTable
    bounds: Bounds
    sweep: Sweep = field(init=False)

    def __post_init__(self) -> None:
        self.sweep = Sweep(self.table, lambda raw: Ring.decode(raw).newest_s + self.bounds.horizon_s + _SLACK_S)

    def insert(self, partition: int, key: str, entry: Any) -> Ring:
        """The key's ring, once it has taken the payment in (a payment never sees itself)."""
        ring = self.ring(partition, key)
        grown = ring.insert(entry, self.bounds)
        if grown is not ring:
            self.table.put(partition, key, grown.encode())
        return grown

    def label(self, partition: int, key: str, label: Label) -> None:
        """Attach a label to its payment, where the key's ring still holds it."""
        ring = self.ring(partition, key)
        marked = ring.label(label.transaction_id, label_state(label), epoch_s(label.time))
        if marked is not ring:
            self.table.put(partition, key, marked.encode())

    def ring(self, partition: int, key: str) -> Ring:
        """The key's ring, empty where there is none."""
        raw = self.table.get(partition, key)
        return Ring() if raw is None else Ring.decode(raw)

    def forget(self, taken: Taken) -> None:
        """Go on with the deletion, as far as event time has come."""
        for partition, merge in taken.merges.items():
            self.sweep.advance(partition, merge.state.before_s)


class _Met(NamedTuple):
    """A step that has met its customer, with the history that a payment may look back on; empty for a label."""

    partition: int
    released: Released
    ring: Ring


@dataclass(slots=True)
class MeetCustomer:
    """Attaches the customer's history to each payment, and how unusual its amount is for the customer, and keeps that history."""

    merges: Merges
    histories: Histories
    partitions: int

    async def __call__(self, batch: Sequence[Received]) -> Worked:
        taken = self.merges.take(batch)
        met = []
        for partition, released in taken.released:
            try:
                met.append(_Met(partition, released, self._meet(partition, released.step)))
            except Exception as error:  # noqa: BLE001 — a bug met by one record must not stop the others
                taken.spoil(partition, released, error)
        parcels = Parcels(TRANSACTIONS_BY_TERMINAL, self.partitions)
        places = taken.places
        for (partition, released, ring), ratio in _with_ratios(taken, met):
            step = released.step
            origin = (places[partition], released.number, step.partition, step.offset)
            if isinstance(step, Payment):
                parcels.add(step.transaction.terminal_id, Payment(*origin, step.transaction, ring.encode(), ratio))
            elif isinstance(step, PlacedLabel):
                parcels.add(step.terminal_id, PlacedLabel(*origin, step.label, step.customer_id, step.terminal_id, step.paid_s))
        marks, news = self.merges.marks(taken)
        taken.worked.outgoing += parcels.messages(marks, always=news)
        self.histories.forget(taken)
        return self.merges.save(taken)

    def _meet(self, partition: int, step: AnyStep) -> Ring:
        if isinstance(step, Payment):
            payment = step.transaction
            entry = customer_entry(payment)
            ring = self.histories.insert(partition, payment.customer_id, entry)
            return ring.snapshot(entry.time_s, entry.id, CUSTOMER)
        if isinstance(step, PlacedLabel):
            self.histories.label(partition, step.customer_id, step.label)
            return Ring()
        raise InvalidRecord(f"a {type(step).__name__} does not belong on {TRANSACTIONS_BY_CUSTOMER.name}")


def _with_ratios(taken: Taken, met: Sequence[_Met]) -> list[tuple[_Met, float]]:
    """The steps in their order, payments with their ratio; where it cannot be told of all at once, one by one."""
    paid = [(step.transaction, each.ring) for each in met if isinstance(step := each.released.step, Payment)]
    try:
        found = iter(ratios([payment for payment, _ in paid], [ring for _, ring in paid]))
    except Exception as error:  # noqa: BLE001 — a bug met by one record must not stop the others
        if len(met) == 1:
            taken.spoil(met[0].partition, met[0].released, error)
            return []
        _log.error("ratios_failed", payments=len(paid), error=repr(error), exc_info=error)
        return [pair for each in met for pair in _with_ratios(taken, [each])]
    return [(each, next(found) if isinstance(each.released.step, Payment) else 0.0) for each in met]


@dataclass(slots=True)
class ScoreTransactions:
    """Scores payments from both histories and keeps the terminal's."""

    merges: Merges
    histories: Histories
    scorer: FraudScorer
    clock: Clock
    partitions: int
    _rising: Rising = field(default_factory=Rising)

    async def __call__(self, batch: Sequence[Received]) -> Worked:
        taken = self.merges.take(batch)
        rows: list[tuple[int, Released, FeatureRow]] = []
        for partition, released in taken.released:
            try:
                row = self._row(partition, released)
            except Exception as error:  # noqa: BLE001 — a bug met by one record must not stop the others
                taken.spoil(partition, released, error)
                continue
            if row is None:
                taken.absorb(partition, released)
            else:
                rows.append((partition, released, row))
        await self._score(taken, rows)
        marks, _ = self.merges.marks(taken)
        taken.worked.outgoing += mark_messages(TRANSACTIONS_SCORED, self._rising.news(marks), self.partitions)
        self.histories.forget(taken)
        return self.merges.save(taken)

    def _row(self, partition: int, released: Released) -> FeatureRow | None:
        """The payment's features from both histories; None for a label, which goes into the terminal's."""
        step = released.step
        if isinstance(step, Payment):
            payment = step.transaction
            ring = self.histories.insert(partition, payment.terminal_id, terminal_entry(payment, step.ratio))
            return features(payment, Ring.decode(step.customer_ring), ring)
        if isinstance(step, PlacedLabel):
            self.histories.label(partition, step.terminal_id, step.label)
            return None
        raise InvalidRecord(f"a {type(step).__name__} does not belong on {TRANSACTIONS_BY_TERMINAL.name}")

    async def _score(self, taken: Taken, rows: Sequence[tuple[int, Released, FeatureRow]]) -> None:
        """Score the rows together; where that fails, one by one, and the one that fails is a dead letter."""
        if not rows:
            return
        try:
            scores = await asyncio.to_thread(self.scorer.score, [row for _, _, row in rows])
        except Exception as error:  # noqa: BLE001 — a bug met by one record must not stop the others
            if len(rows) == 1:
                taken.spoil(*rows[0][:2], error)
                return
            _log.error("scoring_failed", payments=len(rows), error=repr(error), exc_info=error)
            for each in rows:
                await self._score(taken, [each])
            return
        now = self.clock()
        for (_, _, row), score in zip(rows, scores, strict=True):
            scored = scored_transaction(row.transaction, score, ingested=now)
            taken.worked.outgoing.append(Outgoing(TRANSACTIONS_SCORED.name, encode(scored), key=scored.id.encode()))


def scored_transaction(transaction: Transaction, score: FraudScore, *, ingested: datetime) -> ScoredTransaction:
    """The payment with its score."""
    return ScoredTransaction(
        id=transaction.id,
        time=transaction.time,
        ingested=ingested,
        customer_id=transaction.customer_id,
        terminal_id=transaction.terminal_id,
        amount=transaction.amount,
        currency=transaction.currency,
        channel=transaction.channel,
        country=transaction.country,
        fraud_score=score.fraud_score,
        reasons=score.reasons,
        model=score.model,
        extra=transaction.extra,
    )
