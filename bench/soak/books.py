"""The books: what was sent held against the index, the dead letters, the ledger, the offsets and the receiver.

Each check reads its two sides from different places, so that a mistake in one shows.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import kafka
import msgspec

from alerts.rows import Delivery
from bench.soak.feed import Sent
from bench.soak.receiver import Receiver
from commands import wiring
from core.records import DeadLetter, Transition
from core.settings import Settings
from core.topics import ALERTS_TRANSITIONS, TRANSACTIONS_RAW
from streams.backlog import GROUP, READERS, TOPICS
from streams.dead_reader import DeadReader
from streams.kafka_client import Offsets, connection
from streams.ledger import Entry

Ends = Mapping[tuple[str, int], int]
# Stages that count one record for each message; between the others go parcels of many
_COUNTED = ("score_texts", "admit", "index", "match", "evaluate", "route")
_FRAUD = ("fraud-payment", 0.9)  # a rule of the samples, and the score from which on it fires
_PAGE = 5_000
_ALL_DELIVERIES = 10_000_000
_ANSWER_S = 120.0
_READ_MS = 5_000


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the books."""

    name: str
    expected: int
    found: int

    @property
    def holds(self) -> bool:
        return self.expected == self.found


@dataclass(frozen=True, slots=True)
class Books:
    """All checks, and what happened more than once as it may: with the same ids, so that it counted once."""

    checks: list[Check]
    repeated: dict[str, int]

    @property
    def hold(self) -> bool:
        return all(check.holds for check in self.checks)

    def lines(self) -> Iterator[str]:
        """Markdown."""
        yield "| Books | expected | found | |"
        yield "|---|---|---|---|"
        for check in self.checks:
            yield f"| {check.name} | {check.expected} | {check.found} | {'' if check.holds else '**does not hold**'} |"
        yield ""
        yield "Repeated under the same id, as delivery at least once may: " + ", ".join(
            f"{count} {name}" for name, count in self.repeated.items()
        )


def audit(settings: Settings, sent: Sent, receiver: Receiver, page: str) -> Books:
    """The books as they are now; `page` is the address of the web page."""
    entries = wiring.open_ledger(settings).entries()
    indexed = Counter(_ids(settings, {"match_all": {}}))
    with DeadReader(settings) as reader:
        letters = [letter for _, letter in reader.fresh(None)]
    deliveries = wiring.open_alerts(settings).deliveries(limit=_ALL_DELIVERIES)
    transitions = [msgspec.json.decode(value, type=Transition) for value in values(settings, ALERTS_TRANSITIONS.name)]
    frauds = set(_ids(settings, {"range": {"fraud_score": {"gte": _FRAUD[1]}}}))
    with closing(Offsets(settings)) as offsets:
        ends = offsets.ends(TOPICS)
        committed = offsets.committed(GROUP, ends)
    total = httpx.get(f"{page}/api/search", params={"size": 0}, timeout=_ANSWER_S).raise_for_status().json()["total"]
    places = {(letter.topic, letter.partition, letter.offset) for letter in letters}
    return Books(
        [
            *events(sent, indexed),
            Check("events that the page finds", len(sent.ids), total),
            *dead(sent, letters, sum(entry.dead for entry in entries)),
            *counted(ends, entries),
            Check("messages behind the committed offsets", 0, sum(end - committed.get(place, 0) for place, end in ends.items())),
            *alerted(transitions, deliveries, receiver, frauds),
        ],
        {
            "messages sent again by the source": sent.again,
            "dead letters": len(letters) - len(places),
            "transitions": len(transitions) - len({each.id for each in transitions}),
            "deliveries": receiver.taken.total() - len(receiver.taken),
        },
    )


def events(sent: Sent, indexed: Counter[str]) -> list[Check]:
    """Every id that was sent is in the index once, and nothing else is.

    >>> [check.found for check in events(Sent(ids={"a", "b", "c"}), Counter("abbx"))]
    [2, 1, 1, 1]
    """
    return [
        Check("texts and payments sent, in the index", len(sent.ids), sum(1 for id in sent.ids if id in indexed)),  # noqa: A001
        Check("lost: sent and not in the index", 0, sum(1 for id in sent.ids if id not in indexed)),  # noqa: A001
        Check("duplicates: in the index more than once", 0, sum(1 for count in indexed.values() if count > 1)),
        Check("in the index and never sent", 0, sum(1 for id in indexed if id not in sent.ids)),  # noqa: A001
    ]


