"""Servers and receivers that are killed or gone in the middle of a load."""

import pytest
import sqlalchemy as sa

from alerts.tables import deliveries
from commands import wiring
from servers.postgres import PostgresServer
from servers.process import free_port
from tests.acceptance.product import Receiver, open_receiver
from tests.live.faults.conftest import Tell
from tests.live.faults.load import under_load
from tests.live.faults.pipeline import Pipeline, away, outcome
from tests.live.kafka_server import KafkaServer

pytestmark = pytest.mark.live


def test_the_broker_is_killed(pipeline: Pipeline, kafka: KafkaServer, source: str, tell: Tell) -> None:
    pipeline.only("a")
    with under_load(pipeline.settings, source) as load:
        pipeline.wait_for_progress()
        before, pid = pipeline.lines("a", "aiokafka"), kafka.pid
        with away(kafka, killed=True):
            pipeline.wait(lambda: pipeline.lines("a", "aiokafka") > before, "the worker notices")
        assert kafka.pid != pid
        errors = pipeline.lines("a", "aiokafka") - before
        pipeline.wait_for_progress()
    pipeline.wait_until_done()
    pipeline.wait_for_alerts(load.alerting())
    tell(
        "broker, kill -9, restart", outcome(load, pipeline.documents(source)), f"{errors} connection errors logged by the worker"
    )


def test_postgresql_is_killed(pipeline: Pipeline, postgres: PostgresServer, source: str, tell: Tell) -> None:
    pipeline.only("a")
    with under_load(pipeline.settings, source) as load:
        pipeline.wait_for_progress()
        tried, restarts = pipeline.retries(), pipeline.restarts
        with away(postgres, killed=True):
            pipeline.wait(lambda: pipeline.retries() > tried + 6, "stages try again to count")
        pipeline.wait_for_progress()
        assert pipeline.restarts == restarts, "the worker waits, and does not end"
    pipeline.wait_until_done()
    pipeline.wait_for_alerts(load.alerting())
    control = f"{pipeline.retries() - tried} batches tried again"
    tell("PostgreSQL, kill -9, restart", outcome(load, pipeline.documents(source)), control)


def test_the_receiver_is_down(pipeline: Pipeline, source: str, tell: Tell) -> None:
    """It refuses connections, then answers 500, then takes all. Waits between tries, 5 s and then minutes, are pulled together."""
    port = free_port()
    receiver = Receiver(status=500)
    before = _tried_again(pipeline)
    pipeline.only(source, webhook_url=f"http://127.0.0.1:{port}/hook")
    with under_load(pipeline.settings, source) as load:
        pipeline.wait(lambda: len(pipeline.log(source, "delivery_retried")) >= 5, "deliveries are refused")
        with open_receiver(receiver, port=port):
            pipeline.wait(lambda: receiver.turned_away >= 5, "deliveries are answered with 500")
            assert receiver.got == {}
            receiver.status = 204
            pipeline.wait(lambda: len(receiver.got) >= 5, "deliveries are taken")
            load.stop()
            pipeline.wait_until_done()
            pipeline.wait_for_alerts(load.alerting(), receiver)
    again = _tried_again(pipeline) - before
    assert again >= 10
    control = f"{again} of {len(receiver.got)} messages needed a second try or more: without one, they were lost"
    tell("receiver down, then 500, then up", outcome(load, pipeline.documents(source)), control)


def _tried_again(pipeline: Pipeline) -> int:
    """How many messages were delivered, but not at the first try."""
    store = wiring.open_alerts(pipeline.settings)
    try:
        with store.engine.connect() as connection:
            where = sa.and_(deliveries.c.status == "delivered", deliveries.c.attempts > 1)
            return connection.execute(sa.select(sa.func.count()).where(where)).scalar_one()
    finally:
        store.engine.dispose()
