"""A real Elasticsearch for tests: one for all of a run, with a prefix for each test."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import ConfigError
from search.elastic_bulk import BulkWriter, Operation
from search.elastic_client import Cluster, connect
from servers.elasticsearch import ElasticsearchServer
from tests.live.kafka_server import missing


@pytest.fixture(scope="session")
def elasticsearch_server() -> Iterator[ElasticsearchServer]:
    """A server for the whole run; skips the test where Java or Maven is missing, and fails it where CI is set."""
    folder = Path(tempfile.mkdtemp(prefix="groundswell-elasticsearch-"))
    try:
        with ElasticsearchServer(folder) as server:
            yield server
    except ConfigError as error:
        missing(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def elasticsearch(request: pytest.FixtureRequest) -> Cluster:
    """A cluster for the whole run: the one that `GROUNDSWELL_TEST_ELASTICSEARCH` names, else a server of our own."""
    named = os.environ.get("GROUNDSWELL_TEST_ELASTICSEARCH")
    return cluster_of(named or request.getfixturevalue("elasticsearch_server").address)


def cluster_of(url: str) -> Cluster:
    """The cluster at this address, with a time-out for slow machines."""
    return Cluster((url,), timeout_s=120.0)


def fresh_prefix() -> str:
    """A prefix that no other test has."""
    return f"t{uuid.uuid4().hex[:12]}"


async def clear(cluster: Cluster, prefix: str) -> None:
    """Deletes the documents under a prefix and keeps its indices."""
    client = connect(cluster)
    try:
        found = await client.search(index=prefix, ignore_unavailable=True, size=1_000, source=False)
        hits = found["hits"]["hits"]
        await BulkWriter(client).send([Operation(hit["_id"], hit["_index"], None) for hit in hits])
        await client.indices.refresh(index=prefix, ignore_unavailable=True)
    finally:
        await client.close()


async def remove(cluster: Cluster, prefix: str) -> None:
    """Deletes all that lies under a prefix."""
    client = connect(cluster)
    try:
        found = await client.options(ignore_status=404).indices.get(index=f"{prefix}-*", expand_wildcards="all")
        if found.body:
            await client.indices.delete(index=list(found.body))
        ignoring = client.options(ignore_status=[404, 400, 405])
        await ignoring.indices.delete_index_template(name=f"{prefix}-events")
        await ignoring.cluster.delete_component_template(name=f"{prefix}-mapping")
    finally:
        await client.close()
