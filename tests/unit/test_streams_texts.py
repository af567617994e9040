"""Raw news and posts through the shipped models, as the worker does it."""

import asyncio
import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

import msgspec

from commands import wiring
from core.codec import MAX_RECORD_BYTES, MAX_TEXT_CHARS
from core.records import ScoredText
from core.settings import load_settings
from core.topics import NEWS_RAW, SOCIAL_RAW, TEXT_SCORED
from streams.batches import BatchRunner
from streams.messages import Received, Worked
from streams.silence import Tide
from streams.texts import MAX_ENTITIES, ScoreTexts, TextScoring

NOW = datetime(2022, 11, 12, tzinfo=UTC)


@cache
def scoring() -> TextScoring:
    return wiring.open_texts(load_settings(environ={}))


def received(record: Any, topic: str = NEWS_RAW.name, offset: int = 0) -> Received:
    return Received(topic, 0, offset, None, record if isinstance(record, bytes) else json.dumps(record).encode(), 0.0)


def news(title: str, **more: Any) -> dict[str, Any]:
    return {"published": "2022-11-08T13:58:33Z", "source": "wire", "title": title, **more}


def work(batch: list[Received]) -> Worked:
    return asyncio.run(ScoreTexts(scoring(), lambda: NOW, 2, Tide())(batch))


def records(worked: Worked) -> list[bytes]:
    """What was sent of texts; the marks behind them are left out."""
    assert all(message.topic == TEXT_SCORED.name for message in worked.outgoing)
    return [message.value for message in worked.outgoing if message.value]


def scored(worked: Worked) -> list[ScoredText]:
    return [msgspec.json.decode(value, type=ScoredText) for value in records(worked)]


def test_a_batch_of_many_kinds() -> None:
    post = {
        "published": "2022-11-08T13:58:33Z",
        "source": "x",
        "text": "$AAPL plunges on weak iPhone sales",
        "followers": 9,
        "likes": 3,
    }
    batch = [
        received(news("Apple shares plunge as iPhone sales miss badly", desk="tech")),
        received(post, SOCIAL_RAW.name),
        received(news("Die Evergrande-Gruppe (3333.HK) dementiert den Konkurs", lang="de")),
        received(b"\xff"),
        received(news("12345")),
    ]
    worked = work(batch)
    first, second, german, digits = scored(worked)
    assert first.sentiment is not None
    assert first.topic is not None
    assert first.sentiment.label == "negative"
    assert abs(first.sentiment.negative + first.sentiment.neutral + first.sentiment.positive - 1) < 1e-6
    assert (first.lang, first.kind, first.extra, first.time, first.ingested) == (
        "en",
        "news",
        {"desk": "tech"},
        first.published,
        NOW,
    )
    assert [entity.id for entity in first.entities] == ["AAPL"]
    assert (second.kind, second.followers, second.extra, second.text) == ("social", 9, {"likes": 3}, post["text"])
    assert (german.lang, german.sentiment, german.model) == ("de", None, None)
    assert german.reason == "no model for language 'de'"
    assert [entity.id for entity in german.entities] == ["3333.HK"]
    assert digits.sentiment is None
    assert [message.value for message, _ in worked.dead] == [b"\xff"]


def test_ids_come_from_source_and_own_id_else_from_content() -> None:
    batch = [
        received(news("A", id="1")),
        received(news("B", id="1")),
        received(news("A")),
        received(news("A")),
        received(news("A", body="x")),
    ]
    ids = [each.id for each in scored(work(batch))]
    assert ids[0] == ids[1]
    assert ids[2] == ids[3]
    assert len(set(ids)) == 3


def test_the_largest_text_full_of_entities_still_fits_into_a_message() -> None:
    title = "$AAPL " * (MAX_TEXT_CHARS // 6)
    (value,) = records(work([received(news(title))]))
    assert len(msgspec.json.decode(value, type=ScoredText).entities) == MAX_ENTITIES
    assert len(value) < MAX_RECORD_BYTES


def test_news_is_scored_with_its_body() -> None:
    good, bad = news("Apple reports", body="Profit rises sharply."), news("Apple reports", body="Profit plunges, shares crash.")
    first, second = scored(work([received(good), received(bad)]))
    assert first.sentiment is not None
    assert second.sentiment is not None
    assert first.sentiment.score > second.sentiment.score + 0.5


class Stub:
    """Stands where the Faust app would: owns one partition."""

    class consumer:  # noqa: N801 — the attribute's name in Faust
        @staticmethod
        def assignment() -> Any:
            from faust.types import TP

            return {TP(NEWS_RAW.name, 0)}


def test_a_record_that_meets_a_bug_is_found_and_the_others_go_on() -> None:
    """One record of a batch makes the stage fail: it alone becomes a dead letter, and says so."""

    async def work(batch: Any) -> Worked:
        if any(message.offset == 3 for message in batch):
            raise ZeroDivisionError("three")
        return Worked(absorbed=list(batch))

    from streams.batches import Stage

    runner = BatchRunner(Stub(), ledger=None, sender=None, max_dead_ratio=0.9)  # type: ignore[arg-type]  # none is reached
    lost = Received(NEWS_RAW.name, 1, 9, None, b"{}", 0.0)  # its partition has moved to another worker
    batch = [*(received(news("A"), offset=offset) for offset in range(5)), lost]
    worked, worked_off = asyncio.run(runner._work(Stage("test", work, 64), batch))
    assert worked_off == batch[:-1]
    assert [message.offset for message in worked.absorbed] == [0, 1, 2, 4]
    assert [(message.offset, reason) for message, reason in worked.dead] == [(3, "unexpected ZeroDivisionError: three")]
