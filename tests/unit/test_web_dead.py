"""Dead letters over HTTP and on the page: the letters of a data folder's file, replayed into a list in place of a broker."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from alerts.database import open_engine
from alerts.migrate import upgrade
from core.dead import DeadPage, DeadQuery, Replay
from core.errors import Retryable
from core.records import DeadLetter
from search.memory_index import MemoryIndex
from streams.dead_archive import DeadArchive
from streams.dead_box import DeadBox
from streams.dead_replays import DeadReplays
from streams.messages import Outgoing
from web.app import Deps, build_app
from web.bodies import MAX_RECORD_BYTES

NOW = datetime(2026, 11, 22, tzinfo=UTC)
GOOD = '{"published": "2022-11-08T00:00:00Z", "source": "wire", "title": "A mended title"}'


def letter(number: int, raw: bytes, reason: str, *, topic: str = "news.raw", stage: str = "score_texts") -> DeadLetter:
    time = NOW + timedelta(seconds=number)
    return DeadLetter(raw=raw, reason=reason, stage=stage, topic=topic, partition=0, offset=number, time=time, key=b"k")


LETTERS = [
    letter(0, b"{broken", "invalid JSON at byte 1"),
    letter(1, b'{"source": "wire"}', "published: Field Missing"),
    letter(2, b"caf\xe9", "not UTF-8"),
    letter(3, b"{}", "id: field missing", topic="transactions.raw", stage="admit"),
    letter(4, b'{"x": 1}', "no such document", topic="text.scored", stage="index"),
]


class Topics:
    """What sends: a list. With `room`, that many messages and no more."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, bytes | None]] = []
        self.room = 1_000

    def send(self, message: Outgoing) -> None:
        if not self.room:
            raise Retryable("the broker does not answer")
        self.room -= 1
        self.sent.append((message.topic, message.value, message.key))

    def flush(self) -> None:
        return None


class Desk:
    """The box, as the page's server wraps it."""

    def __init__(self, box: DeadBox, topics: Topics) -> None:
        self.box, self.topics = box, topics

    async def page(self, query: DeadQuery, *, limit: int, offset: int) -> DeadPage:
        return self.box.page(query, limit=limit, offset=offset)

    async def read(self, place: str) -> tuple[DeadLetter, Replay | None]:
        return self.box.read(place)

    async def replay(self, places: Sequence[str], raw: bytes | None = None) -> int:
        return self.box.replay(self.topics, places, raw)


async def no_counters() -> dict[str, float]:
    return {}


async def refuse(topic: str, raw: bytes) -> None:
    raise NotImplementedError


@pytest.fixture
def box(tmp_path: Path) -> DeadBox:
    return opened(tmp_path)


def opened(folder: Path) -> DeadBox:
    archive = DeadArchive(folder / "dead.jsonl")
    if not (folder / "dead.jsonl").exists():
        archive.append(LETTERS)
    engine = open_engine(f"sqlite:///{folder / 'state.sqlite'}")
    upgrade(engine)
    return DeadBox(archive, DeadReplays(engine), lambda: NOW)


@pytest.fixture
def topics() -> Topics:
    return Topics()


@pytest.fixture
def web(box: DeadBox, topics: Topics) -> TestClient:
    return client(Desk(box, topics))


def client(desk: Desk | None) -> TestClient:
    deps = Deps(index=MemoryIndex(), alerts=None, counters=no_counters, submit=refuse, dead=desk, clock=lambda: NOW)
    app = build_app(deps, registry=CollectorRegistry())
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False)


def places(web: TestClient, **params: Any) -> list[str]:
    answer = web.get("/api/dead", params=params)
    assert answer.status_code == 200, answer.text
    return [each["place"] for each in answer.json()["letters"]]


