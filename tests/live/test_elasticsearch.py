"""The index on a real Elasticsearch under faults: nothing is lost, nothing is there twice, and old months go."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import AsyncElasticsearch

from core.errors import ConfigError, Retryable
from search.documents import Document
from search.elastic_bulk import Pace
from search.elastic_client import Cluster, connect
from search.elastic_index import ElasticIndex
from search.elastic_indices import TAG, ElasticIndices, Place
from search.elastic_upgrade import upgrade
from search.index import SearchRequest
from search.kql import parse
from search.nodes import MatchAll
from servers.elasticsearch import ElasticsearchServer
from tests.live.elastic_server import cluster_of, fresh_prefix, remove
from tests.live.faulty_proxy import Fault, faulty_proxy
from tests.live.kafka_server import missing

pytestmark = [pytest.mark.anyio, pytest.mark.live]

NOW = datetime(2022, 11, 20, tzinfo=UTC)


def clock() -> datetime:
    return NOW


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def prefix(elasticsearch: Cluster) -> AsyncIterator[str]:
    name = fresh_prefix()
    yield name
    await remove(elasticsearch, name)


@pytest.fixture
async def client(elasticsearch: Cluster) -> AsyncIterator[AsyncElasticsearch]:
    opened = connect(elasticsearch)
    yield opened
    await opened.close()


def posts(*ids: str, **fields: Any) -> list[Document]:
    return [{"id": id, "kind": "social", "time": "2022-11-11T00:00:00Z", "text": "debt default"} | fields for id in ids]  # noqa: A001


def opened(cluster: Cluster, prefix: str, **options: Any) -> ElasticIndex:
    return ElasticIndex(cluster, prefix, writable=True, clock=clock, **options)


async def as_a_worker(write: Callable[[], Awaitable[Any]], failed: list[str]) -> None:
    """Repeats a write for as long as it takes, as the worker's shell does."""
    while True:
        try:
            await write()
        except Retryable as error:
            failed.append(str(error))
            await asyncio.sleep(0.5)
        else:
            return


async def test_a_server_killed_in_the_middle_of_writes_loses_and_doubles_nothing() -> None:
    try:
        server = ElasticsearchServer(Path(tempfile.mkdtemp(prefix="groundswell-elasticsearch-")))
    except ConfigError as error:
        missing(error)
    failed: list[str] = []
    with server:
        index = opened(replace(cluster_of(server.address), timeout_s=10.0), "killed")
        written = asyncio.Event()

        async def write_all() -> None:
            for batch in range(30):
                documents = posts(*(f"{batch}-{i}" for i in range(50)))
                await as_a_worker(lambda documents=documents: index.write(documents), failed)  # type: ignore[misc]
                written.set()

        writing = asyncio.create_task(write_all())
        await written.wait()
        server.kill()
        await asyncio.to_thread(server.start)
        await writing
        assert failed  # the kill did hit a write
        assert await index.count(MatchAll()) == 1500
        page = await index.search(SearchRequest(size=1500))
        assert len({hit["id"] for hit in page.hits}) == 1500
        await index.close()


@pytest.mark.parametrize("fault", ["429", "429 in half of the items"])
async def test_a_busy_cluster_is_sent_less_at_once(elasticsearch: Cluster, prefix: str, fault: Fault) -> None:
    with faulty_proxy(elasticsearch.urls[0]) as proxy:
        index = opened(replace(elasticsearch, urls=(proxy.url,)), prefix)
        await index.write(posts("before"))
        proxy.faults.extend([fault, fault])
        assert await index.write(posts(*(f"p{i}" for i in range(100)))) == []
        assert not proxy.faults
        assert index.pace.chunk == Pace().chunk // 4
        assert await index.count(MatchAll()) == 101
        await index.close()


@pytest.mark.parametrize("fault", ["lose the answer", "never answer"])
async def test_a_write_without_an_answer_is_repeated_and_doubles_nothing(
    elasticsearch: Cluster, prefix: str, fault: Fault
) -> None:
    with faulty_proxy(elasticsearch.urls[0]) as proxy:
        index = opened(replace(elasticsearch, urls=(proxy.url,), timeout_s=30.0), prefix)
        await index.write(posts("before"))
        proxy.faults.append(fault)
        failed: list[str] = []
        documents = posts(*(f"p{i}" for i in range(100)))
        await as_a_worker(lambda: index.write(documents), failed)
        assert not proxy.faults
        assert failed or fault == "lose the answer"  # the HTTP library itself repeats a request whose connection ended
        assert await index.count(MatchAll()) == 101
        await index.close()


