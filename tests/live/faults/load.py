"""Numbered news items, sent at a steady rate from a thread of their own for as long as a fault lasts."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.clock import rfc3339, utc_now
from core.errors import Retryable
from core.ids import content_id
from core.settings import Settings
from core.topics import NEWS_RAW
from streams.kafka_client import EventProducer
from streams.messages import Outgoing

ALERTING = 20  # one event in so many is negative, and the rule of these tests warns of each
_TICK_S = 0.1

Make = Callable[[str, int], bytes]


def item(source: str, number: int, **fields: str) -> bytes:
    """A valid news item of now; `bench.fixed_cost` takes a title with an odd number of characters for negative news."""
    title = f"Event {number:06d} of the load" + "!" * (number % ALERTING == 0)
    published = rfc3339(utc_now())
    return json.dumps({"id": str(number), "source": source, "published": published, "title": title} | fields).encode()


class Load:
    """Sends the items 0, 1, 2… of one source; `sent` of them are confirmed by the broker."""

    def __init__(self, settings: Settings, source: str, *, rate_s: int, make: Make) -> None:
        self.source = source
        self.sent = 0
        self._settings = settings
        self._chunk = max(1, int(rate_s * _TICK_S))
        self._make = make
        self._stop = threading.Event()
        self._more = threading.Condition()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def wait_for(self, count: int, *, seconds: float = 600.0) -> None:
        """Return once so many are sent."""
        with self._more:
            assert self._more.wait_for(lambda: self.sent >= count or self._error is not None, seconds), f"sent only {self.sent}"
        self._raise()

    def stop(self) -> None:
        """Send no more; what was begun is confirmed."""
        self._stop.set()
        self._thread.join()
        self._raise()

    def id_of(self, number: int) -> str:
        """The id of the event that the worker makes of an item."""
        return content_id("news", self.source, str(number))

    def alerting(self) -> set[str]:
        """The ids of the events that the rule warns of."""
        return {self.id_of(number) for number in range(0, self.sent, ALERTING)}

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with EventProducer(self._settings) as producer:
                while not self._stop.is_set():
                    begun = time.monotonic()
                    self._send(producer)
                    self._stop.wait(max(0.0, _TICK_S - (time.monotonic() - begun)))
        except BaseException as error:  # noqa: BLE001 — raised again in the test's own thread
            self._error = error
            with self._more:
                self._more.notify_all()

    def _send(self, producer: EventProducer) -> None:
        """Send the next items, again and again until the broker has them: a repeated item is the same event."""
        numbers = range(self.sent, self.sent + self._chunk)
        messages = [Outgoing(NEWS_RAW.name, self._make(self.source, number), key=b"%d" % number) for number in numbers]
        confirmed = False
        while not confirmed:
            try:
                for message in messages:
                    producer.send(message)
                producer.flush()
                confirmed = True
            except Retryable:
                self._stop.wait(_TICK_S)
        with self._more:
            self.sent += self._chunk
            self._more.notify_all()


@contextmanager
def under_load(settings: Settings, source: str, *, rate_s: int = 50, make: Make = item) -> Iterator[Load]:
    """A load that is sent while the block runs."""
    load = Load(settings, source, rate_s=rate_s, make=make)
    load.start()
    try:
        yield load
    finally:
        load.stop()
