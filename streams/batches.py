"""The shell around every agent: take a batch, work it off, send, count, ack. Nothing is acked before its outcome is confirmed.

take ─► work ─► send and confirm, dead letters too ─► save table changes ─► ledger ─► settled, to be committed
         │ Retryable: back off with jitter, for as long as it takes; the offset stays uncommitted
         │ anything else: once more record by record; a record that fails alone is a dead letter
         └ TooManyDeadLetters, or a bug in the shell itself: the process ends, its supervisor restarts it

When partitions move, what is in hand is finished before they are given away; what a stage holds is forgotten and read again.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any

import tenacity
from faust.types import TP

from core import log, metrics
from core.errors import Retryable
from streams.continuity import Verdict
from streams.dead_letters import DeadRatio, TooManyDeadLetters, dead_letter_of
from streams.ledger import ABSORBED, DEAD, PASSED, Ledger, Tally
from streams.messages import Place, Received, Worked, received
from streams.places import Places
from streams.sender import Sender
from streams.tables import NotOurs, StateTable
from streams.take import Overflow, take

EXIT_TOO_MANY_DEAD = 3  # a supervisor does not restart this one: a person must look
EXIT_BUG = 70  # EX_SOFTWARE
EXIT_TABLE_LOST = 75  # EX_TEMPFAIL
_RUNS = 16  # of messages that an agent takes at once
_BATCH_BYTES = 4_000_000  # in a batch; a load of 2,500 payments a second fills one in a second
_MOVE_WITHIN_S = 6.0  # for what is in hand when partitions move; the group waits for us at most 20 s
_NOTICED_WITHIN_S = 60.0  # that another worker has our partitions: a session lasts 10 s, the group's wait 20 s
_POLL_S = 0.1
_AWAY_S = 1.0  # a server that does not answer for so long is away, and not only busy

Work = Callable[[Sequence[Received]], Awaitable[Worked]]
_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the pipeline: its name in the ledger, how it works a batch off, and how many messages a batch has at most.

    `settled` is told what the ledger has counted, `forget` that all partitions are read again from what is settled. A stage with them
    holds messages back; it finds itself which of a batch's records fails, so that a failure of its work is a bug.
    """

    name: str
    work: Work
    size: int
    within_s: float = 0.0  # how long it waits for more
    most_bytes: int = _BATCH_BYTES
    table: StateTable | None = None  # written by `work`: its changes are saved before the batch is settled
    settled: Callable[[Mapping[Place, Mapping[int, Tally]]], None] | None = None
    forget: Callable[[], None] | None = None
    others_go_on: bool = False  # what reads the same topics, while this one waits for a server; it reads again what it has missed