async def test_a_cluster_that_stays_busy_is_left_to_the_caller(elasticsearch: Cluster, prefix: str) -> None:
    with faulty_proxy(elasticsearch.urls[0]) as proxy:
        index = opened(replace(elasticsearch, urls=(proxy.url,)), prefix)
        await index.write(posts("before"))
        proxy.faults.extend(["429"] * 7)
        with pytest.raises(Retryable, match="too busy: 1 documents were turned away 7 times"):
            await index.write(posts("a"))
        await index.write(posts("a"))
        assert await index.count(MatchAll()) == 2
        await index.close()


async def test_documents_that_an_index_of_another_mapping_refuses_are_rejected_alone(
    elasticsearch: Cluster, client: AsyncElasticsearch, prefix: str
) -> None:
    index = opened(elasticsearch, prefix)
    await index.prepare()
    place = Place("texts", "2022.11")
    name, aliases = f"{place.alias(prefix)}-{TAG}-000001", {prefix: {}, place.alias(prefix): {"is_write_index": True}}
    await client.indices.create(index=name, aliases=aliases, mappings={"properties": {"source": {"type": "long"}}})
    rejected = await index.write([*posts("a", "b", source="12"), *posts("c", source="wire"), *posts("d")])
    assert [one.id for one in rejected] == ["c"]
    assert "failed to parse field [source] of type [long]" in rejected[0].reason
    assert await index.count(MatchAll()) == 3
    await index.close()


async def test_an_event_that_comes_again_after_a_rollover_is_the_same_document(
    elasticsearch: Cluster, client: AsyncElasticsearch, prefix: str
) -> None:
    index = opened(elasticsearch, prefix)
    await index.write(posts("a", "b"))
    await client.indices.rollover(alias=f"{prefix}-texts-2022.11")
    again = opened(elasticsearch, prefix)
    await again.write(posts("b", "c", text="paid"))
    assert await again.count(MatchAll()) == 3
    assert await again.count(parse("paid")) == 2
    assert len(await ElasticIndices(client, prefix).names()) == 2
    await index.close()
    await again.close()


async def test_months_that_are_older_than_is_kept_are_deleted_whole(elasticsearch: Cluster, prefix: str) -> None:
    index = opened(elasticsearch, prefix)
    await index.write([*posts("old", time="2022-08-31T00:00:00Z"), *posts("new"), {"id": "undated", "kind": "news"}])
    await index.close()
    keeping = opened(elasticsearch, prefix, keep_days=60)
    await keeping.write(posts("newer"))
    found = await keeping.search(SearchRequest(sort=(("id", "asc"),)))
    assert [hit["id"] for hit in found.hits] == ["new", "newer", "undated"]
    await keeping.close()


async def test_an_index_that_was_deleted_is_made_again(elasticsearch: Cluster, client: AsyncElasticsearch, prefix: str) -> None:
    index = opened(elasticsearch, prefix)
    await index.write(posts("a"))
    await client.indices.delete(index=f"{prefix}-texts-2022.11-{TAG}-000001")
    failed: list[str] = []
    await as_a_worker(lambda: index.write(posts("b")), failed)
    assert len(failed) == 1
    assert await index.count(MatchAll()) == 1
    await index.close()


async def test_indices_of_another_version_are_refused_and_built_anew(
    elasticsearch: Cluster, client: AsyncElasticsearch, prefix: str
) -> None:
    aliases = {prefix: {}, f"{prefix}-texts-2022.11": {"is_write_index": True}}
    await client.indices.create(index=f"{prefix}-texts-2022.11-000000-000001", aliases=aliases)
    for document in posts("a", "b", extra={"desk": "Asia"}):
        await client.index(index=f"{prefix}-texts-2022.11", id=document["id"], document=document, refresh=True)
    index = opened(elasticsearch, prefix)
    with pytest.raises(ConfigError, match="groundswell index upgrade"):
        await index.count(MatchAll())
    with pytest.raises(Retryable, match="groundswell index upgrade"):  # for a worker: no event is at fault
        await index.write(posts("c"))
    assert await upgrade(elasticsearch, prefix) == [f"{prefix}-texts-2022.11-{TAG}-000001"]
    assert await index.count(parse("extra.desk:Asia and debt")) == 2
    await index.write(posts("b", "c"))
    assert await index.count(MatchAll()) == 3
    assert await upgrade(elasticsearch, prefix) == []
    await index.close()


async def test_a_server_that_is_away_or_no_elasticsearch_is_told() -> None:
    away = opened(Cluster(("http://127.0.0.1:9",)), "away")
    with pytest.raises(Retryable, match="Elasticsearch does not answer"):
        await away.search(SearchRequest())
    with pytest.raises(Retryable, match="Elasticsearch does not answer"):
        await away.write(posts("a"))
    await away.close()
    with pytest.raises(ConfigError, match="write http://HOST:9200"):
        opened(Cluster(("localhost",)), "nowhere")
    with pytest.raises(ConfigError, match="lower-case letters"):
        opened(Cluster(("http://localhost:9200",)), "Upper")
