"""Delivery from the outbox: claim, send, record. At least once: what a crash leaves unrecorded is sent again with the same id.

Receivers run beside each other, each in its own task, so a slow or dead one delays no other. Within a receiver an alert's
messages keep their order (the store hands out only the first that is pending); different alerts go out four at a time.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from alerts.receivers.protocol import Receiver, TransportError
from alerts.retry import retry_delay_s
from alerts.store import AlertStore, Delivery
from core import log, metrics
from core.clock import Clock
from core.errors import Retryable

BATCH = 16
CONCURRENT = 4
# 16 deliveries, 4 at a time, 15 s each at worst take 60 s: a live worker always ends before its lease
LEASE_S = 120.0

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryRound:
    """What one round did. `retried` will be tried again; `failed` will not."""

    delivered: int = 0
    retried: int = 0
    failed: int = 0

    def __add__(self, other: "DeliveryRound") -> "DeliveryRound":
        return DeliveryRound(self.delivered + other.delivered, self.retried + other.retried, self.failed + other.failed)


async def deliver_due(store: AlertStore, receivers: Mapping[str, Receiver], *, clock: Clock) -> DeliveryRound:
    """What became of the deliveries that are due, at most 16 per receiver. Deliveries to receivers not given stay pending."""
    return await _sum_all([_Outbox(store, receiver, clock).round() for receiver in receivers.values()])


async def run_deliveries(
    store: AlertStore, receivers: Mapping[str, Receiver], *, clock: Clock, stop: asyncio.Event, poll_s: float = 1.0
) -> None:
    """Delivers until `stop` is set, then ends the rounds under way. A round that delivered is followed by the next at once."""
    async with asyncio.TaskGroup() as tasks:
        for receiver in receivers.values():
            tasks.create_task(_Outbox(store, receiver, clock).run(stop, poll_s))


@dataclass(frozen=True, slots=True)
class _Outbox:
    """The deliveries to one receiver."""

    store: AlertStore
    receiver: Receiver
    clock: Clock

    async def run(self, stop: asyncio.Event, poll_s: float) -> None:
        """Rounds until `stop` is set."""
        while not stop.is_set():
            try:
                done = await self.round()
            except Retryable as error:  # claims that could not be recorded run out and are made again
                _log.warning("deliveries_wait_for_store", receiver=self.receiver.name, error=str(error))
                done = DeliveryRound()
            if done.delivered:
                continue
            try:
                await asyncio.wait_for(stop.wait(), poll_s)
            except TimeoutError:
                continue

    async def round(self) -> DeliveryRound:
        """One batch: claimed, sent four at a time, recorded."""
        due = await asyncio.to_thread(self.store.claim_due, self.clock(), BATCH, LEASE_S, receiver=self.receiver.name)
        if not due:
            return DeliveryRound()
        disabled = await asyncio.to_thread(self.store.disabled_reason, self.receiver.name, self.receiver.target)
        if disabled is not None:
            error = TransportError(f"not sent, the receiver is disabled: {disabled}", permanent=True)
            return await _sum_all([self._record_failure(delivery, error) for delivery in due])
        slots, pause = asyncio.Semaphore(CONCURRENT), _Pause()

        async def one(delivery: Delivery) -> DeliveryRound:
            async with slots:
                return await self._deliver(delivery, pause)

        return await _sum_all([one(delivery) for delivery in due])

    async def _deliver(self, delivery: Delivery, pause: "_Pause") -> DeliveryRound:
        """One delivery: sent and recorded, or given back untried where the receiver asked for a pause."""
        if pause.wait_s is not None:
            later = self.clock() + timedelta(seconds=pause.wait_s)
            await asyncio.to_thread(self.store.release, delivery, next_attempt=later)
            return DeliveryRound(retried=1)
        try:
            await self.receiver.send(delivery)
        except TransportError as error:
            pause.wait_s = error.retry_after_s if pause.wait_s is None else pause.wait_s
            return await self._record_failure(delivery, error)
        except Exception as error:  # noqa: BLE001  (a bug in one receiver must not stop the alerts of the others)
            _log.exception("receiver_crashed", receiver=self.receiver.name, delivery=delivery.id)
            crash = TransportError(f"the receiver crashed ({type(error).__name__}); see the log")
            return await self._record_failure(delivery, crash)
        await asyncio.to_thread(self.store.mark_delivered, delivery, self.clock())
        metrics.DELIVERIES.labels(outcome="delivered").inc()
        return DeliveryRound(delivered=1)

    async def _record_failure(self, delivery: Delivery, error: TransportError) -> DeliveryRound:
        """The failure, recorded: pending again, or failed for good."""
        told = {"receiver": self.receiver.name, "delivery": delivery.id, "attempts": delivery.attempts, "error": str(error)}
        now = self.clock()
        if error.gone:
            reason, target = str(error), self.receiver.target
            await asyncio.to_thread(self.store.disable_receiver, self.receiver.name, target, reason=reason, at=now)
        wait_s = retry_delay_s(delivery.attempts, delivery.id, retry_after_s=error.retry_after_s)
        if error.permanent or wait_s is None:
            await asyncio.to_thread(self.store.mark_failed, delivery, str(error), next_attempt=None)
            metrics.DELIVERIES.labels(outcome="failed").inc()
            _log.error("delivery_failed", **told)
            return DeliveryRound(failed=1)
        await asyncio.to_thread(self.store.mark_failed, delivery, str(error), next_attempt=now + timedelta(seconds=wait_s))
        metrics.DELIVERIES.labels(outcome="retried").inc()
        _log.warning("delivery_retried", **told)
        return DeliveryRound(retried=1)


@dataclass(slots=True)
class _Pause:
    """Set by the first answer of a round that asks to slow down: what the round has not sent yet waits as long."""

    wait_s: float | None = None


async def _sum_all(rounds: Sequence[Coroutine[None, None, DeliveryRound]]) -> DeliveryRound:
    """The sum, once all have ended: an error of one is raised only when no other is under way."""
    ended = await asyncio.gather(*rounds, return_exceptions=True)
    for result in ended:
        if isinstance(result, BaseException):
            raise result
    return sum((result for result in ended if isinstance(result, DeliveryRound)), DeliveryRound())