class BatchRunner:
    """Runs stages for one Faust app."""

    def __init__(self, app: Any, ledger: Ledger, sender: Sender, *, max_dead_ratio: float, fresh_broker: bool = False) -> None:
        self._app = app
        self.places = Places(app, ledger, self._is_current, fresh_broker=fresh_broker)
        self._ledger = ledger
        self._sender = sender
        self._max_dead_ratio = max_dead_ratio
        self._stages: list[Stage] = []
        self._busy: set[str] = set()
        self._overflows: dict[str, Overflow] = {}  # of stages that let others go on
        self._owed: dict[tuple[str, str], int] = {}  # by stage and outcome, records that were counted and taken back
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._moving = False  # from when partitions are given away until they are assigned, nothing is begun or saved
        self.steps = 0  # batches begun, tried again and settled: it stands still where a worker hangs

    async def run(self, stage: Stage, stream: Any) -> None:
        """Work a stream off for ever; an error that must not pass ends the process."""
        ratio = DeadRatio(self._max_dead_ratio)
        self._stages.append(stage)
        overflow, missed = Overflow(), 0
        if stage.others_go_on:
            self._overflows[stage.name] = overflow
        async for events in take(stream, _RUNS, within_s=stage.within_s, overflow=overflow):
            if overflow.passed != missed:
                missed = overflow.passed
                self.places.note_missed(stage.name)
            try:
                for part in self._parts(stage, events):
                    self._busy.add(stage.name)
                    self._quiet.clear()
                    self.steps += 1
                    batch = await self._without_holes(stage, part)
                    if batch:
                        await self._settle(stage, batch, ratio)
                    self._busy.discard(stage.name)
                    if not self._busy:
                        self._quiet.set()
            except asyncio.CancelledError:
                raise
            except TooManyDeadLetters as error:
                _end_process(stage, error, EXIT_TOO_MANY_DEAD)
            except BaseException as error:  # noqa: BLE001 — Faust would ack the batch of an agent that raises
                _end_process(stage, error, EXIT_BUG)
            for event in events:  # for Faust's own book-keeping: what is committed is what `worked_to` says
                await stream.ack(event)

    def _parts(self, stage: Stage, events: Sequence[Any]) -> Iterator[Sequence[Received]]:
        """The events' messages in batches; those from before partitions moved are left out, since they come again."""
        generation = self._app.consumer_generation_id
        messages: list[Received] = []
        for event in events:
            if event.message.generation_id == generation:
                messages += received(event)
        for batch in _batches(messages, stage.size, stage.most_bytes):
            if self._is_current(generation):
                yield batch

    def _is_current(self, generation: int) -> bool:
        """Whether the partitions of a generation of the group are still this worker's."""
        return generation == self._app.consumer_generation_id and not self._moving

    async def _without_holes(self, stage: Stage, messages: Sequence[Received]) -> list[Received]:
        """The messages to work off; where some before them are missing, the partition is read again from there.

        None of them where partitions move meanwhile: they come again to whoever has them then.
        """
        batch: list[Received] = []
        generation = self._app.consumer_generation_id
        for run in _runs(messages):
            if self.places.follow(stage.name, run):
                batch += run
                continue
            for message in run:
                try:
                    verdict = await self.places.judge(stage.name, message)
                except Retryable:  # the ledger or the broker is away
                    verdict = await self._patiently(stage.name, partial(self.places.judge, stage.name, message))
                if not self._is_current(generation):
                    return []
                self.places.note_arrival(stage.name, message)
                if verdict is Verdict.WORK:
                    batch.append(message)
                elif verdict is Verdict.REWIND:
                    await self.places.read_again(stage.name, message)
                    if not self._is_current(generation):
                        return []
        return batch

    async def give_away(self, _app: Any = None, _revoked: Any = None, **_: Any) -> None:
        """Finish what is in hand, then forget all that is known of partitions: called before they may go to other workers."""
        try:
            await asyncio.wait_for(self._quiet.wait(), _MOVE_WITHIN_S)
        except TimeoutError:
            _log.warning("moved_while_busy", stages=sorted(self._busy))
        self._moving = True
        self.places.forget()
        for stage in self._stages:
            if stage.table is not None:
                stage.table.let_go()
            if stage.forget is not None:
                stage.forget()

    async def take_over(self, _app: Any = None, _assigned: Any = None, **_: Any) -> None:
        """Go on with the partitions that were assigned."""
        self._moving = False

    async def read_missing_ends(self) -> None:
        """Seek back where an idle stage has not come to the end of a partition since the last call; to be called every few seconds."""
        await self.places.read_missing_ends(self._busy)

    async def _settle(self, stage: Stage, batch: Sequence[Received], ratio: DeadRatio) -> None:
        """Work a batch off until its outcome is confirmed and counted.

        Where its partitions have moved meanwhile nothing is sent or saved: their new owner reads it again.
        """
        started, generation = time.monotonic(), self._app.consumer_generation_id
        worked, batch = await self._work(stage, batch)
        if not self._is_current(generation):
            _leave(stage, batch)
            return
        tallies = tally(batch, worked) if worked.settled is None else worked.settled
        ratio.count(sum(each.passed + each.absorbed for found in tallies.values() for each in found.values()), len(worked.dead))
        letters = [dead_letter_of(message, reason, stage=stage.name, now_s=time.time()) for message, reason in worked.dead]
        await self._patiently(stage.name, lambda: self._sender.send([*worked.outgoing, *letters]))
        if not self._is_current(generation):
            _leave(stage, batch)
            return
        if stage.table is not None:
            try:
                await self._patiently(stage.name, stage.table.save)
            except NotOurs as error:
                await self._until_moved(stage, generation, error)
                _leave(stage, batch)
                return
        await self._patiently(stage.name, lambda: asyncio.to_thread(self._ledger.settle, stage.name, tallies))
        if stage.settled is not None:
            stage.settled(tallies)
        self.steps += 1
        self.places.note_settled(stage.name, tallies)
        self._count(stage.name, worked, tallies)
        metrics.BATCH_SECONDS.labels(stage=stage.name).observe(time.monotonic() - started)

    async def _until_moved(self, stage: Stage, generation: int, error: NotOurs) -> None:
        """Wait, busy with nothing, until this worker is told what its table says already; it ends where it is not told."""
        self._busy.discard(stage.name)
        if not self._busy:
            self._quiet.set()
        until = time.monotonic() + _NOTICED_WITHIN_S
        while self._is_current(generation):
            if time.monotonic() > until:
                _end_process(stage, error, EXIT_TABLE_LOST)
            await asyncio.sleep(_POLL_S)

    async def _work(self, stage: Stage, batch: Sequence[Received]) -> tuple[Worked, Sequence[Received]]:
        """What the stage makes of the batch, and of which of its messages: a record that makes it fail is found and becomes a dead letter.

        A batch also fails when a partition moves to another worker in its middle: what is no longer ours is left to its new owner.
        """
        try:
            return await self._patiently(stage.name, lambda: stage.work(batch)), batch
        except Exception as error:
            if stage.forget is not None:
                raise
            _log.error("batch_failed", stage=stage.name, records=len(batch), error=repr(error), exc_info=error)
        _discard(stage)
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
        before = None if stage.table is None else stage.table.changes()
        try:
            worked: Worked = await self._patiently(stage.name, lambda: stage.work([message]))
            return worked
        except Exception as error:  # noqa: BLE001
            if stage.table is not None and before is not None:
                stage.table.give_up(before)
            return Worked(dead=[(message, f"unexpected {type(error).__name__}: {error}")])

    async def _patiently(self, stage: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """The call's result, tried again with jittered back-off of at most 10 s as long as it raises Retryable."""
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Retryable),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=10),
            before_sleep=lambda state: self._note_retry(stage, state),
        )
        try:
            async for attempt in retrying:
                with attempt:
                    return await call()
        finally:
            if stage in self._overflows:
                self._overflows[stage].end()
        raise AssertionError("unreachable: the retry has no end")

    def _count(self, stage: str, worked: Worked, tallies: Mapping[Place, Mapping[int, Tally]]) -> None:
        """Export what became of a batch's records.

        What a stage takes back (a label that had waited is a dead letter after all) is taken off the next ones: counters only rise.
        """
        for message, _ in worked.dead:
            metrics.RECORDS_DEAD.labels(topic=message.topic, stage=stage).inc()
        counted = [each for found in tallies.values() for each in found.values()]
        for outcome in Tally._fields:
            grown = sum(getattr(each, outcome) for each in counted) - self._owed.pop((stage, outcome), 0)
            if grown < 0:
                self._owed[stage, outcome] = -grown
            metrics.RECORDS.labels(stage=stage, outcome=outcome).inc(max(grown, 0))

    def _note_retry(self, stage: str, state: tenacity.RetryCallState) -> None:
        self.steps += 1
        metrics.RETRIES.labels(stage=stage).inc()
        error = state.outcome.exception() if state.outcome else None
        if stage in self._overflows and (state.seconds_since_start or 0.0) > _AWAY_S:
            self._overflows[stage].begin()
        _log.warning("retrying", stage=stage, attempt=state.attempt_number, error=str(error))


