"""The predicate, the index in memory, tantivy and Elasticsearch agree on any query and any documents."""

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.documents import Document
from search.elastic_client import Cluster
from search.elastic_index import ElasticIndex
from search.index import Index, SearchRequest
from search.memory_index import MemoryIndex
from search.nodes import (
    And,
    Exists,
    FieldMatch,
    FieldPhrase,
    FieldWildcard,
    FreePhrase,
    FreeText,
    FreeWildcard,
    MatchAll,
    Node,
    Not,
    Operator,
    Or,
    Range,
)
from search.predicate import compile_predicate
from search.tantivy_index import TantivyIndex
from tests.live.elastic_server import clear, fresh_prefix, remove

NOW = datetime(2022, 11, 11, 14, 29, 37, 123000, tzinfo=UTC)

WORDS = ("debt", "Debt's", "default", "恒大", "恒大集团", "大", "A股涨", "x1", "3.5", "don't", "é", "A", "ab", "-")
KEYWORDS = ("wire", "Wire", "w", "", "debt", "10", "9", "a*b", "x\0y", "恒大")
NUMBERS = (0.0, -0.0, 1.0, 1.5, -2.0, 1e300, 5e-324)
TIMES = (
    "2022-11-11T14:29:37.123Z",
    "2022-11-11T14:29:37.123999Z",
    "2022-11-11T14:29:37Z",
    "2022-11-11T23:59:59.999Z",
    "2022-11-12T00:00:00+00:00",
    "2022-11-12T07:00:00+08:00",
    "2021-01-31T00:00:00Z",
)
DATES = (
    "2022",
    "2022-11",
    "2022-11-11",
    "2022-11-11T14",
    "2022-11-11T14:29:37.123Z",
    "now",
    "now/d",
    "now-1d/d",
    "2021-01-31||+1y/M",
    "soon",
)

texts = st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join)
extras = st.recursive(
    st.sampled_from([*KEYWORDS, None, True, 3, 1.5]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "a.b", "k\0"]), inner, max_size=2),
    max_leaves=4,
)
documents = st.fixed_dictionaries(
    {"id": st.sampled_from(["d1", "d2", "d3", "d4", "d5"])},
    optional={
        "time": st.sampled_from(TIMES),
        "source": st.sampled_from([*KEYWORDS, None]),
        "title": texts,
        "body": texts | st.none(),
        "amount": st.sampled_from([*NUMBERS, 1, None]),
        "sentiment": st.none()
        | st.fixed_dictionaries({}, optional={"label": st.sampled_from(KEYWORDS), "score": st.sampled_from(NUMBERS)}),
        "entities": st.lists(st.fixed_dictionaries({"name": texts}), max_size=2),
        "reasons": st.lists(texts, max_size=2),
        "extra": st.dictionaries(st.sampled_from(["a", "b", "a.b"]), extras, max_size=2),
    },
)

names = st.sampled_from(
    "source title body amount sentiment.label sentiment.score entities.name reasons time id sentiment nonesuch".split()
    + "extra.a extra.a.b extra.b extra.* extra.a* s* *".split()
)
values = texts | st.sampled_from([*KEYWORDS, *DATES, "1", "1.5", "-2", "0", "1e300"])
patterns = st.lists(st.sampled_from(["", "d", "de", "t", "恒", "大集", "团", "w", "x1 ", "a", "3."]), min_size=2, max_size=3).map(
    tuple
)
operators: st.SearchStrategy[Operator] = st.sampled_from([">=", "<=", ">", "<"])
leaves: st.SearchStrategy[Node] = st.one_of(
    st.just(MatchAll()),
    st.builds(FieldMatch, names, values | st.sampled_from([True, False, None])),
    st.builds(FieldPhrase, names, values),
    st.builds(FieldWildcard, names, patterns),
    st.builds(Exists, names | st.just("extra")),
    st.builds(Range, names, operators, values),
    st.builds(FreeText, values),
    st.builds(FreePhrase, values),
    st.builds(FreeWildcard, patterns),
)


def compound(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.builds(And, several) | st.builds(Or, several) | st.builds(Not, inner)


nodes = st.recursive(leaves, compound, max_leaves=5)
sorts = st.lists(
    st.tuples(st.sampled_from(["time", "amount", "source", "sentiment.score", "id"]), st.sampled_from(["asc", "desc"])),
    max_size=3,
)


def clock() -> datetime:
    return NOW


async def compare(durable: Index, written: list[list[Document]], asked: list[Node], sort: Any) -> None:
    memory: Index = MemoryIndex(clock=clock)
    for batch in written:
        assert await memory.write(batch) == await durable.write(batch) == []
    held = {document["id"]: document for batch in written for document in batch}
    for node in asked:
        request = SearchRequest(node, sort=sort, size=4, offset=1)
        expected, found = await memory.search(request), await durable.search(request)
        assert found.hits == expected.hits, node
        assert found.total == expected.total == await durable.count(node), node
        admits = compile_predicate(node, clock=clock)
        assert sum(admits(document) for document in held.values()) == found.total, node
        aggregations = {
            "sources": {"terms": {"field": "source", "size": 2}, "aggs": {"sum": {"max": {"field": "amount"}}}},
            "further": {"terms": {"field": "extra.a"}},
            "days": {"date_histogram": {"field": "time", "fixed_interval": "5d"}},
        }
        assert await durable.aggregate(node, aggregations) == await memory.aggregate(node, aggregations), node


any_case = given(
    st.lists(st.lists(documents, max_size=5), min_size=1, max_size=2),
    st.lists(nodes, min_size=1, max_size=12),
    sorts.map(tuple),
)
at_leisure = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=60, deadline=None, suppress_health_check=at_leisure)
@any_case
def test_the_predicate_memory_and_tantivy_agree(written: list[list[Document]], asked: list[Node], sort: Any) -> None:
    async def over_tantivy() -> None:
        with tempfile.TemporaryDirectory() as folder:
            index = TantivyIndex.open(Path(folder), writable=True, clock=clock)
            await compare(index, written, asked, sort)
            await index.close()

    asyncio.run(over_tantivy())


@pytest.mark.live
def test_the_predicate_memory_and_elasticsearch_agree(elasticsearch: Cluster) -> None:
    prefix = fresh_prefix()
    index = ElasticIndex(elasticsearch, prefix, writable=True, clock=clock)
    with asyncio.Runner() as runner:

        @settings(max_examples=40, deadline=None, suppress_health_check=at_leisure)
        @any_case
        def agree(written: list[list[Document]], asked: list[Node], sort: Any) -> None:
            runner.run(clear(elasticsearch, prefix))
            runner.run(compare(index, written, asked, sort))

        try:
            agree()
        finally:
            runner.run(index.close())
            runner.run(remove(elasticsearch, prefix))
