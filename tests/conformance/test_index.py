"""What every index must do, run over each implementation."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import QueryError
from search.documents import Document
from search.elastic_index import ElasticIndex
from search.index import Index, SearchRequest, Sort
from search.kql import parse
from search.memory_index import MemoryIndex
from search.tantivy_index import TantivyIndex
from tests.live.elastic_server import fresh_prefix, remove

pytestmark = pytest.mark.anyio

NOW = datetime(2022, 11, 20, 12, tzinfo=UTC)


def clock() -> datetime:
    return NOW


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["memory", "tantivy", pytest.param("elasticsearch", marks=pytest.mark.live)])
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Index]:
    match request.param:
        case "memory":
            opened: Index = MemoryIndex(clock=clock)
        case "tantivy":
            opened = TantivyIndex.open(tmp_path / "index", writable=True, clock=clock)
        case _:
            prefix = fresh_prefix()
            cluster = request.getfixturevalue("elasticsearch")
            opened = ElasticIndex(cluster, prefix, writable=True, clock=clock)
    yield opened
    await opened.close()
    if isinstance(opened, ElasticIndex):
        await remove(cluster, prefix)


def news(id: str, day: int, **fields: Any) -> Document:  # noqa: A002 - the field's name
    time = f"2022-11-{day:02}T09:30:00Z"
    return {"id": id, "kind": "news", "time": time, "published": time, "ingested": time, "source": "wire", "lang": "en"} | fields


def nested(depth: int) -> Document:
    return {"a": nested(depth - 1)} if depth else {"a": "leaf"}


DOCUMENTS: list[Document] = [
    news(
        "n1",
        1,
        title="Evergrande's debt default",
        body="The developer missed a coupon; bondholders wait.",
        sentiment={"label": "negative", "negative": 0.9, "neutral": 0.08, "positive": 0.02, "score": -0.88},
        topic={"label": "credit", "score": 0.8},
        entities=[
            {"id": "evergrande", "name": "China Evergrande", "mention": "Evergrande", "start": 0, "end": 10},
            {"id": "hsbc", "name": "HSBC", "mention": "HSBC", "start": 30, "end": 34},
        ],
    ),
    news(
        "n2",
        2,
        title="恒大集团债务违约",
        source="财新",
        lang="zh",
        sentiment=None,
        topic=None,
        reason="no model for zh",
        entities=[],
    ),
    news(
        "n3",
        3,
        title="Bank posts record profit, A股大涨",
        url="",
        sentiment={"label": "positive", "negative": 0.1, "neutral": 0.1, "positive": 0.8, "score": 0.7},
        topic={
            "label": "earnings",
            "score": 0.6,
            "labels": ["earnings", "Real Estate", "China"],
            "model": {"name": "topics", "version": "2"},
        },
        extra={"desk": {"name": "Asia", "floor": 12}, "tags": ["a*b", "hot"], "live": True, "odd.key": "x"},
    ),
    news("p1", 4, kind="social", text="$EGRNF to the moon!! default? no.", author="Bull", followers=1200, title=None, source="x"),
    {
        "id": "t1",
        "kind": "transaction",
        "time": "2022-11-18T23:59:59.999Z",
        "ingested": "2022-11-19T00:00:01+01:00",
        "customer_id": "c-7",
        "terminal_id": "t-9",
        "amount": 250.5,
        "currency": "EUR",
        "fraud_score": 0.93,
        "reasons": ["amount far above the usual", "terminal new to the customer"],
        "model": {"name": "fraud", "version": "1"},
        "extra": {},
    },
]

QUERIES: list[tuple[str, str]] = [
    # everything, nothing
    ("", "n1 n2 n3 p1 t1"),
    ("not *", ""),
    ("nonesuch:1", ""),
    ("not nonesuch:1", "n1 n2 n3 p1 t1"),
    # free text: words of title, body, text, reasons and names of entities, in any case
    ("DEFAULT", "n1 p1"),
    ("profit coupon", "n1 n3"),
    ("evergrande", "n1"),
    ("hsbc", "n1"),
    ("egrnf", "p1"),
    ("$EGRNF", "p1"),
    ("usual", "t1"),
    ("wire", ""),
    ("!!!", ""),
    ('"debt default"', "n1"),
    ('"default debt"', ""),
    ('"usual terminal"', ""),
    ('"china evergrande"', "n1"),
    ("bondhold*", "n1"),
    ("*holders", "n1"),
    # Chinese
    ("恒大", "n2"),
    ("大集", "n2"),
    ("恒大违约", ""),
    ("恒大 违约", "n2"),
    ('"债务违约"', "n2"),
    ("涨", "n3"),
    ("恒", "n2"),
    ("A股", "n3"),
    ("a股大涨", "n3"),
    ("恒大*违约", "n2"),
    ("*团债*", "n2"),
    # keyword fields: whole and case-sensitive
    ("sentiment.label:negative", "n1"),
    ("sentiment.label:Negative", ""),
    ('sentiment.label:"negative"', "n1"),
    ("sentiment.label:(negative or positive)", "n1 n3"),
    ("source:财新", "n2"),
    ("entities.id:hsbc", "n1"),
    ("entities.name:Evergrande", ""),
    ("entities.name:China Evergrande", "n1"),
    ("source:w*", "n1 n3"),
    ("source:*i*", "n1 n3"),
    ("source:W*", ""),
    ('source:"w*"', ""),
    ("customer_id >= c-7", "t1"),
    ("customer_id > c-7", ""),
    ("lang > en", "n2"),
    # text fields
    ("title:profit", "n3"),
    ("title:profit debt", "n1 n3"),
    ('title:"record profit"', "n3"),
    ("title:prof*", "n3"),
    ('reasons:"new to"', "t1"),
    ("body:debt", ""),
    # numbers
    ("amount:250.5", "t1"),
    ("amount:2505e-1", "t1"),
    ("amount:many", ""),
    ("amount >= 250.5", "t1"),
    ("amount > 250.5", ""),
    ("followers < 1201", "p1"),
    ("sentiment.score <= -0.88", "n1"),
    ("not sentiment.score < 0", "n2 n3 p1 t1"),
    # dates
    ("time:2022-11-02", "n2"),
    ('time:"2022-11-02T09:30"', "n2"),
    ('time:"2022-11-02T09:31"', ""),
    ("time:2022-11", "n1 n2 n3 p1 t1"),
    ("time > 2022-11-03", "p1 t1"),
    ("time >= 2022-11-03", "n3 p1 t1"),
    ("time < 2022-11-03", "n1 n2"),
    ("time <= 2022-11-18", "n1 n2 n3 p1 t1"),
    ('time > "2022-11-18T23:59:59.998Z"', "t1"),
    ('time >= "2022-11-19T00:59:59.999+01:00"', "t1"),
    ("time >= now-2w/d", "t1"),
    ("time >= now-17d", "p1 t1"),
    ("ingested:2022-11-18", "t1"),
    ("time >= 1668815999999", "t1"),
    # existence
    ("sentiment:*", "n1 n3"),
    ("topic.label:*", "n1 n3"),
    ("not topic.label:*", "n2 p1 t1"),
    ('topic.labels:"Real Estate" and topic.labels:China', "n3"),
    ("topic.model.name:topics and topic.model:*", "n3"),
    ("title:*", "n1 n2 n3"),
    ("author:null", "n1 n2 n3 t1"),
    ("url:*", "n3"),
    ("entities:*", "n1"),
    ("extra:*", "n3"),
    ("extra.desk:*", "n3"),
    ("extra.d*:*", "n3"),
    ("extra.nothing:*", ""),
    # what sources add
    ("extra.desk.name:Asia", "n3"),
    ("extra.desk.floor:12", "n3"),
    ("extra.desk.floor:1*", "n3"),
    ("extra.desk.*:Asia", "n3"),
    ("extra.live:true", "n3"),
    (r"extra.tags:a\*b", "n3"),
    (r"extra.tags:a\*c", ""),
    ("extra.odd.key:x", "n3"),
    ("extra.desk.name > Arctic", "n3"),
    ("extra.desk.name < Arctic", ""),
    # any field
    ("*:Asia", "n3"),
    ("sent*:negative", "n1"),
    ("*.label:credit", "n1"),
    # and, or, not
    ("default and kind:news", "n1"),
    ("default and not kind:news", "p1"),
    ("kind:transaction or 恒大", "n2 t1"),
    ("(kind:news and not lang:en) or amount > 1", "n2 t1"),
    ("not (kind:news or kind:social)", "t1"),
    ("source:(w* and not wire)", ""),
]


def ids(documents: Sequence[Document]) -> str:
    return " ".join(document["id"] for document in documents)


async def found(index: Index, query: str) -> str:
    page = await index.search(SearchRequest(parse(query), sort=(("id", "asc"),)))
    assert page.total == len(page.hits) == await index.count(parse(query))
    return ids(page.hits)


async def test_each_form_of_query_finds_what_it_says(index: Index) -> None:
    assert await index.write(DOCUMENTS) == []
    answers = [(query, await found(index, query)) for query, _ in QUERIES]
    assert answers == QUERIES


async def test_an_index_without_documents_answers(index: Index) -> None:
    assert await found(index, "default") == ""
    assert await index.get("n1") is None
    assert await index.aggregate(parse(""), {"mean": {"avg": {"field": "amount"}}}) == {"mean": {"value": None}}


async def test_hits_are_the_documents_as_written(index: Index) -> None:
    await index.write(DOCUMENTS)
    page = await index.search(SearchRequest(sort=(("id", "asc"),)))
    assert page.hits == DOCUMENTS
    assert page.took_ms >= 0
    assert await index.get("t1") == DOCUMENTS[-1]
    assert await index.get("T1") is None


async def test_a_document_replaces_the_one_with_its_id(index: Index) -> None:
    await index.write(DOCUMENTS)
    await index.write([DOCUMENTS[0] | {"title": "An upgrade"}])
    assert await index.count(parse("")) == len(DOCUMENTS)
    assert await found(index, "title:upgrade") == "n1"
    assert await found(index, "title:debt") == ""


async def test_of_the_same_id_in_one_call_the_last_counts(index: Index) -> None:
    await index.write([news("a", 1, title="first"), news("b", 1), news("a", 1, title="last")])
    assert await found(index, "title:first") == ""
    assert await found(index, "title:last") == "a"
    assert await index.count(parse("")) == 2


async def test_a_document_may_move_in_time(index: Index) -> None:
    await index.write([news("a", 1), news("b", 1)])
    await index.write([news("a", 1) | {"time": "2021-01-01T00:00:00Z", "kind": "social"}])
    page = await index.search(SearchRequest(sort=(("time", "asc"),)))
    assert [(hit["id"], hit["time"][:4]) for hit in page.hits] == [("a", "2021"), ("b", "2022")]
    moved = await index.get("a")
    assert moved is not None
    assert moved["kind"] == "social"


async def test_times_and_zeros_in_any_spelling_are_found_and_kept_as_written(index: Index) -> None:
    odd = [news("a", 1, amount=-0.0) | {"time": "20221101T093000Z"}, news("b", 1, amount=0), news("c", 1, further=1)]
    assert await index.write(odd) == []
    page = await index.search(SearchRequest(parse("time:2022-11-01"), sort=(("amount", "asc"),)))
    assert page.hits == odd
    assert await found(index, "amount:0") == "a b"
    assert await found(index, "amount < 0") == ""


async def test_writing_again_changes_nothing(index: Index) -> None:
    await index.write(DOCUMENTS)
    await index.write(DOCUMENTS)
    assert await index.count(parse("")) == len(DOCUMENTS)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"kind": "news"}, "id: missing"),
        (news("", 1), "id: must be a text of 1 to 512 bytes"),
        (news("é" * 257, 1), "id: must be a text of 1 to 512 bytes"),
        ({"id": 7}, "id: must be"),
        (news("a", 1, amount="much"), "amount: 'much' is no number"),
        (news("a", 1, amount=True), "amount: True is no number"),
        (news("a", 1, amount=float("nan")), "amount: nan is not finite"),
        (news("a", 1, amount=10**400), "amount: "),
        (news("a", 1) | {"time": "yesterday"}, "time: 'yesterday' is no RFC 3339 time"),
        (news("a", 1) | {"time": 1668815999}, "time: 1668815999 is no RFC 3339 time"),
        (news("a", 1) | {"time": "1500-01-01T00:00:00Z"}, "time: "),
        (news("a", 1, source=["a", "b"]), "source: holds several values"),
        (news("a", 1, title=7), "title: 7 is no text"),
        (news("a", 1, sentiment={"label": 1}), "sentiment.label: 1 is no text"),
        (news("a", 1, sentiment="negative"), "sentiment: must be an object"),
        (news("a", 1, entities=["evergrande"]), "entities: must be an object"),
        (news("a", 1, extra=[1]), "extra: must be an object"),
        (news("a", 1, extra=nested(30)), "extra: nested deeper than 20"),
        (news("a", 1, title="\ud800"), "is no JSON"),
    ],
)
async def test_a_document_that_can_never_be_indexed_is_rejected_alone(index: Index, document: Document, reason: str) -> None:
    rejected = await index.write([DOCUMENTS[0], document, DOCUMENTS[1]])
    assert [one.id for one in rejected] == [str(document.get("id", ""))]
    assert rejected[0].reason.startswith(reason)
    assert await found(index, "") == "n1 n2"


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ((("time", "desc"),), "t1 p1 n3 n2 n1"),
        ((("time", "asc"),), "n1 n2 n3 p1 t1"),
        ((("amount", "desc"),), "t1 n1 n2 n3 p1"),
        ((("amount", "asc"),), "t1 n1 n2 n3 p1"),
        ((("sentiment.score", "asc"),), "n1 n3 n2 p1 t1"),
        ((("source", "asc"), ("time", "desc")), "n3 n1 p1 n2 t1"),
        ((("source", "desc"), ("time", "desc")), "n2 p1 n3 n1 t1"),
        ((("kind", "asc"), ("sentiment.score", "desc"), ("id", "desc")), "n3 n1 n2 p1 t1"),
        ((("entities.id", "desc"), ("id", "desc")), "n1 t1 p1 n3 n2"),
        ((("extra.desk.name", "asc"),), "n3 n1 n2 p1 t1"),
    ],
)
async def test_hits_are_sorted(index: Index, sort: Sort, order: str) -> None:
    await index.write(DOCUMENTS)
    assert ids((await index.search(SearchRequest(sort=sort))).hits) == order


async def test_pages_join_without_gap_or_repeat_among_ties(index: Index) -> None:
    await index.write([news(f"d{number:02}", 1 + number // 12, source=f"s{number % 3}") for number in range(40)])
    sort: Sort = (("source", "asc"), ("time", "desc"))
    whole = ids((await index.search(SearchRequest(sort=sort))).hits)
    for size in (1, 3, 7, 39):
        pages = [(await index.search(SearchRequest(size=size, offset=offset, sort=sort))) for offset in range(0, 42, size)]
        assert all(page.total == 40 for page in pages)
        assert " ".join(filter(None, (ids(page.hits) for page in pages))) == whole


async def test_a_page_of_no_hits_still_counts(index: Index) -> None:
    await index.write(DOCUMENTS)
    page = await index.search(SearchRequest(size=0))
    assert (page.total, page.hits) == (5, [])
    assert (await index.search(SearchRequest(offset=99))).hits == []


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (SearchRequest(size=10_001), "within the first 10000"),
        (SearchRequest(size=10, offset=9_991), "within the first 10000"),
        (SearchRequest(offset=-1), "within the first 10000"),
        (SearchRequest(sort=(("title", "asc"),)), "is a text field"),
        (SearchRequest(sort=(("amounts", "asc"),)), "such as amount"),
    ],
)
async def test_a_request_that_cannot_be_served_says_why(index: Index, request_: SearchRequest, says: str) -> None:
    with pytest.raises(QueryError, match=says):
        await index.search(request_)


async def test_the_time_range_includes_its_start_and_not_its_end(index: Index) -> None:
    await index.write(DOCUMENTS)
    start, end = datetime(2022, 11, 2, 9, 30, tzinfo=UTC), datetime(2022, 11, 4, 9, 30, tzinfo=UTC)
    assert ids((await index.search(SearchRequest(start=start, end=end))).hits) == "n3 n2"
    assert await index.count(parse("恒大"), start=start) == 1
    assert await index.count(parse("恒大"), end=start) == 0
    counted = await index.aggregate(parse(""), {"n": {"terms": {"field": "id"}}}, start=start, end=end)
    assert [bucket["key"] for bucket in counted["n"]["buckets"]] == ["n2", "n3"]


async def test_aggregations_answer_as_elasticsearch_does(index: Index) -> None:
    await index.write(
        [news(f"d{i}", 1 + i % 4 + (i % 4 == 3), source=f"s{i % 3}", amount=i, extra={"desk": f"k{i % 2}"}) for i in range(12)]
    )
    asked = {
        "days": {
            "date_histogram": {"field": "time", "fixed_interval": "1d"},
            "aggs": {"mean": {"avg": {"field": "amount"}}, "desks": {"terms": {"field": "extra.desk", "size": 1}}},
        },
        "top": {"terms": {"field": "source", "size": 2}},
        "least": {"min": {"field": "amount"}},
        "most": {"max": {"field": "amount"}},
        "sum": {"sum": {"field": "amount"}},
        "count": {"value_count": {"field": "amount"}},
    }
    answer = await index.aggregate(parse("not id:d0"), asked)
    assert {name: answer[name]["value"] for name in ("least", "most", "sum", "count")} == {
        "least": 1,
        "most": 11,
        "sum": 66,
        "count": 11,
    }
    assert answer["top"] == {
        "doc_count_error_upper_bound": 0,
        "sum_other_doc_count": 3,
        "buckets": [{"key": "s1", "doc_count": 4}, {"key": "s2", "doc_count": 4}],
    }
    days = answer["days"]["buckets"]
    assert [(day["key_as_string"][:10], day["doc_count"], day["mean"]["value"]) for day in days] == [
        ("2022-11-01", 2, 6.0),
        ("2022-11-02", 3, 5.0),
        ("2022-11-03", 3, 6.0),
        ("2022-11-04", 0, None),
        ("2022-11-05", 3, 7.0),
    ]
    assert days[0]["key"] == 1667260800000
    assert days[0]["desks"] == {
        "doc_count_error_upper_bound": 0,
        "sum_other_doc_count": 0,
        "buckets": [{"key": "k0", "doc_count": 2}],
    }


async def test_a_histogram_can_leave_out_empty_intervals(index: Index) -> None:
    await index.write(DOCUMENTS)
    asked = {"days": {"date_histogram": {"field": "time", "fixed_interval": "12h", "min_doc_count": 1}}}
    days = (await index.aggregate(parse(""), asked))["days"]["buckets"]
    assert [day["key_as_string"][5:13] for day in days] == ["11-01T00", "11-02T00", "11-03T00", "11-04T00", "11-18T12"]


async def test_terms_count_a_document_once_per_value(index: Index) -> None:
    entities = [{"id": "e", "name": "E"}, {"id": "e", "name": "E"}, {"id": "f", "name": "F"}]
    await index.write([news("a", 1, entities=entities)])
    answer = await index.aggregate(parse(""), {"who": {"terms": {"field": "entities.id"}}})
    assert answer["who"]["buckets"] == [{"key": "e", "doc_count": 1}, {"key": "f", "doc_count": 1}]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"a": {"terms": {"field": "title"}}}, "title is a text field; choose a keyword field"),
        ({"a": {"terms": {"field": "sources"}}}, "did you mean source"),
        ({"a": {"percentiles": {"field": "amount"}}}, "holds percentiles; give one of"),
        ({"a": {"avg": {"field": "source"}}}, "choose a number field"),
        ({"a": {"avg": {"field": "amount", "missing": 0}}}, "takes no option missing"),
        ({"a": {"date_histogram": {"field": "time"}}}, "fixed_interval must be"),
        ({"a": {"date_histogram": {"field": "time", "fixed_interval": "1M"}}}, "fixed_interval must be"),
        ({"a": {"date_histogram": {"field": "time", "fixed_interval": "1s"}}}, "longer fixed_interval"),
        ({"a": {"terms": {"field": "source", "size": 0}}}, "size must be"),
    ],
)
async def test_an_aggregation_that_cannot_be_served_says_why(index: Index, asked: dict[str, Any], says: str) -> None:
    await index.write(DOCUMENTS)
    with pytest.raises(QueryError, match=says):
        await index.aggregate(parse(""), asked)


async def test_odd_texts_are_found_again(index: Index) -> None:
    odd = ["a\0b", "line\nbreak", "back\\slash", "[a-z]+(x|y)?.^$", "*", "", " ", "😀", "e\u0301", "a" * 8191]
    await index.write(
        [news(f"o{number}", 1, author=value, extra={"k\0": {value[:99]: value}}) for number, value in enumerate(odd)]
    )
    for number, value in enumerate(odd):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        assert (await index.search(SearchRequest(parse(f'author:"{quoted}"'[:9000])))).hits[0]["id"] == f"o{number}"
        bare = "".join(f"\\{char}" if char in '\\():<>"*{}' else char for char in value)
        if value.strip():
            assert f"o{number}" in (await found(index, f"author:{bare}*"))


async def test_a_keyword_too_long_for_a_term_is_stored_and_not_indexed(index: Index) -> None:
    await index.write([news("a", 1, author="x" * 8192, extra={"blob": "y" * 40_000})])
    assert await found(index, "author:*") == ""
    assert await found(index, "author:x*") == ""
    assert await found(index, "extra.blob:*") == ""
    stored = await index.get("a")
    assert stored is not None
    assert len(stored["author"]) == 8192


async def test_names_as_deep_as_allowed_are_found_and_endless_ones_are_not_indexed(index: Index) -> None:
    assert await index.write([news("deep", 1, extra=nested(19)), news("long", 1, extra={"k" * 9000: "x", "k": "y"})]) == []
    assert await found(index, f"extra.{'a.' * 19}a:leaf") == "deep"
    assert await found(index, "extra.k*:*") == "long"
    assert await found(index, "extra.kk*:*") == ""