def dead(sent: Sent, letters: Sequence[DeadLetter], by_ledger: int) -> list[Check]:
    """Every poisonous record is a dead letter, and nothing else is; the ledger counts each place that they came from once."""
    found = {letter.raw for letter in letters}
    places = {(letter.topic, letter.partition, letter.offset) for letter in letters}
    return [
        Check("poison sent, in the dead letters", len(sent.poison), len(sent.poison & found)),
        Check("dead letters that were no poison", 0, len(found - sent.poison)),
        Check("dead letters by their places, in the ledger", len(places), by_ledger),
    ]


def counted(ends: Ends, entries: Iterable[Entry]) -> Iterator[Check]:
    """Each stage's `read = passed + absorbed + dead` is what its topics hold, and every payment that was admitted was scored."""
    rows = list(entries)
    for stage in READERS:
        topics = {topic.name for topic in READERS[stage]}
        held = sum(end for (topic, _), end in ends.items() if topic in topics)
        mine = [row for row in rows if row.stage == stage]
        yield Check(f"messages that `{stage}` has come to", held, sum(row.offset + 1 for row in mine))
        if stage in _COUNTED:
            yield Check(f"messages that `{stage}` has counted", held, sum(row.read for row in mine))
    admitted = sum(row.passed for row in rows if (row.stage, row.topic) == ("admit", TRANSACTIONS_RAW.name))
    scored = sum(row.passed for row in rows if row.stage == "score_transactions")
    late = sum(row.dead for row in rows if row.stage in ("meet_customer", "score_transactions"))
    yield Check("payments admitted, scored", admitted, scored + late)


def alerted(
    transitions: Sequence[Transition], deliveries: Sequence[Delivery], receiver: Receiver, frauds: set[str]
) -> list[Check]:
    """Every transition is delivered to both receivers of the samples' rules, and every payment taken for fraud has an alert."""
    ids = {each.id for each in transitions}
    done = Counter(each.receiver for each in deliveries if each.status == "delivered" and each.transition_id in ids)
    webhook = {each.id for each in deliveries if each.receiver == "webhook"}
    warned = {each.group["id"] for each in transitions if each.rule == _FRAUD[0]}
    return [
        Check("transitions, delivered to the webhook", len(ids), done["webhook"]),
        Check("transitions, delivered to the console", len(ids), done["console"]),
        Check("deliveries to the webhook, taken by it", len(webhook), len(webhook & receiver.taken.keys())),
        Check("deliveries taken that nobody recorded", 0, len(receiver.taken.keys() - webhook)),
        Check("deliveries with a wrong signature", 0, receiver.refused),
        Check("payments taken for fraud, with an alert", len(frauds), len(frauds & warned)),
    ]


def _ids(settings: Settings, query: dict[str, Any]) -> Iterator[str]:
    """The id of each document that a query finds, as often as it is there."""
    with httpx.Client(base_url=settings.elasticsearch, timeout=_ANSWER_S) as client:
        body = {"query": query, "size": _PAGE, "_source": False, "sort": ["_doc"]}
        options = {"scroll": "5m", "ignore_unavailable": "true"}
        answer = client.post(f"/{settings.elasticsearch_prefix}/_search", params=options, json=body).raise_for_status().json()
        while hits := answer["hits"]["hits"]:
            yield from (hit["_id"] for hit in hits)
            onward = {"scroll": "5m", "scroll_id": answer["_scroll_id"]}
            answer = client.post("/_search/scroll", json=onward).raise_for_status().json()


def values(settings: Settings, topic: str) -> Iterator[bytes]:
    """The value of every message of a topic; empty where it has none."""
    consumer = kafka.KafkaConsumer(**connection(settings), enable_auto_commit=False)
    try:
        places = [kafka.TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends = consumer.end_offsets(places)
        while any(consumer.position(place) < ends[place] for place in places):
            for messages in consumer.poll(timeout_ms=_READ_MS).values():
                yield from (message.value or b"" for message in messages)
    finally:
        consumer.close()
