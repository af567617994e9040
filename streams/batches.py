"""The shell around every agent: take a batch, work it off, send, count, ack. Nothing is acked before its outcome is confirmed.

noack_take ─► work ─► send and confirm, dead letters too ─► confirm table changes ─► ledger ─► ack
               │ Retryable: back off with jitter, for as long as it takes; the offset stays uncommitted
               │ anything else: once more record by record; a record that fails alone is a dead letter
               └ TooManyDeadLetters, or a bug in the shell itself: the process ends, its supervisor restarts it
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import tenacity
from aiokafka.errors import KafkaError
from faust.exceptions import ProducerSendError
from faust.types import TP

from core import log, metrics
from core.errors import Retryable
from streams.backlog import readers_of
from streams.continuity import Continuity, Verdict
from streams.dead_letters import DeadRatio, TooManyDeadLetters, dead_letter_of
from streams.ledger import Ledger, Outcome
from streams.messages import Outgoing, Received, Worked, received
from streams.tables import StateTable

EXIT_TOO_MANY_DEAD = 3  # a supervisor does not restart this one: a person must look
EXIT_BUG = 70  # EX_SOFTWARE

Work = Callable[[Sequence[Received]], Awaitable[Worked]]
_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the pipeline: its name in the ledger, how it works a batch off, and how large a batch is."""

    name: str
    work: Work
    size: int
    within_s: float = 0.05
    table: StateTable | None = None  # written by `work`: its changelog is confirmed before the ack


