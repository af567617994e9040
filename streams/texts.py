"""Raw news and posts → scored texts. `groundswell score text` runs the same `TextScoring`."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from core.clock import Clock, epoch_s
from core.codec import decode_news, decode_social, encode
from core.errors import InvalidRecord
from core.ids import content_id
from core.records import Entity, NewsItem, ScoredText, SocialPost
from core.topics import NEWS_RAW, TEXT_SCORED
from models.text.entities import EntityLinker
from models.text.score import TextScore
from streams.messages import Outgoing, Received, Worked
from streams.silence import Tide, source_name
from streams.steps import Mark
from streams.watermarks import Rising, mark_messages

MAX_ENTITIES = 200  # per text; 100 kB of cashtags would otherwise grow to a record that no broker takes


class ScoresTexts(Protocol):
    """What `TextModels` does; a bench puts one of fixed cost in its place."""

    def score(self, texts: Sequence[str], langs: Sequence[str | None]) -> list[TextScore]:
        """For each text its score; `langs` is what the sources say of their languages."""
        ...


@dataclass(frozen=True, slots=True)
class TextScoring:
    """Scores and links texts; safe to call from several threads."""

    scorer: ScoresTexts
    linker: EntityLinker

    def score(self, texts: Sequence[str], langs: Sequence[str | None]) -> list[tuple[TextScore, tuple[Entity, ...]]]:
        """For each text its language, sentiment, topic, and the first `MAX_ENTITIES` mentions of the watchlist's entities."""
        linked = [self.linker.link(text)[:MAX_ENTITIES] for text in texts]
        return list(zip(self.scorer.score(texts, langs), linked, strict=True))


@dataclass(slots=True)
class ScoreTexts:
    """Raw news and posts → `text.scored`, keyed by id; behind them the marks of the partitions by which they came."""

    scoring: TextScoring
    clock: Clock
    partitions: int
    tide: Tide
    _high_s: dict[str, float] = field(default_factory=dict)
    _rising: Rising = field(default_factory=Rising)

    async def __call__(self, batch: Sequence[Received]) -> Worked:
        worked, now = Worked(), self.clock()
        sources: list[str] = []
        items: list[NewsItem | SocialPost] = []
        for message in batch:
            try:
                items.append(decode_text(message, now))
            except InvalidRecord as error:
                worked.dead.append((message, str(error)))
            else:
                sources.append(source_name(message.topic, message.partition))
        worked.outgoing += await asyncio.to_thread(self._scored, items, now)
        for source, item in zip(sources, items, strict=True):
            time_s = epoch_s(item.published)
            self._high_s[source] = max(time_s, self._high_s.get(source, time_s))
            self.tide.rise(time_s)
        marks = [Mark(source, high_s, high_s) for source, high_s in self._high_s.items()]
        worked.outgoing += mark_messages(TEXT_SCORED, self._rising.news(marks), self.partitions)
        return worked

    def _scored(self, items: Sequence[NewsItem | SocialPost], now: datetime) -> list[Outgoing]:
        scores = self.scoring.score([text_of(item) for item in items], [item.lang for item in items])
        records = [
            scored_text(item, score, entities, ingested=now) for item, (score, entities) in zip(items, scores, strict=True)
        ]
        return [Outgoing(TEXT_SCORED.name, encode(record), key=record.id.encode()) for record in records]


def decode_text(message: Received, now: datetime) -> NewsItem | SocialPost:
    """The item or post in a message of `news.raw` or `social.raw`."""
    return decode_news(message.value, now) if message.topic == NEWS_RAW.name else decode_social(message.value, now)


def text_of(item: NewsItem | SocialPost) -> str:
    """The text that is scored: a post's text, or title and body set apart by a blank line."""
    if isinstance(item, SocialPost):
        return item.text
    return f"{item.title}\n\n{item.body}" if item.body else item.title


def event_id(item: NewsItem | SocialPost) -> str:
    """The id of an item: from its source and its own id, else from its content; a replay gives the same."""
    kind = "social" if isinstance(item, SocialPost) else "news"
    if item.id is not None:
        return content_id(kind, item.source, item.id)
    return content_id(kind, item.source, item.published.isoformat(), text_of(item))


def scored_text(item: NewsItem | SocialPost, score: TextScore, entities: tuple[Entity, ...], *, ingested: datetime) -> ScoredText:
    """The item with its scores."""
    post = isinstance(item, SocialPost)
    return ScoredText(
        id=event_id(item),
        kind="social" if post else "news",
        time=item.published,
        ingested=ingested,
        published=item.published,
        source=item.source,
        native_id=item.id,
        title=None if isinstance(item, SocialPost) else item.title,
        body=None if isinstance(item, SocialPost) else item.body,
        text=item.text if isinstance(item, SocialPost) else None,
        author=item.author if isinstance(item, SocialPost) else None,
        url=item.url,
        followers=item.followers if isinstance(item, SocialPost) else None,
        lang=score.lang,
        sentiment=score.sentiment,
        topic=score.topic,
        reason=score.reason,
        entities=entities,
        model=score.model,
        extra=item.extra,
    )
