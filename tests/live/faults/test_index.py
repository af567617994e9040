"""An index that is away, busy, slow, refuses documents or has no room, in the middle of a load."""

import asyncio
import json
import os
from collections.abc import Iterator

import pytest

from search.elastic_client import connect
from search.elastic_index import ElasticIndex
from search.elastic_indices import TAG, Place
from servers.elasticsearch import ElasticsearchServer
from tests.live.elastic_server import cluster_of
from tests.live.faults.conftest import Tell
from tests.live.faults.load import item, under_load
from tests.live.faults.naive_consumer import group_of
from tests.live.faults.pipeline import Pipeline, away, naive_harm, outcome
from tests.live.faulty_proxy import Fault, FaultyProxy, faulty_proxy

pytestmark = pytest.mark.live
RATE_S = 50
DOWN_S = int(os.environ.get("GROUNDSWELL_TEST_DOWN_S", "15"))  # 60 and more for evidence
REFUSED = 25  # one document in so many


def test_elasticsearch_is_down(pipeline: Pipeline, elasticsearch_server: ElasticsearchServer, source: str, tell: Tell) -> None:
    pipeline.only("a")
    with under_load(pipeline.settings, source, rate_s=RATE_S) as load:
        pipeline.start_naive(source)
        pipeline.wait_for_progress()
        pipeline.wait_for_progress(group_of(source))
        tried = pipeline.retries("index")
        with away(elasticsearch_server):
            pipeline.wait(lambda: pipeline.retries("index") > tried, "a write is tried again")
            indexed = pipeline.indexed()
            load.wait_for(load.sent + DOWN_S * RATE_S)
            pipeline.wait_for_alerts(load.alerting())  # which do not wait for the index
            assert pipeline.indexed() == indexed
        pipeline.wait(lambda: pipeline.indexed() > indexed, "it is written again")
    pipeline.wait_until_done()
    pipeline.wait_for_naive(source)
    told = f"{pipeline.retries('index') - tried} writes tried again; {naive_harm(load, pipeline.naive_documents(source))}"
    pipeline.wait_for_alerts(load.alerting())
    tell(f"Elasticsearch down, {DOWN_S} s", outcome(load, pipeline.documents(source)), told)


@pytest.fixture(scope="module")
def proxy(pipeline: Pipeline) -> Iterator[FaultyProxy]:
    """A proxy before Elasticsearch that the worker `proxied` writes to."""
    with faulty_proxy(pipeline.settings.elasticsearch) as opened:
        yield opened


@pytest.mark.parametrize(("fault", "times"), [("429", 10), ("slow", 5), ("lose the answer", 5)])
def test_elasticsearch_is_busy(pipeline: Pipeline, proxy: FaultyProxy, fault: Fault, times: int, source: str, tell: Tell) -> None:
    pipeline.only("proxied", elasticsearch=proxy.url)
    source = f"{source}-{fault.replace(' ', '-')}"
    with under_load(pipeline.settings, source, rate_s=RATE_S) as load:
        pipeline.wait_for_progress()
        proxy.faults.extend([fault] * times)
        pipeline.wait(lambda: not proxy.faults, "all faults have happened")
        load.wait_for(200)
    pipeline.wait_until_done()
    pipeline.wait_for_alerts(load.alerting())
    tell(f"Elasticsearch: {fault}", outcome(load, pipeline.documents(source)), f"{times} bulk requests met it")


def test_elasticsearch_refuses_documents(pipeline: Pipeline, source: str, tell: Tell) -> None:
    """An index of a month long past, in which `url` must be a number: what has none is taken, and a real URL refused."""
    pipeline.only("a")
    asyncio.run(_make_an_index_of_numbered_urls(pipeline))
    refused = set(range(7, 10_000, REFUSED))

    def make(name: str, number: int) -> bytes:
        more = {"url": "https://example.org/"} if number in refused else {}
        return item(name, number, published="2022-11-11T00:00:00Z", **more)

    with under_load(pipeline.settings, source, rate_s=RATE_S, make=make) as load:
        load.wait_for(500)
    pipeline.wait_until_done()
    dead = refused & set(range(load.sent))
    letters = pipeline.letters(source)
    assert letters.total() == len(letters) == len(dead)
    assert {int(json.loads(raw)["native_id"]) for raw in letters} == dead
    found = outcome(load, pipeline.documents(source), dead=dead)
    tell("Elasticsearch refuses documents", found, f"{len(dead)} refused with 400", letters=letters.total())


async def _make_an_index_of_numbered_urls(pipeline: Pipeline) -> None:
    index = ElasticIndex(cluster_of(pipeline.settings.elasticsearch), pipeline.settings.elasticsearch_prefix, writable=True)
    await index.prepare()  # the template comes first, whether or not a worker is up yet
    await index.close()
    client = connect(cluster_of(pipeline.settings.elasticsearch))
    prefix = pipeline.settings.elasticsearch_prefix
    alias = Place("texts", "2022.11").alias(prefix)
    try:
        ignoring = client.options(ignore_status=400)  # a second run finds it
        await ignoring.indices.create(
            index=f"{alias}-{TAG}-000001",
            aliases={prefix: {}, alias: {"is_write_index": True}},
            mappings={"properties": {"url": {"type": "long"}}},
        )
    finally:
        await client.close()
