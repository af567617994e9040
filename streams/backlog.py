"""How much is in flight: what the topics hold less what the ledger says was worked off."""

from collections.abc import Iterable, Mapping

from core.topics import (
    ALERTS_MATCHES,
    ALERTS_TRANSITIONS,
    LABELS_RAW,
    NEWS_RAW,
    SCORED,
    SOCIAL_RAW,
    TRANSACTIONS_BY_CUSTOMER,
    TRANSACTIONS_BY_ID,
    TRANSACTIONS_BY_TERMINAL,
    TRANSACTIONS_RAW,
    Topic,
)
from streams.ledger import Entry

GROUP = "groundswell"  # the consumer group of all workers
Place = tuple[str, int]  # topic and partition
# Which stage reads which topics: the agents, the commits and the backlog all follow it.
READERS: dict[str, tuple[Topic, ...]] = {
    "score_texts": (NEWS_RAW, SOCIAL_RAW),
    "admit": (TRANSACTIONS_RAW, LABELS_RAW),
    "join_labels": (TRANSACTIONS_BY_ID,),
    "meet_customer": (TRANSACTIONS_BY_CUSTOMER,),
    "score_transactions": (TRANSACTIONS_BY_TERMINAL,),
    "index": SCORED,
    "match": SCORED,
    "evaluate": (ALERTS_MATCHES,),
    "route": (ALERTS_TRANSITIONS,),
}
TOPICS = sorted({topic.name for topics in READERS.values() for topic in topics})


def readers_of(topic: str) -> list[str]:
    """The stages that read a topic.

    >>> readers_of("text.scored")
    ['index', 'match']
    """
    return [stage for stage, topics in READERS.items() if any(each.name == topic for each in topics)]


def lags(ends: Mapping[Place, int], entries: Iterable[Entry]) -> dict[tuple[str, str], int]:
    """Messages that a stage has still to work off, by stage and topic.

    >>> lags({("news.raw", 0): 5}, [Entry("score_texts", "news.raw", 0, 2, 3, 0, 0)])
    {('score_texts', 'news.raw'): 2}
    """
    done = {(entry.stage, entry.topic, entry.partition): entry.offset + 1 for entry in entries}
    found: dict[tuple[str, str], int] = {}
    for (topic, partition), end in ends.items():
        for stage in readers_of(topic):
            waiting = max(0, end - done.get((stage, topic, partition), 0))
            found[stage, topic] = found.get((stage, topic), 0) + waiting
    return found


def backlog(ends: Mapping[Place, int], entries: Iterable[Entry]) -> int:
    """Messages that some stage has still to work off, each counted once for every stage that reads it.

    >>> backlog({("text.scored", 0): 5}, [Entry("index", "text.scored", 0, 2, 3, 0, 0)])
    7
    """
    return sum(lags(ends, entries).values())


def uncommitted(committed: Mapping[Place, int], entries: Iterable[Entry]) -> dict[str, int]:
    """Messages that every stage which reads them has worked off and whose offsets are not committed, by topic.

    >>> uncommitted({("text.scored", 0): 1}, [Entry(stage, "text.scored", 0, 4, 5, 0, 0) for stage in ("index", "match")])
    {'text.scored': 4}
    """
    done = {(entry.stage, entry.topic, entry.partition): entry.offset + 1 for entry in entries}
    found: dict[str, int] = {}
    for (topic, partition), offset in committed.items():
        settled = min((done.get((stage, topic, partition), 0) for stage in readers_of(topic)), default=0)
        found[topic] = found.get(topic, 0) + max(0, settled - offset)
    return found


def in_flight(ends: Mapping[Place, int], entries: Iterable[Entry]) -> int:
    """The backlog, or the payments on their way to a score where those are more: a parcel is one message and holds many.

    >>> in_flight({}, [Entry("admit", "transactions.raw", 0, 9, 8, 0, 2), Entry("score_transactions", "", 0, 1, 5, 0, 0)])
    3
    """
    rows = list(entries)
    admitted = sum(row.passed for row in rows if row.stage == "admit" and row.topic == TRANSACTIONS_RAW.name)
    scored = sum(row.passed for row in rows if row.stage == "score_transactions")
    dead = sum(row.dead for row in rows if row.stage in ("meet_customer", "score_transactions"))
    return max(backlog(ends, rows), admitted - scored - dead)
