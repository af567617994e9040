"""The JSON interface over an index in memory and a real alert store in SQLite."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.testclient import TestClient

from alerts.store import AlertStore, open_store
from core.errors import Retryable
from core.metrics import LAG
from core.records import (
    AlertState,
    Entity,
    ModelRef,
    Scored,
    ScoredText,
    ScoredTransaction,
    Sentiment,
    Topic,
    Transition,
    TransitionReason,
)
from search.documents import document
from search.index import Index, SearchPage, SearchRequest
from search.memory_index import MemoryIndex
from search.tantivy_index import TantivyIndex
from web.app import Deps, build_app
from web.deps import Gauges, Reading, no_gauges

NOW = datetime(2026, 11, 22, tzinfo=UTC)
BEGIN = datetime(2022, 11, 8, tzinfo=UTC)
MODEL = ModelRef(name="sentiment", version="1")


def text(number: int, title: str, *, hours: float, label: str = "neutral", topic: str = "Crypto", lang: str = "en") -> ScoredText:
    shares = {"negative": (0.9, 0.07, 0.03), "neutral": (0.1, 0.8, 0.1), "positive": (0.02, 0.08, 0.9)}[label]
    time = BEGIN + timedelta(hours=hours)
    return ScoredText(
        id=f"news-{number}", kind="news", time=time, ingested=NOW, published=time, source="wire", title=title, lang=lang,
        sentiment=Sentiment(
            label=label, negative=shares[0], neutral=shares[1], positive=shares[2], score=shares[2] - shares[0]  # type: ignore[arg-type]
        ),
        topic=Topic(label=topic, score=0.9), entities=(Entity(id="x:FTX", name="FTX", mention="FTX", start=0, end=3),), model=MODEL,
    )  # fmt: skip


RECORDS: list[Scored] = [
    text(1, "FTX stops withdrawals", hours=0, label="negative"),
    text(2, "FTX is bankrupt", hours=1, label="negative"),
    text(3, "FTX files for chapter 11", hours=1.5, label="neutral"),
    text(4, "恒大集团暴跌", hours=26, label="negative", topic="Property", lang="zh"),
    text(5, "Record profit at the mill", hours=47, label="positive", topic="Earnings"),
    ScoredTransaction(
        id="payment/1", time=BEGIN + timedelta(hours=48), ingested=NOW, customer_id="C1", terminal_id="T1", amount=431.2, currency="USD",
        fraud_score=0.97, reasons=("terminal had 3 frauds in 7 days",), model=MODEL,
    ),
]  # fmt: skip


def transition(alert_id: str, state: AlertState, *, hours: float, event_ids: tuple[str, ...] = ()) -> Transition:
    time = BEGIN + timedelta(hours=hours)
    active = state is AlertState.ACTIVE
    return Transition(
        id=f"{alert_id}-{state}", alert_id=alert_id, rule="company surge", group={"entities.id": "x:FTX"}, severity="critical",
        state=state, reason=TransitionReason.SURGE if active else TransitionReason.WINDOW_PASSED, time=time,
        decided=NOW, summary="FTX: 2 of 3 texts negative", query='entities.id:"x:FTX"', evidence={"events": 3, "p_value": 1e-9},
        event_ids=event_ids,
    )  # fmt: skip


async def counters() -> dict[str, float]:
    return {"read": 12.0, "indexed": 6.0}


async def submit(topic: str, raw: bytes) -> None:
    raise Retryable("the broker does not answer")


def client(
    index: Index, *, alerts: AlertStore | None = None, registry: CollectorRegistry | None = None, gauges: Gauges = no_gauges
) -> TestClient:
    deps = Deps(
        index=index, alerts=alerts, counters=counters, submit=submit, gauges=gauges, clock=lambda: NOW, version="1.2.3"
    )  # fmt: skip
    app = build_app(deps, registry=registry or CollectorRegistry())
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


def filled() -> MemoryIndex:
    index = MemoryIndex(clock=lambda: NOW)
    assert asyncio.run(index.write([document(record) for record in RECORDS])) == []
    return index


@pytest.fixture
def web() -> TestClient:
    return client(filled())


@pytest.fixture
def store(tmp_path: Path) -> AlertStore:
    return open_store(f"sqlite:///{tmp_path / 'state.sqlite'}")


def search(web: TestClient, **params: Any) -> Any:
    answer = web.get("/api/search", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(found: Any) -> list[str]:
    return [hit["id"] for hit in found["hits"]]


# --- search ---------------------------------------------------------------------------------------------------------


def test_no_query_finds_everything_newest_first_and_whole(web: TestClient) -> None:
    found = search(web)
    assert ids(found) == ["payment/1", "news-5", "news-4", "news-3", "news-2", "news-1"]
    assert found["total"] == 6
    assert found["hits"][-1] == json.loads(msgspec.json.encode(RECORDS[0]))


def test_a_query_narrows_and_says_how_it_was_understood_and_what_to_mark(web: TestClient) -> None:
    found = search(web, q='title:"chapter 11" or bankrupt* and not profit')
    assert ids(found) == ["news-3", "news-2"]
    assert found["highlight"] == ["chapter 11", "bankrupt*"]
    assert "chapter 11" in found["explained"]
    assert found["warnings"] == []


def test_an_unknown_field_finds_nothing_and_warns_with_the_nearest(web: TestClient) -> None:
    found = search(web, q="sentimnt.label:negative")
    assert found["total"] == 0
    assert "sentiment.label" in found["warnings"][0]


def test_a_range_of_time_holds_its_start_and_not_its_end(web: TestClient) -> None:
    begin, end = BEGIN + timedelta(hours=1), BEGIN + timedelta(hours=26)
    assert ids(search(web, **{"from": begin.isoformat(), "to": end.isoformat()})) == ["news-3", "news-2"]
    assert search(web, **{"from": "2022-11-09"})["total"] == 3
    assert search(web, to="2022-11-09T00:00:00+00:00")["total"] == 3


def test_last_counts_back_from_the_newest_event_not_from_now(web: TestClient) -> None:
    assert ids(search(web, last="24h")) == ["payment/1", "news-5", "news-4"]


def test_paging_and_order(web: TestClient) -> None:
    page = search(web, size=2, offset=2, sort="time:asc")
    assert ids(page) == ["news-3", "news-4"]
    assert page["total"] == 6
    assert ids(search(web, sort="sentiment.score:asc,time:desc", q="kind:news", size=1)) == ["news-4"]


@pytest.mark.parametrize(
    ("query", "position"),
    [("kind:", 5), ("(a or b", 7), ("lang:en and ", 12), ("💥 kind:(", 8)],
    ids=["value", "bracket", "word", "emoji"],
)
def test_a_query_that_does_not_parse_is_400_with_the_position(web: TestClient, query: str, position: int) -> None:
    answer = web.get("/api/search", params={"q": query})
    assert answer.status_code == 400
    body = answer.json()
    assert body["query"] == query
    assert body["position"] == position
    assert len(body["error"]) > 10
    assert web.get("/api/trend", params={"q": query}).status_code == 400


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2022-13-01"}, "to"),
        ({"from": "2022-11-09", "to": "2022-11-08"}, "from"),
        ({"last": "24"}, "last"),
        ({"last": "-1h"}, "last"),
        ({"last": "٣h"}, "last"),
        ({"last": "h"}, "last"),
        ({"size": "1001"}, "size"),
        ({"size": "ten"}, "size"),
        ({"size": "٣"}, "size"),
        ({"offset": "-1"}, "offset"),
        ({"offset": "9990", "size": "50"}, "offset"),
        ({"sort": "time:up"}, "sort"),
        ({"sort": "title"}, "sort"),
        ({"sort": "nothing"}, "sort"),
    ],
)
def test_a_parameter_that_does_not_fit_is_400_with_its_name(web: TestClient, params: dict[str, str], field: str) -> None:
    answer = web.get("/api/search", params=params)
    assert (answer.status_code, answer.json()["field"]) == (400, field)


def test_one_event_by_id_even_with_a_slash(web: TestClient) -> None:
    assert web.get("/api/events/news-2").json()["title"] == "FTX is bankrupt"
    assert web.get("/api/events/payment%2F1").json()["fraud_score"] == 0.97
    missing = web.get("/api/events/news-9")
    assert missing.status_code == 404
    assert "news-9" in missing.json()["error"]


def test_the_fields_that_can_be_asked_for_come_with_help(web: TestClient) -> None:
    fields = {field["name"]: field for field in web.get("/api/fields").json()}
    assert fields["sentiment.score"]["type"] == "number"
    assert all(field["help"] for field in fields.values())


# --- trend ----------------------------------------------------------------------------------------------------------


def test_the_trend_covers_the_datas_own_range_with_one_axis_for_all_topics(web: TestClient) -> None:
    body = web.get("/api/trend").json()
    trend = body["trend"]
    assert body["data"] == {"from": "2022-11-08T00:00:00Z", "to": "2022-11-10T00:00:00Z"}
    steps = {after - before for before, after in zip(trend["times"], trend["times"][1:], strict=False)}
    assert steps == {trend["interval_s"]}
    assert [series["label"] for series in trend["topics"]] == ["Crypto", "Earnings", "Property"]
    for series in [trend["all"], *trend["topics"]]:
        assert len(series["count"]) == len(series["negative_share"]) == len(series["average_score"]) == len(trend["times"])
    assert trend["all"]["total"] == sum(trend["all"]["count"]) == 6
    assert [series["total"] for series in trend["topics"]] == [3, 1, 1]


def test_shares_and_averages_leave_out_what_has_no_sentiment(web: TestClient) -> None:
    trend = web.get("/api/trend", params={"from": "2022-11-08", "to": "2022-11-08T03:00:00Z", "q": "FTX"}).json()["trend"]
    weights = trend["all"]["scored"]
    negative = sum(share * weight for share, weight in zip(trend["all"]["negative_share"], weights, strict=True) if weight)
    assert negative == pytest.approx(2, abs=1e-3)
    payments = web.get("/api/trend", params={"q": "kind:transaction"}).json()["trend"]["all"]
    assert (payments["total"], payments["negative_share"], payments["average_score"]) == (1, [None], [None])


def test_the_number_of_topics_can_be_bounded(web: TestClient) -> None:
    assert [series["label"] for series in web.get("/api/trend?topics=1").json()["trend"]["topics"]] == ["Crypto"]


def test_an_empty_index_has_an_empty_trend_and_no_range() -> None:
    web = client(MemoryIndex())
    body = web.get("/api/trend").json()
    assert (body["trend"]["times"], body["trend"]["topics"], body["data"]) == ([], [], {"from": None, "to": None})
    assert search(web, last="7d")["total"] == 0


async def _tantivy(folder: Path) -> TantivyIndex:
    index = TantivyIndex.open(folder, writable=True)
    assert await index.write([document(record) for record in RECORDS]) == []
    return index


def test_the_embedded_index_answers_as_the_one_in_memory(tmp_path: Path, web: TestClient) -> None:
    index = asyncio.run(_tantivy(tmp_path / "index"))
    embedded = client(index)
    for path in ("/api/trend", "/api/trend?q=FTX&last=24h", "/api/events/news-4"):
        assert embedded.get(path).json() == web.get(path).json()
    for params in ({"q": "恒大"}, {"q": "negative or 11", "sort": "sentiment.score:asc"}, {"last": "24h"}):
        assert ids(search(embedded, **params)) == ids(search(web, **params))
    asyncio.run(index.close())


# --- alerts ---------------------------------------------------------------------------------------------------------


def test_alerts_are_listed_newest_first_and_by_state(store: AlertStore) -> None:
    store.record(transition("a1", AlertState.ACTIVE, hours=1), ["console"])
    store.record(transition("a2", AlertState.ACTIVE, hours=2), [])
    store.record(transition("a1", AlertState.INACTIVE, hours=3), ["console"])
    web = client(filled(), alerts=store)
    listed = web.get("/api/alerts").json()
    assert listed["enabled"] is True
    assert [(alert["alert_id"], alert["state"]) for alert in listed["alerts"]] == [("a2", "active"), ("a1", "inactive")]
    assert [alert["alert_id"] for alert in web.get("/api/alerts?state=inactive").json()["alerts"]] == ["a1"]
    assert [alert["alert_id"] for alert in web.get("/api/alerts?limit=1").json()["alerts"]] == ["a2"]
    assert web.get("/api/alerts?rule=other").json()["alerts"] == []
    assert web.get("/api/alerts?state=open").json()["field"] == "state"
    assert web.get("/api/alerts?limit=0").status_code == 400


def test_an_alert_explains_itself(store: AlertStore) -> None:
    store.record(transition("a1", AlertState.ACTIVE, hours=2, event_ids=("news-2", "news-1", "news-gone")), ["console", "desk"])
    [delivery] = store.claim_due(NOW, 1, 60, receiver="console")
    store.mark_delivered(delivery, NOW)
    store.record(transition("a1", AlertState.INACTIVE, hours=9, event_ids=("news-2",)), [])
    body = client(filled(), alerts=store).get("/api/alerts/a1").json()
    assert (body["alert"]["rule"], body["alert"]["state"]) == ("company surge", "inactive")
    assert [each["state"] for each in body["transitions"]] == ["active", "inactive"]
    assert body["transitions"][0]["evidence"] == {"events": 3, "p_value": 1e-9}
    assert [event["title"] for event in body["events"]] == ["FTX is bankrupt", "FTX stops withdrawals"]
    assert body["missing_events"] == ["news-gone"]
    by_receiver = {each["receiver"]: each for each in body["deliveries"]}
    assert (by_receiver["console"]["status"], by_receiver["desk"]["status"]) == ("delivered", "pending")
    assert by_receiver["console"]["attempts"] == 1
    assert "lease" not in by_receiver["desk"]


def test_an_alert_that_is_not_there_is_404_and_a_server_without_alerts_says_so(store: AlertStore) -> None:
    assert client(filled(), alerts=store).get("/api/alerts/none").status_code == 404
    without = client(filled())
    assert without.get("/api/alerts").json() == {"alerts": [], "enabled": False}
    assert without.get("/api/alerts/a1").status_code == 404


# --- health and metrics ---------------------------------------------------------------------------------------------


class AwayIndex(MemoryIndex):
    """An index whose server does not answer."""

    async def search(self, request: SearchRequest) -> SearchPage:
        raise Retryable("the index does not answer")

    async def count(self, node: Any, *, start: datetime | None = None, end: datetime | None = None) -> int:
        raise Retryable("the index does not answer")


def test_an_index_that_is_away_is_503_with_retry_after_and_not_ready(store: AlertStore) -> None:
    web = client(AwayIndex(), alerts=store)
    answer = web.get("/api/search")
    assert (answer.status_code, answer.json()["error"]) == (503, "the index does not answer; try again")
    assert int(answer.headers["Retry-After"]) > 0
    ready = web.get("/readyz")
    assert (ready.status_code, ready.json()) == (503, {"index": "the index does not answer", "alerts": "ok"})
    assert web.get("/healthz").json() == {"status": "up", "version": "1.2.3"}


def test_ready_means_that_index_and_store_answer(store: AlertStore) -> None:
    ready = client(filled(), alerts=store).get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"index": "ok", "alerts": "ok"})


def test_counters_come_with_the_stores_counts(store: AlertStore) -> None:
    store.record(transition("a1", AlertState.ACTIVE, hours=1), ["console"])
    body = client(filled(), alerts=store).get("/api/counters").json()
    assert body["counters"] == {"read": 12.0, "indexed": 6.0}
    assert (body["alerts"]["active"], body["alerts"]["pending"]) == (1, 1)
    assert body["time"] == "2026-11-22T00:00:00Z"


def test_metrics_hold_the_registry_and_the_pipelines_counters() -> None:
    registry = CollectorRegistry()
    Counter("requests", "Requests", registry=registry).inc(3)
    answer = client(filled(), registry=registry).get("/metrics")
    assert "requests_total 3.0" in answer.text
    assert 'groundswell_pipeline{counter="read"} 12.0' in answer.text
    assert answer.headers["content-type"].startswith("text/plain")


def test_metrics_hold_what_the_composition_root_reads() -> None:
    async def gauges() -> list[Reading]:
        return [Reading(LAG, {"topic": "news.raw", "stage": stage}, 3) for stage in ("a", "b")]

    answer = client(filled(), gauges=gauges).get("/metrics")
    assert 'groundswell_lag_messages{stage="a",topic="news.raw"} 3.0' in answer.text
    assert answer.text.count("# TYPE groundswell_lag_messages gauge") == 1


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/api/nothing", 404)])
def test_an_unknown_path_is_json_404(web: TestClient, path: str, status: int) -> None:
    answer = web.get(path)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_method_that_is_not_offered_is_405(web: TestClient) -> None:
    assert web.post("/api/search").status_code == 405
    assert web.delete("/api/events/news").status_code == 405


def test_the_values_of_a_field_are_the_most_frequent_within_query_and_range(web: TestClient) -> None:
    assert web.get("/api/values?field=topic.label").json()[0] == {"value": "Crypto", "count": 3}
    assert web.get("/api/values?field=lang&last=24h").json() == [{"value": "en", "count": 1}, {"value": "zh", "count": 1}]
    assert web.get("/api/values?field=lang&q=profit&size=1").json() == [{"value": "en", "count": 1}]


@pytest.mark.parametrize("field", ["title", "amount", "nothing", ""])
def test_only_keywords_have_values_to_list(web: TestClient, field: str) -> None:
    answer = web.get("/api/values", params={"field": field})
    assert (answer.status_code, answer.json()["field"]) == (400, "field")
