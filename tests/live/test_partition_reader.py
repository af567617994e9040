"""Partitions of a real Kafka, with the offsets that its transactions take and no message has."""

import confluent_kafka
import pytest

from core.settings import Settings
from streams.kafka_client import EventProducer, Offsets
from streams.messages import Outgoing
from streams.partition_reader import PartitionReader
from tests.live.kafka_server import KafkaServer

pytestmark = pytest.mark.live
TOPIC = "news.raw"


def test_offsets_without_a_message_end_no_reading() -> None:
    with KafkaServer() as broker:
        settings = Settings(broker=broker.address, partitions=1)
        Offsets(settings).create()
        with EventProducer(settings) as producer:
            producer.send_confirmed(Outgoing(TOPIC, b"first", partition=0))
        source = confluent_kafka.Producer({"bootstrap.servers": broker.address, "transactional.id": "source", "log_level": 0})
        source.init_transactions()
        for _ in range(2):
            source.begin_transaction()
            source.produce(TOPIC, b"in a transaction", partition=0)
            source.commit_transaction()
        with PartitionReader(settings) as reader:
            assert reader.bounds([TOPIC, "nothing"])[TOPIC, 0] == (0, 5)
            assert [message.offset for message in reader.messages((TOPIC, 0), 0, 5)] == [0, 1, 3]
            assert [message.value for message in reader.messages((TOPIC, 0), 2, 9)] == [b"in a transaction"]
            assert list(reader.messages((TOPIC, 0), 4, 5)) == []
            assert list(reader.messages(("nothing", 0), 0, 5)) == []
