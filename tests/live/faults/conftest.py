"""One pipeline on real servers for all faults, and what a test tells of its fault for the table."""

import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import astuple

import pytest

from servers.elasticsearch import ElasticsearchServer
from servers.postgres import PostgresServer
from tests.acceptance.product import Receiver, open_receiver
from tests.live.elastic_server import fresh_prefix
from tests.live.faults.pipeline import Outcome, Pipeline
from tests.live.faults.table import PROPERTY, Row
from tests.live.kafka_server import KafkaServer

RUNS = int(os.environ.get("GROUNDSWELL_TEST_FAULT_RUNS", "1"))  # of each fault: more for evidence

_LINES = 60  # of the workers' logs, where a test fails

Tell = Callable[..., None]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A fault that does harm tells what the workers saw last."""
    report = yield
    pipeline = getattr(item, "funcargs", {}).get("pipeline")
    if report.failed and isinstance(pipeline, Pipeline):
        report.sections.append(("What the workers said last", pipeline.said_last(_LINES)))
    return report


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each fault as often as asked for."""
    if "run" in metafunc.fixturenames:
        metafunc.parametrize("run", range(RUNS))


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaServer]:
    """A broker for all faults."""
    with KafkaServer() as server:
        yield server


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    """A receiver for all faults."""
    with open_receiver() as state:
        yield state


@pytest.fixture(scope="session")
def pipeline(
    kafka: KafkaServer,
    elasticsearch_server: ElasticsearchServer,
    postgres: PostgresServer,
    receiver: Receiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pipeline]:
    """Workers on Kafka, Elasticsearch and PostgreSQL; the first fault finds none started."""
    folder = tmp_path_factory.mktemp("faults")
    variables = {
        "broker": kafka.address,
        "data": str(folder / "test"),
        "database": postgres.create_database("faults"),
        "index": "elasticsearch",
        "elasticsearch": elasticsearch_server.address,
        "elasticsearch_prefix": fresh_prefix(),
        "elasticsearch_timeout_s": "20",
    }
    opened = Pipeline(folder, receiver, variables)
    yield opened
    opened.close()


@pytest.fixture
def source(request: pytest.FixtureRequest, run: int) -> str:
    """The name of this run's load; no other contains it."""
    name = request.function.__name__.removeprefix("test_").replace("_", "-")
    return f"{name[:40]}-{run:03d}"


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Tells the table what became of a load, and fails the test where an event was lost or is there twice."""

    def told(fault: str, found: Outcome, control: str, *, letters: int = 0) -> None:
        row = Row(fault, 1, found.events, found.lost, found.doubled, letters, control)
        record_property(PROPERTY, astuple(row))  # plain values, since processes hand it on
        assert found.clean, found

    return told
