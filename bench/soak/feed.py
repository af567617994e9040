"""What the soak sends: texts of the samples under ids of their own, generated payments with their labels, and some poison."""

import itertools
import json
import math
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from commands import wiring
from commands.generated import Stream
from core.clock import rfc3339, utc_now
from core.errors import Retryable
from core.ids import content_id
from core.settings import Settings
from core.topics import NEWS_RAW, SOCIAL_RAW, TRANSACTIONS_RAW
from models.training.fraud.generator import World
from streams.kafka_client import EventProducer
from streams.messages import Outgoing

_FILES = {"news": ("news-sentfin.jsonl", "news-hotlist-zh.jsonl"), "social": ("social-stocknet.jsonl",)}
_TICK_S = 0.25
_AT_ONCE = 500  # messages to confirm before the next: after an outage many are due
_POISON = 0.01
_TOPICS = (NEWS_RAW.name, SOCIAL_RAW.name, TRANSACTIONS_RAW.name)
_A_DAY_EACH = 1.9  # payments of a customer: a rate of 0 to 4, less those whose hour falls outside of the day
_MOST_DAYS = 120
_LABEL_DAYS = 3.0  # at the default rates some three minutes of the clock
_BURSTS = 1.6  # how much more the bursts may need


@dataclass(frozen=True, slots=True)
class Rates:
    """Events a second."""

    texts: float
    payments: float


@dataclass(frozen=True, slots=True)
class Item:
    """A message, and what must become of it: `id` is its id in the index, None for a label and for poison."""

    message: Outgoing
    id: str | None = None
    poison: bool = False


@dataclass(slots=True)
class Sent:
    """What was sent and confirmed: ids that must be in the index once, and bytes that must be dead letters.

    `again` counts messages that were sent once more since the broker had not confirmed them; the topics may hold those twice.
    """

    ids: set[str] = field(default_factory=set)
    poison: set[bytes] = field(default_factory=set)
    labels: int = 0
    again: int = 0

    def add(self, items: list[Item]) -> None:
        """Take in what was confirmed."""
        for item in items:
            if item.poison:
                self.poison.add(item.message.value)
            elif item.id is not None:
                self.ids.add(item.id)
            else:
                self.labels += 1

    @property
    def events(self) -> int:
        """Texts and payments, poison too."""
        return len(self.ids) + len(self.poison)


class Feed:
    """Sends at steady rates from a thread of its own; what a broker that is away has not confirmed is sent again until it has."""

    def __init__(self, settings: Settings, rates: Rates, *, seconds: float, seed: int) -> None:
        self.sent = Sent()
        self.factor = 1.0  # of the rates; a burst raises it
        self._settings = settings
        self._rates = rates
        self._random = random.Random(seed)
        self._texts = texts(self._random)
        self._payments = payments(world(rates.payments * seconds * _BURSTS, seed))
        self._poison = poison(self._random)
        self._stop = threading.Event()
        self._abort = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more than what is in hand; `ended` tells when that is confirmed."""
        self._stop.set()

    def ended(self) -> bool:
        """Whether all that was begun is confirmed and nothing more comes; raises what has ended it before its time."""
        if self._failure is not None:
            raise self._failure
        return not self._thread.is_alive()

    def abort(self) -> None:
        """Stop, and leave unconfirmed what is in hand; returns when no more is sent."""
        self._abort.set()
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            with EventProducer(self._settings) as producer:
                owed, last_s = [0.0, 0.0], time.monotonic()
                while not self._stop.wait(_TICK_S):
                    now_s = time.monotonic()
                    passed_s, last_s = (now_s - last_s) * self.factor, now_s
                    owed = [owed[0] + passed_s * self._rates.texts, owed[1] + passed_s * self._rates.payments]
                    counts = [int(each) for each in owed]
                    owed = [each - count for each, count in zip(owed, counts, strict=True)]
                    items = self._taken(*counts)
                    for at in range(0, len(items), _AT_ONCE):
                        self._send(producer, items[at : at + _AT_ONCE])
        except BaseException as error:  # noqa: BLE001 — told to the main thread, which ends the soak
            self._failure = error

    def _taken(self, text_count: int, payment_count: int) -> list[Item]:
        """The next texts and payments, the labels that fall between these, and the poison that falls to them."""
        items = list(itertools.islice(self._texts, text_count))
        while payment_count:
            item = next(self._payments)
            items.append(item)
            payment_count -= item.id is not None
        ill = sum(self._random.random() < _POISON for item in items if item.id is not None)
        return items + list(itertools.islice(self._poison, ill))

    def _send(self, producer: EventProducer, items: list[Item]) -> None:
        """Send until all are confirmed, those of a try that failed once more."""
        while not self._abort.is_set():
            try:
                for item in items:
                    producer.send(item.message)
                producer.flush()
            except Retryable:
                self.sent.again += len(items)
                self._abort.wait(1.0)
            else:
                self.sent.add(items)
                return


def texts(source: random.Random) -> Iterator[Item]:
    """The samples' texts over and over in random order, published now, under new ids."""
    rows = [
        (kind, json.loads(line))
        for kind, names in _FILES.items()
        for name in names
        for line in (wiring.SAMPLES / name).read_bytes().splitlines()
    ]
    for number in itertools.count():
        kind, row = source.choice(rows)
        name = f"soak-{number}"
        record = {**row, "id": name, "published": rfc3339(utc_now())}
        topic = NEWS_RAW if kind == "news" else SOCIAL_RAW
        yield Item(Outgoing(topic.name, _json(record), key=name.encode()), content_id(kind, row["source"], name))


def world(count: float, seed: int) -> World:
    """A world of at least `count` payments, 1,000 customers or as many as make them within 120 days.

    >>> world(10_000, 1).days, world(1_000_000, 1).days
    (8, 122)
    """
    customers = max(1_000, math.ceil(count / _A_DAY_EACH / _MOST_DAYS))
    days = math.ceil(count / _A_DAY_EACH / customers) + 2
    return World(customers=customers, terminals=2 * customers, days=days, seed=seed)


def payments(made: World) -> Iterator[Item]:
    """The world's payments and labels by event time."""
    for record in Stream(made, None, _LABEL_DAYS).records():
        yield Item(record.message(), json.loads(record.raw)["id"] if record.kind == "transactions" else None)


def poison(source: random.Random) -> Iterator[Item]:
    """Records that no stage can take, each unlike any other."""
    now = rfc3339(utc_now())
    for number in itertools.count():
        name = f"poison-{number}"
        values = (
            b"{broken " + name.encode(),
            b'"\xff' + name.encode() + b'"',
            _json([name]),
            _json({"id": name}),
            _json({"id": name, "published": "2999-01-01T00:00:00Z", "time": now, "source": "soak", "title": "T", "text": "T"}),
            _json({"id": name, "published": now, "time": now, "source": 7, "title": 7, "text": 7, "amount": "much"}),
        )
        yield Item(Outgoing(source.choice(_TOPICS), source.choice(values), key=name.encode()), poison=True)


def _json(record: Any) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