def _batches(messages: Sequence[Received], size: int, most_bytes: int) -> Iterator[Sequence[Received]]:
    """The messages in batches of at most `size`, and of `most_bytes` or one message."""
    begin = total = 0
    for place, message in enumerate(messages):
        if place - begin == size or (total + len(message.value) > most_bytes and place > begin):
            yield messages[begin:place]
            begin, total = place, 0
        total += len(message.value)
    if begin < len(messages):
        yield messages[begin:]


def _runs(messages: Sequence[Received]) -> Iterator[Sequence[Received]]:
    """The messages in runs of one partition."""
    for _, run in groupby(messages, attrgetter("topic", "partition")):
        yield list(run)


def tally(batch: Sequence[Received], worked: Worked) -> dict[Place, dict[int, Tally]]:
    """What became of each offset of a batch, by topic and partition."""
    tallies: dict[Place, dict[int, Tally]] = {}
    for message in batch:
        tallies.setdefault((message.topic, message.partition), {})[message.offset] = PASSED
    for message in worked.absorbed:
        tallies[message.topic, message.partition][message.offset] = ABSORBED
    for message, _ in worked.dead:
        tallies[message.topic, message.partition][message.offset] = DEAD
    return tallies


def _leave(stage: Stage, batch: Sequence[Received]) -> None:
    """Leave a batch to its partitions' new owner."""
    _log.warning("moved_in_a_batch", stage=stage.name, records=len(batch))
    _discard(stage)


def _discard(stage: Stage) -> None:
    """Give up what the stage's work has changed in its table and not saved."""
    if stage.table is not None:
        stage.table.give_up({})
    if stage.forget is not None:
        stage.forget()


def _end_process(stage: Stage, error: BaseException, status: int) -> None:
    """End the process at once: Faust's own crash does not reliably exit, and its clean shutdown would commit what was not done."""
    _log.error("worker_ends", stage=stage.name, error=str(error), exc_info=error)
    os._exit(status)