def test_letters_are_found_newest_first_by_topic_stage_and_words_of_the_reason(web: TestClient) -> None:
    assert places(web) == [f"saved:{line}" for line in (5, 4, 3, 2, 1)]
    assert places(web, topic="news.raw", limit=2) == ["saved:3", "saved:2"]
    assert places(web, stage="index") == ["saved:5"]
    assert places(web, reason="MISSING field") == ["saved:4", "saved:2"]
    assert places(web, reason="missing", offset=1) == ["saved:2"]
    answer = web.get("/api/dead?limit=1").json()
    assert (answer["total"], answer["open"], answer["kept"], answer["older"]) == (5, 5, 5, False)
    assert answer["stages"] == ["admit", "index", "score_texts"]
    assert answer["letters"][0]["begins"] == '{"x": 1}'


@pytest.mark.parametrize("asked", ["topic=nothing", "limit=0", "limit=501", "offset=-1", "reason=" + "x" * 501])
def test_what_cannot_be_asked_is_told_with_its_field(web: TestClient, asked: str) -> None:
    answer = web.get(f"/api/dead?{asked}")
    assert (answer.status_code, answer.json()["field"]) == (400, asked.partition("=")[0])


def test_a_letter_is_shown_as_text_or_as_bytes(web: TestClient) -> None:
    text = web.get("/api/dead/saved:1").json()
    assert (text["text"], text["hex"], text["reason"], text["stage"]) == (
        "{broken",
        None,
        "invalid JSON at byte 1",
        "score_texts",
    )
    assert (text["topic"], text["partition"], text["offset"], text["replayed"]) == ("news.raw", 0, 0, None)
    raw = web.get("/api/dead/saved:3").json()
    assert raw["text"] is None
    assert raw["hex"].startswith("00000000  63 61 66 e9 ")
    assert (raw["proposed"], raw["cut"]) == ("caf\ufffd", False)


@pytest.mark.parametrize("place", ["saved:0", "saved:6", "saved:x", "news.raw.dead:0:1", "nothing"])
def test_a_place_without_a_letter_is_404(web: TestClient, place: str) -> None:
    assert web.get(f"/api/dead/{place}").status_code == 404
    assert web.post(f"/api/dead/{place}/replay", json={}).status_code == 404


def test_a_letter_is_replayed_as_it_was_and_remembered(web: TestClient, topics: Topics, tmp_path: Path) -> None:
    assert web.post("/api/dead/saved:1/replay", json={}).json() == {"sent": 1, "left": 0}
    assert topics.sent == [("news.raw", b"{broken", b"k")]
    assert web.get("/api/dead/saved:1").json()["replayed"] == {"time": "2026-11-22T00:00:00Z", "mended": False}
    assert places(web, open=1, topic="news.raw") == ["saved:3", "saved:2"]
    assert web.get("/api/dead").json()["open"] == 4
    again = opened(tmp_path)  # another process, or after a restart
    assert again.open() == 4


def test_a_mended_letter_is_sent_in_the_letters_place(web: TestClient, topics: Topics) -> None:
    assert web.post("/api/dead/saved:3/replay", json={"text": GOOD}).status_code == 202
    assert topics.sent == [("news.raw", GOOD.encode(), b"k")]
    assert web.get("/api/dead/saved:3").json()["replayed"]["mended"] is True


@pytest.mark.parametrize(
    ("place", "body", "status"),
    [
        ("saved:1", {"text": "{still broken"}, 422),
        ("saved:1", {"text": '{"source": "wire"}'}, 422),
        ("saved:1", {"text": "x" * (MAX_RECORD_BYTES + 1)}, 413),
        ("saved:1", {"texts": GOOD}, 400),
        ("saved:1", [], 400),
    ],
)
def test_a_mending_that_mends_nothing_is_refused_and_not_sent(
    web: TestClient, topics: Topics, place: str, body: Any, status: int
) -> None:
    answer = web.post(f"/api/dead/{place}/replay", json=body)
    assert (answer.status_code, topics.sent) == (status, [])
    assert answer.json()["error"]
    assert places(web, open=1, topic="news.raw") == ["saved:3", "saved:2", "saved:1"]


