"""The heads: which columns of the network's output answer which question in which language.

The topics share one matrix for all languages: a topic that both an English and a Chinese set label is learned from both. A
language's topic head is the softmax over the columns of the topics that its set labels.
"""

from collections.abc import Collection
from dataclasses import dataclass

from models.text.config import SENTIMENTS, Question
from models.training.text.taxonomy import taxonomy

LANGUAGES = ("en", "zh", "es")


@dataclass(frozen=True, slots=True)
class Head:
    """`columns` of the network's output, one for each label."""

    name: str
    task: Question
    labels: tuple[str, ...]
    columns: tuple[int, ...]


def _heads() -> dict[str, Head]:
    topics = taxonomy()
    subjects = topics.subjects
    at = 0

    def next_columns(count: int) -> tuple[int, ...]:
        nonlocal at
        at += count
        return tuple(range(at - count, at))

    found = [Head(f"sentiment.{lang}", "sentiment", SENTIMENTS, next_columns(3)) for lang in ("en", "zh", "es")]
    matrix = dict(zip(subjects, next_columns(len(subjects)), strict=True))
    for name, offered in (
        ("topic.en", topics.subjects_of("twitter_topic")),
        ("topic.zh", topics.subjects_of("finnl")),
        ("topic.any", subjects),
    ):
        found.append(Head(name, "topic", offered, tuple(matrix[each] for each in offered)))
    found.append(Head("region.zh", "region", topics.regions, next_columns(len(topics.regions))))
    found.extend(Head(name, "sentiment", SENTIMENTS, next_columns(3)) for name in ("companies.es", "consumers.es"))
    return {head.name: head for head in found}


HEADS = _heads()
COLUMNS = 1 + max(column for head in HEADS.values() for column in head.columns)


def serving(trained: Collection[str]) -> dict[str, tuple[str, ...]]:
    """For each language the heads that answer for it, where only some heads were trained.

    A language without a head of its own is carried by the encoder: its texts get the English sentiment head and the topics of all.

    >>> serving({"sentiment.en", "topic.en", "sentiment.zh", "topic.zh"})["es"]
    ('sentiment.en', 'topic.any')
    >>> serving({"sentiment.en"})
    {'en': ('sentiment.en',), 'zh': ('sentiment.en',), 'es': ('sentiment.en',)}
    """
    shared = "topic.any" if {"topic.en", "topic.zh"} <= set(trained) else "topic.en"
    found = {}
    for lang in LANGUAGES:
        wanted = ((f"sentiment.{lang}", "sentiment.en"), (f"topic.{lang}", shared), (f"region.{lang}",))
        first = (next((name for name in names if name in trained or name == "topic.any" == shared), None) for names in wanted)
        found[lang] = tuple(name for name in first if name is not None)
    return found
