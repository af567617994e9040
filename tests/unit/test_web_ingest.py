"""POST /api/events/…: what comes in, in which shapes, and what the sender learns about each record."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.testclient import TestClient

from core import topics
from core.codec import DECODERS
from core.errors import InvalidRecord, Retryable
from search.memory_index import MemoryIndex
from web.app import Deps, build_app
from web.bodies import MAX_BODY_BYTES, MAX_RECORD_BYTES, MAX_RECORDS

NOW = datetime(2022, 11, 12, tzinfo=UTC)
ITEM = {"published": "2022-11-11T14:29:37Z", "source": "wire", "title": "FTX files for bankruptcy"}
POST = {"published": "2022-11-11T14:29:37Z", "source": "weibo", "text": "恒大 暴跌 💥"}
PAYMENT = {"id": "t1", "time": "2022-11-11T14:29:37Z", "customer_id": "C1", "terminal_id": "T1", "amount": 4.5, "currency": "USD"}
LABEL = {"transaction_id": "t1", "fraud": True, "time": "2022-11-12T00:00:00Z"}


class Log:
    """Topics in memory: valid records in their topic, the others in its dead-letter topic, as the broker's producer does it."""

    def __init__(self, *, room: int = 1_000_000) -> None:
        self.records: dict[str, list[bytes]] = {}
        self.room = room

    async def submit(self, topic: str, raw: bytes) -> None:
        if not self.room:
            raise Retryable("the broker does not answer")
        self.room -= 1
        kind = next(name for name, each in topics.RAW.items() if each.name == topic)
        try:
            DECODERS[kind](raw, NOW)
        except InvalidRecord:
            self.records.setdefault(topic + topics.DEAD_SUFFIX, []).append(raw)
            raise
        self.records.setdefault(topic, []).append(raw)


async def no_counters() -> dict[str, float]:
    return {}


def client(log: Log) -> TestClient:
    deps = Deps(index=MemoryIndex(), alerts=None, counters=no_counters, submit=log.submit, clock=lambda: NOW, version="1")
    return TestClient(build_app(deps), base_url="http://localhost", raise_server_exceptions=False)


def post(log: Log, kind: str, body: bytes | str, content_type: str = "application/json") -> Any:
    return client(log).post(f"/api/events/{kind}", content=body, headers={"Content-Type": content_type})


@pytest.mark.parametrize(
    ("kind", "record"), [("news", ITEM), ("social", POST), ("transactions", PAYMENT), ("labels", LABEL)], ids=str
)
def test_one_object_goes_to_the_topic_of_its_kind_byte_for_byte(kind: str, record: dict[str, Any]) -> None:
    log = Log()
    raw = json.dumps(record, ensure_ascii=False, indent=2).encode()
    answer = post(log, kind, raw)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": []})
    assert log.records == {f"{kind}.raw": [raw]}


def test_an_array_keeps_its_order_and_each_record_its_bytes() -> None:
    log = Log()
    parts = [json.dumps({**PAYMENT, "id": f"t{i}"}).encode() for i in range(450)]
    answer = post(log, "transactions", b"[" + b" ,\n".join(parts) + b"]")
    assert answer.json()["accepted"] == 450
    assert log.records["transactions.raw"] == parts


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/jsonl", "Application/X-NDJSON; charset=utf-8"])
def test_bad_lines_are_dead_letters_and_named_by_line_while_good_ones_go_on(content_type: str) -> None:
    log = Log()
    lines = [
        json.dumps(ITEM).encode(),
        b"",
        b'{"published": "2022',
        json.dumps({**ITEM, "title": " "}).encode(),
        json.dumps({"source": "wire", "title": "T"}).encode() + b"\r",
        b"\xff\xfe",
    ]
    answer = post(log, "news", b"\n".join(lines), content_type)
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 1
    rejected = answer.json()["rejected"]
    assert [(each["line"], each["field"]) for each in rejected] == [(3, None), (4, "title"), (5, "published"), (6, None)]
    assert rejected[1]["reason"] == "is blank"
    assert log.records["news.raw.dead"] == [lines[2], lines[3], lines[4].strip(), lines[5]]