def test_all_open_letters_that_are_chosen_are_replayed_oldest_first(web: TestClient, topics: Topics) -> None:
    web.post("/api/dead/saved:1/replay", json={})
    assert web.post("/api/dead/replay", json={"topic": "news.raw"}).json() == {"sent": 2, "left": 0}
    assert [raw for _, raw, _ in topics.sent] == [LETTERS[0].raw, LETTERS[1].raw, LETTERS[2].raw]
    assert web.post("/api/dead/replay", json={"reason": "missing"}).json()["sent"] == 1
    assert places(web, open=1) == ["saved:5"]


@pytest.mark.parametrize("body", [{}, {"reason": "  "}, {"topic": "nothing"}, {"all": True}])
def test_everything_at_once_is_not_replayed_by_mistake(web: TestClient, topics: Topics, body: Any) -> None:
    assert (web.post("/api/dead/replay", json=body).status_code, topics.sent) == (400, [])


def test_a_letter_whose_sending_fails_stays_open(web: TestClient, topics: Topics) -> None:
    topics.room = 0
    assert web.post("/api/dead/saved:1/replay", json={}).status_code == 503
    assert web.get("/api/dead").json()["open"] == 5


def test_other_sites_cannot_replay(web: TestClient, topics: Topics) -> None:
    for path in ("/api/dead/saved:1/replay", "/api/dead/replay"):
        assert web.post(path, json={"topic": "news.raw"}, headers={"Origin": "https://evil.example"}).status_code == 403
        assert web.post(path, content="{}", headers={"Content-Type": "text/plain"}).status_code == 415
        assert web.get(path).status_code in (404, 405)
    assert topics.sent == []


def test_a_server_without_letters_says_so() -> None:
    web = client(None)
    assert web.get("/api/dead").json() == {"letters": [], "total": 0, "enabled": False}
    assert web.post("/api/dead/replay", json={"topic": "news.raw"}).status_code == 404


def test_letters_that_come_later_are_seen_and_one_that_is_being_written_is_not_yet(box: DeadBox, tmp_path: Path) -> None:
    assert box.open() == 5
    file = tmp_path / "dead.jsonl"
    DeadArchive(file).append([letter(9, b"late", "late")])
    with file.open("ab") as stream:
        stream.write(b'{"raw"')
    later = opened(tmp_path)
    assert [each.place for each in later.page(DeadQuery(), limit=1).letters] == ["saved:6"]
    assert later.read("saved:6")[0].raw == b"late"


def test_only_the_newest_are_kept_for_browsing(tmp_path: Path) -> None:
    archive = DeadArchive(tmp_path / "dead.jsonl")
    archive.append(LETTERS)
    engine = open_engine(f"sqlite:///{tmp_path / 'state.sqlite'}")
    upgrade(engine)
    page = DeadBox(archive, DeadReplays(engine), lambda: NOW, kept=2).page(DeadQuery())
    assert ([each.place for each in page.letters], page.older) == (["saved:5", "saved:4"], True)


def test_a_letter_that_was_written_twice_is_one_and_open_again_where_the_record_failed_again(
    box: DeadBox, tmp_path: Path
) -> None:
    assert box.replay(Topics(), ["saved:1"]) == 1
    assert box.open() == 4
    again = msgspec.structs.replace(LETTERS[0], time=NOW + timedelta(seconds=20))
    DeadArchive(tmp_path / "dead.jsonl").append([again, msgspec.structs.replace(again, offset=9)])
    page = opened(tmp_path).page(DeadQuery())
    assert [each.place for each in page.letters] == ["saved:7", "saved:6", "saved:5", "saved:4", "saved:3", "saved:2"]
    assert (page.total, page.open) == (6, 6)


def test_the_pages_answer_is_json_that_a_browser_reads(web: TestClient) -> None:
    assert json.loads(web.get("/api/dead").text)["letters"][0]["time"] == "2026-11-22T00:00:04Z"
