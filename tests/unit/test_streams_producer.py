"""What is sent from outside the worker is confirmed, or the sender is told."""

import kafka
import pytest
from kafka.errors import KafkaTimeoutError
from kafka.future import Future

from core.errors import Retryable
from core.settings import Settings
from streams.kafka_client import EventProducer
from streams.messages import Outgoing


class Expiring:
    """kafka-python's producer, whose messages expire before the broker has them."""

    closed = False

    def __init__(self, **_: object) -> None:
        self._sent: list[Future] = []

    def send(self, _topic: str, **_: object) -> Future:
        """Take a message."""
        self._sent.append(Future())
        return self._sent[-1]

    def flush(self, timeout: float) -> None:
        """All messages have failed by now, of which kafka-python tells their futures alone."""
        for sent in self._sent:
            sent.failure(KafkaTimeoutError("expired"))

    def close(self, timeout: float) -> None:
        """Note it."""
        Expiring.closed = True


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> EventProducer:
    """A producer whose broker takes nothing."""
    monkeypatch.setattr(kafka, "KafkaProducer", Expiring)
    monkeypatch.setattr(Expiring, "closed", False)
    return EventProducer(Settings())


def test_who_leaves_the_block_is_told_that_a_message_was_not_taken(producer: EventProducer) -> None:
    with pytest.raises(Retryable, match="the broker refused a message"), producer:
        producer.send(Outgoing("t", b"x"))
    assert Expiring.closed


def test_an_error_of_the_block_is_not_hidden_by_one_of_the_broker(producer: EventProducer) -> None:
    producer.send(Outgoing("t", b"x"))
    with pytest.raises(ZeroDivisionError), producer:
        1 / 0  # noqa: B018
    assert Expiring.closed
