"""A Faust transport that commits what was settled, and no more: mends of faust-streaming 0.15.3 as subclasses of its aiokafka driver.

It also hands messages over in runs: what was fetched of a partition in one go is one event of Faust, `event.message.run`. An event costs
Faust 63 µs (queues, sensors, acks, tasks), and as much for each further agent that reads the topic; a message of a run costs 1.
"""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from typing import Any

from aiokafka.errors import IllegalStateError
from faust.transport.consumer import CONSUMER_FETCHING
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from faust.types.tuples import ack_lock

_POLL_S = 1.0
_RUN = 250  # messages; an agent's queue holds 32 runs


class Run(ConsumerMessage):
    """A run of a partition's messages as one message of Faust; its offset is that of the last."""

    run: Sequence[Any]


class Consumer(driver.Consumer):
    """Faust's consumer, which commits only what was worked off, and hands over messages in runs."""

    _n_acked: int
    waits_for_room = False  # whether messages lie here that an agent's full queue holds up, and with it all that come behind them
    _unsought = False  # whether the streams' partitions were resumed, and their committed offsets are still to be sought

    def _new_consumer_thread(self) -> Any:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit: what every stage that reads the partition has settled without a hole.

        Faust computes it from a list of acks that it fills with whatever it skipped itself (`streams/continuity.py`), so that it commits
        past messages that nobody worked off; and with an offset twice, after which commits crawl by one a tick.
        """
        with ack_lock:
            self._acked[tp].clear()
            self._acked_index[tp].clear()
        offset: int | None = self.transport.settled(tp)
        return offset

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Resume fetching. After a recovery of tables Faust does so before it seeks: what it fetches between would come twice."""
        self._unsought = True
        super().resume_partitions(tps)

    def resume_flow(self) -> None:
        """Hand messages to agents again: Faust's last step, whether or not it could seek."""
        self._unsought = False
        super().resume_flow()

    async def rewind(self, tp: TP, offset: int) -> None:
        """Read the partition again from `offset`.

        In the thread that owns the aiokafka consumer: Faust's own `seek` calls it from another, while it hands out what it fetched.
        """
        await self._thread.seek_wait({tp: offset})
        self._read_offset[tp] = offset or None

    async def _drain_messages(self, fetcher: Any) -> None:
        """Hand fetched messages to their agents until the consumer or the fetcher stops."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                self.diag.set_flag(CONSUMER_FETCHING)
                await asyncio.sleep(0)
                for tp, message in await self._fetched():
                    await asyncio.sleep(0)
                    if not self.flow_active or message.generation_id != self.app.consumer_generation_id:
                        break
                    await self._take(tp, message)
                self.diag.unset_flag(CONSUMER_FETCHING)
        except (asyncio.CancelledError, *self.consumer_stopped_errors):
            if not self.transport.app.should_stop:
                raise
        finally:
            self.diag.unset_flag(CONSUMER_FETCHING)

    async def _fetched(self) -> list[tuple[TP, Any]]:
        """What was fetched, by partition in turn; what must not be handed over now is fetched again.

        So it is where partitions move meanwhile, or their committed offsets are still to be sought.
        """
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # the generation is that of what is fetched, and not that of before the wait
        generation, unsought = self.app.consumer_generation_id, self._unsought
        records, active = await self._wait_next_records(_POLL_S)
        if records is None or self.should_stop:
            return []
        unsought = unsought or self._unsought  # a poll that began before streams were resumed may bring theirs
        if unsought or not self.flow_active or self.app.consumer_generation_id != generation:
            await self._thread.fetch_again(
                {tp: range(messages[0].offset, messages[-1].offset + 1) for tp, messages in records.items()}
            )
            return []
        return [
            (tp, self._run(tp, messages[start : start + _RUN]))
            for tp, messages in records.items()
            if active is None or tp in active or tp in self._buffered_partitions
            for start in range(0, len(messages), _RUN)
        ]

    def _run(self, tp: TP, messages: Sequence[Any]) -> Run:
        last = messages[-1]
        run = Run(
            tp.topic,
            tp.partition,
            last.offset,
            (last.timestamp or 0) / 1000.0,
            last.timestamp_type,
            None,
            None,
            b"",
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        run.run = messages
        return run

    async def _take(self, tp: TP, message: Any) -> None:
        """Deliver one message, whatever came before it: a stage itself holds what it gets against what it has settled."""
        if self._commit_every is not None and self._n_acked >= self._commit_every:
            self._n_acked = 0
            await self.commit()
        if await self._deliver(message):
            self._read_offset[tp] = message.offset

    async def _deliver(self, message: Any) -> bool:
        """Run the callback, and race it with the suspension of the flow only where it blocks; False if the flow was suspended.

        Faust races every message, which makes four tasks for each: 150 µs a message instead of 63.
        """
        delivery = self.callback(message)
        try:
            waits_for = delivery.send(None)
        except StopIteration:
            return True
        self.waits_for_room = True
        try:
            await self.wait_first(_rest(delivery, waits_for), self.suspend_flow.wait())
        finally:
            self.waits_for_room = False
        return not self.suspend_flow.is_set()


async def _rest(coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
    """What is left of a coroutine that was run up to its first wait."""
    await _resumed(coroutine, waits_for)


@types.coroutine
def _resumed(coroutine: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    try:
        yield waits_for
    except BaseException as error:
        coroutine.throw(error)
        raise
    yield from coroutine


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread of the aiokafka consumer, with a fetch that waits as long as the transport says."""

    async def fetch_again(self, spans: Mapping[TP, range]) -> None:
        """Go back to where what was fetched of partitions begins, unless somebody has sought since: it ends where the next fetch begins."""
        if spans:
            await self.call_thread(self._fetch_again, spans)

    async def _fetch_again(self, spans: Mapping[TP, range]) -> None:
        consumer = self._ensure_consumer()
        for tp, span in spans.items():
            try:
                if await asyncio.wait_for(consumer.position(tp), _POLL_S) == span.stop:
                    consumer.seek(tp, span.start)
            except (IllegalStateError, TimeoutError):  # it has moved, or is sought anew
                continue

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = transport.fetch_wait_ms
        return consumer


class Transport(driver.Transport):
    """Faust's aiokafka transport with the mended consumer.

    `fetch_wait_ms` bounds a fetch that finds nothing new. Kafka answers as soon as there is something; the embedded broker sits the
    wait out, and Faust's fixed 1,500 ms then stall every stage of the pipeline. `settled` tells how far a partition may be committed.
    """

    Consumer: Any = Consumer

    def __init__(self, *args: Any, fetch_wait_ms: int, settled: Callable[[TP], int | None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fetch_wait_ms = fetch_wait_ms
        self.settled = settled