class BatchRunner:
    """Runs stages for one Faust app."""

    def __init__(self, app: Any, ledger: Ledger, *, max_dead_ratio: float, fresh_broker: bool = False) -> None:
        self._app = app
        self._ledger = ledger
        self._max_dead_ratio = max_dead_ratio
        # On a broker that was made for this run, a partition without a ledger row begins at offset 0, and the ledger's rows are its own.
        self._fresh_broker = fresh_broker
        self._partitions: dict[tuple[str, str, int], Continuity] = {}
        self._acked: dict[tuple[str, str, int], int] = {}
        self._busy: set[str] = set()
        self._still: dict[tuple[str, str, int], int] = {}

    async def run(self, stage: Stage, stream: Any) -> None:
        """Work a stream off for ever; an error that must not pass ends the process."""
        ratio = DeadRatio(self._max_dead_ratio)
        async for events in stream.noack_take(stage.size, within=stage.within_s):
            try:
                self._busy.add(stage.name)
                batch, done = await self._without_holes(stage, events)
                settled = await self._settle(stage, batch, ratio) if batch else []
                self._busy.discard(stage.name)
            except asyncio.CancelledError:
                raise
            except TooManyDeadLetters as error:
                _end_process(stage, error, EXIT_TOO_MANY_DEAD)
            except BaseException as error:  # noqa: BLE001 — Faust would ack the batch of an agent that raises
                _end_process(stage, error, EXIT_BUG)
            self._note_acked(stage.name, (*done, *settled))
            for message in (*done, *settled):
                await stream.ack(message.event)

    async def _without_holes(self, stage: Stage, events: Sequence[Any]) -> tuple[list[Received], list[Received]]:
        """The messages to work off, and those that are done; where some before them are missing, the partition is read again from there."""
        batch: list[Received] = []
        done: list[Received] = []
        for message in map(received, events):
            partition = self._partition(stage.name, message.topic, message.partition)
            verdict = partition.judge(message.offset)
            if verdict in (Verdict.WORK, Verdict.DONE):
                (batch if verdict is Verdict.WORK else done).append(message)
                continue
            self._app.consumer._unacked_messages.discard(message.event.message)  # it comes again as another message
            if verdict is Verdict.REWIND:
                place = {"stage": stage.name, "topic": message.topic, "partition": message.partition}
                _log.warning("hole_read_again", **place, expected=partition.expected, found=message.offset)
                await self._app.consumer.rewind(TP(message.topic, message.partition), partition.expected)
        return batch, done

    async def read_missing_ends(self) -> None:
        """Seek back where an idle stage has not come to the end of a partition since the last call.

        A hole at a partition's end shows by no later message. Call it every few seconds.
        """
        for place in self._app.consumer.assignment():
            for stage in (name for name in readers_of(place.topic) if name not in self._busy):
                key = (stage, place.topic, place.partition)
                expected = self._partition(*key).next_offset()
                end = self._app.consumer.highwater(place)
                if expected is None or end is None or end <= expected:
                    self._still.pop(key, None)
                elif self._still.get(key) == expected:
                    _log.warning(
                        "end_read_again", stage=stage, topic=place.topic, partition=place.partition, expected=expected, end=end
                    )
                    await self._app.consumer.rewind(place, expected)
                    del self._still[key]
                else:
                    self._still[key] = expected

    def settled(self, place: TP) -> int | None:
        """The offset up to which every stage that reads the partition has worked it off; None where one cannot tell."""
        offsets = [self._acked.get((stage, place.topic, place.partition)) for stage in readers_of(place.topic)]
        return None if None in offsets else min((offset for offset in offsets if offset is not None), default=None)

    def _note_acked(self, stage: str, messages: Sequence[Received]) -> None:
        for message in messages:
            key = (stage, message.topic, message.partition)
            self._acked[key] = max(self._acked.get(key, 0), message.offset + 1)

    def _partition(self, stage: str, topic: str, number: int) -> Continuity:
        key = (stage, topic, number)
        if key not in self._partitions:
            self._partitions[key] = Continuity(partial(self._settled, *key), once=self._fresh_broker)
        return self._partitions[key]

    def _settled(self, stage: str, topic: str, number: int) -> int | None:
        settled = self._ledger.settled(stage, topic, number)
        return -1 if settled is None and self._fresh_broker else settled

    async def _settle(self, stage: Stage, batch: Sequence[Received], ratio: DeadRatio) -> Sequence[Received]:
        """Work a batch off until its outcome is confirmed and counted; the messages that were."""
        started = time.monotonic()
        worked, batch = await self._work(stage, batch)
        ratio.count(len(batch) - len(worked.dead), len(worked.dead))
        letters = [dead_letter_of(message, reason, stage=stage.name, now_s=time.time()) for message, reason in worked.dead]
        await self._patiently(stage.name, lambda: self._send([*worked.outgoing, *letters]))
        if stage.table is not None:
            await self._patiently(stage.name, stage.table.confirm)
        counts = tally(batch, worked)
        await self._patiently(stage.name, lambda: asyncio.to_thread(self._ledger.settle, stage.name, counts))
        for topic, partition_dead in _count_dead(worked).items():
            metrics.RECORDS_DEAD.labels(topic=topic, stage=stage.name).inc(partition_dead)
        metrics.BATCH_SECONDS.labels(stage=stage.name).observe(time.monotonic() - started)
        return batch

    async def _work(self, stage: Stage, batch: Sequence[Received]) -> tuple[Worked, Sequence[Received]]:
        """What the stage makes of the batch, and of which of its messages: a record that makes it fail is found and becomes a dead letter.

        A batch also fails when a partition moves to another worker in its middle: what is no longer ours is left to its new owner.
        """
        try:
            return await self._patiently(stage.name, lambda: stage.work(batch)), batch
        except Exception as error:  # noqa: BLE001 — a bug met by one record must not stop the others
            _log.error("batch_failed", stage=stage.name, records=len(batch), error=repr(error), exc_info=error)
        outcome = Worked()
        worked_off = []
        for message in batch:
            if self._is_ours(message):
                outcome.add(await self._work_alone(stage, message))
                worked_off.append(message)
        return outcome, worked_off

    def _is_ours(self, message: Received) -> bool:
        """Whether the message's partition is still this worker's; where it moved on, its new owner works the message off."""
        return TP(message.topic, message.partition) in self._app.consumer.assignment()

    async def _work_alone(self, stage: Stage, message: Received) -> Worked:
        try:
            worked: Worked = await self._patiently(stage.name, lambda: stage.work([message]))
            return worked
        except Exception as error:  # noqa: BLE001
            return Worked(dead=[(message, f"unexpected {type(error).__name__}: {error}")])

    async def _patiently(self, stage: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """The call's result, tried again with jittered back-off of at most 10 s as long as it raises Retryable."""
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Retryable),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=10),
            before_sleep=lambda state: _note_retry(stage, state),
        )
        async for attempt in retrying:
            with attempt:
                return await call()
        raise AssertionError("unreachable: the retry has no end")

    async def _send(self, messages: Sequence[Outgoing]) -> None:
        """Send and wait until the broker has confirmed every message."""
        if not messages:
            return
        producer = await self._app.maybe_start_producer()
        try:
            futures = [
                await producer.send(m.topic, m.key, m.value, m.partition, None, list(m.headers) if m.headers else None)
                for m in messages
            ]
            await asyncio.gather(*futures)
        except (KafkaError, ProducerSendError) as error:
            raise Retryable(f"the broker did not take a message: {error}") from error


def tally(batch: Sequence[Received], worked: Worked) -> dict[tuple[str, int], dict[int, Outcome]]:
    """What became of each offset of a batch, by topic and partition."""
    outcomes: dict[tuple[str, int], dict[int, Outcome]] = {}
    for message in batch:
        outcomes.setdefault((message.topic, message.partition), {})[message.offset] = Outcome.PASSED
    for message in worked.absorbed:
        outcomes[message.topic, message.partition][message.offset] = Outcome.ABSORBED
    for message, _ in worked.dead:
        outcomes[message.topic, message.partition][message.offset] = Outcome.DEAD
    return outcomes


def _count_dead(worked: Worked) -> dict[str, int]:
    counts: dict[str, int] = {}
    for message, _ in worked.dead:
        counts[message.topic] = counts.get(message.topic, 0) + 1
    return counts


def _note_retry(stage: str, state: tenacity.RetryCallState) -> None:
    metrics.RETRIES.labels(stage=stage).inc()
    error = state.outcome.exception() if state.outcome else None
    _log.warning("retrying", stage=stage, attempt=state.attempt_number, error=str(error))


def _end_process(stage: Stage, error: BaseException, status: int) -> None:
    """End the process at once: Faust's own crash does not reliably exit, and its clean shutdown would commit what was not done."""
    _log.error("worker_ends", stage=stage.name, error=str(error), exc_info=error)
    os._exit(status)