def test_leading_blank_lines_and_a_byte_order_mark_do_not_shift_the_line_numbers() -> None:
    log = Log()
    answer = post(log, "news", b"\xef\xbb\xbf\n\n" + json.dumps(ITEM).encode() + b"\nno\n", "application/x-ndjson")
    assert answer.json()["accepted"] == 1
    assert [each["line"] for each in answer.json()["rejected"]] == [4]


def test_a_single_invalid_record_is_422_with_the_field() -> None:
    answer = post(Log(), "transactions", json.dumps({**PAYMENT, "amount": -1}))
    assert answer.status_code == 422
    [rejected] = answer.json()["rejected"]
    assert (rejected["line"], rejected["field"]) == (1, "amount")


def test_a_broker_that_stops_answering_is_503_with_retry_after_and_what_got_through() -> None:
    log = Log(room=250)
    body = "\n".join(json.dumps({**PAYMENT, "id": f"t{i}"}) for i in range(1000))
    answer = post(log, "transactions", body, "application/x-ndjson")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["accepted"] == 250
    assert "again" in answer.json()["error"]


def test_a_record_over_the_brokers_limit_is_rejected_and_its_neighbours_are_not() -> None:
    log = Log()
    large = json.dumps({**ITEM, "body": "x" * MAX_RECORD_BYTES})
    answer = post(log, "news", f"{json.dumps(ITEM)}\n{large}\n{json.dumps(ITEM)}", "application/x-ndjson")
    assert answer.json()["accepted"] == 2
    [rejected] = answer.json()["rejected"]
    assert rejected["line"] == 2
    assert "900,000" in rejected["reason"]


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "streamed"])
def test_a_body_over_the_limit_is_413_and_nothing_is_taken(declared: bool) -> None:
    log = Log()
    body = b"[" + b" " * MAX_BODY_BYTES + json.dumps(ITEM).encode() + b"]"
    content = body if declared else iter([body[:1_000_000]] * 6)
    answer = client(log).post("/api/events/news", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert "in parts" in answer.json()["error"]
    assert log.records == {}


def test_too_many_records_are_413() -> None:
    assert post(Log(), "news", "{}\n" * (MAX_RECORDS + 1), "application/x-ndjson").status_code == 413


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"", "application/json", "empty"),
        (b" \n ", "application/x-ndjson", "empty"),
        (b"title,source", "text/csv", "application/x-ndjson"),
        (b"{}", "", "application/json"),
        (b"{}", "application/x-www-form-urlencoded", "application/json"),
        (b'"text"', "application/json", "neither"),
        (b'{"a": 1', "application/json", "not valid JSON"),
        (b"[{}, {]", "application/json", "not valid JSON"),
        (b'{"a": 1}\n{"a": 2}', "application/json", "application/x-ndjson"),
        (b"[" * 100_000, "application/json", "not valid JSON"),
    ],
)
def test_a_body_that_cannot_be_split_is_400_and_says_what_to_send(body: bytes, content_type: str, expected: str) -> None:
    log = Log()
    answer = post(log, "news", body, content_type)
    assert answer.status_code == 400
    assert expected in answer.json()["error"]
    assert log.records == {}


def test_a_compressed_body_is_refused_with_advice() -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = client(Log()).post("/api/events/news", content=b"\x1f\x8b", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["field"] == "Content-Encoding"


def test_an_unknown_kind_names_those_there_are() -> None:
    answer = post(Log(), "tweets", json.dumps(POST))
    assert answer.status_code == 404
    assert "labels, news, social, transactions" in answer.json()["error"]


def test_a_bug_in_submit_is_500_without_internals() -> None:
    def broken() -> Callable[[str, bytes], Any]:
        async def submit(topic: str, raw: bytes) -> None:
            raise ZeroDivisionError("secret detail")

        return submit

    deps = Deps(index=MemoryIndex(), alerts=None, counters=no_counters, submit=broken(), clock=lambda: NOW)
    web = TestClient(build_app(deps), base_url="http://localhost", raise_server_exceptions=False)
    answer = web.post("/api/events/news", json=ITEM)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["content-type"] == "application/json"
