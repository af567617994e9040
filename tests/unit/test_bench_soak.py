"""The soak's books: each kind of loss, repetition or miscount shows in the line that is about it."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice, pairwise
from random import Random

import pytest

from alerts.rows import Delivery
from bench.soak.books import Check, alerted, counted, dead, events
from bench.soak.faults import LASTS, plan
from bench.soak.feed import Sent, payments, poison, texts, world
from bench.soak.receiver import Receiver
from core.codec import DECODERS
from core.errors import InvalidRecord
from core.records import AlertState, DeadLetter, Transition, TransitionReason
from core.topics import RAW
from streams.backlog import READERS
from streams.ledger import Entry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = {topic.name: kind for kind, topic in RAW.items()}


def failing(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.holds]


def test_what_is_sent_is_decoded_and_what_is_poison_is_not() -> None:
    good = [*islice(texts(Random(1)), 50), *islice(payments(world(1_000, 1)), 50)]
    assert len({item.message.value for item in good}) == 100
    for item in good:
        DECODERS[KINDS[item.message.topic]](item.message.value, datetime.now(UTC))
    ill = list(islice(poison(Random(1)), 200))
    assert len({item.message.value for item in ill}) == 200
    for item in ill:
        with pytest.raises(InvalidRecord):
            DECODERS[KINDS[item.message.topic]](item.message.value, datetime.now(UTC))


def test_faults_follow_from_the_seed_and_end_before_the_soak() -> None:
    faults = plan(7, seconds=3_600, gap_s=(30, 90))
    assert {fault.kind for fault in faults} == set(LASTS)
    assert faults != plan(8, seconds=3_600, gap_s=(30, 90))
    assert all(30 <= later.at_s - fault.at_s <= 90 for fault, later in pairwise(faults))
    assert faults[-1].at_s < 3_570


def test_books_of_events() -> None:
    sent = Sent(ids={"a", "b"})
    assert failing(events(sent, Counter("ab"))) == []
    assert failing(events(sent, Counter("a"))) == ["texts and payments sent, in the index", "lost: sent and not in the index"]
    assert failing(events(sent, Counter("abb"))) == ["duplicates: in the index more than once"]
    assert failing(events(sent, Counter("abc"))) == ["in the index and never sent"]


def test_books_of_dead_letters() -> None:
    sent = Sent(poison={b"x"})
    letter = DeadLetter(raw=b"x", reason="r", stage="admit", topic="t", partition=0, offset=1, time=NOW)
    assert failing(dead(sent, [letter, letter], 1)) == [], "a letter that is written again is from the same place"
    assert failing(dead(sent, [], 0)) == ["poison sent, in the dead letters"]
    assert failing(dead(sent, [letter], 2)) == ["dead letters by their places, in the ledger"]
    other = DeadLetter(raw=b"y", reason="r", stage="index", topic="t", partition=0, offset=2, time=NOW)
    assert failing(dead(sent, [letter, other], 2)) == ["dead letters that were no poison"]


def test_books_of_the_ledger() -> None:
    ends = {(topic.name, 0): 3 for topics in READERS.values() for topic in topics}
    rows = [Entry(stage, topic.name, 0, 2, 3, 0, 0) for stage, topics in READERS.items() for topic in topics]
    assert failing(list(counted(ends, rows))) == []
    for number, row in enumerate(rows):
        behind = [*rows[:number], replace(row, offset=1), *rows[number + 1 :]]
        assert failing(list(counted(ends, behind))) == [f"messages that `{row.stage}` has come to"]
    missing = [replace(row, passed=2) if row.stage == "index" else row for row in rows]
    assert failing(list(counted(ends, missing))) == ["messages that `index` has counted"]
    unscored = [replace(row, passed=2) if row.stage == "score_transactions" else row for row in rows]
    assert failing(list(counted(ends, unscored))) == ["payments admitted, scored"]


def test_books_of_alerts() -> None:
    receiver = Receiver()
    receiver.taken.update(["msg-webhook"])
    told = transition()
    made = [delivery(told, name) for name in ("webhook", "console")]
    assert failing(alerted([told, told], made, receiver, {"p"})) == []
    assert failing(alerted([told], made, receiver, {"p", "q"})) == ["payments taken for fraud, with an alert"]
    pending = [replace(made[0], status="pending"), made[1]]
    assert failing(alerted([told], pending, receiver, {"p"})) == ["transitions, delivered to the webhook"]
    assert failing(alerted([told], made, Receiver(), {"p"})) == ["deliveries to the webhook, taken by it"]


def transition() -> Transition:
    return Transition(
        id="t", alert_id="a", rule="fraud-payment", group={"id": "p"}, severity="critical", state=AlertState.ACTIVE,
        reason=TransitionReason.THRESHOLD, time=NOW, decided=NOW, summary="", query="", evidence={}, event_ids=(),
    )  # fmt: skip


def delivery(told: Transition, receiver: str) -> Delivery:
    return Delivery(
        id=f"msg-{receiver}", transition_id=told.id, alert_id=told.alert_id, receiver=receiver, status="delivered", attempts=1,
        next_attempt=NOW, last_error=None, delivered_at=NOW, transition=told,
    )  # fmt: skip
