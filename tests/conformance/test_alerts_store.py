"""The store: idempotent records, an outbox that several processes share, order per alert."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from alerts.store import AlertStore, Delivery, open_store
from core.errors import ConfigError
from core.records import AlertState, Transition, TransitionReason

NOW = datetime(2026, 3, 2, 8, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def store(database_url: str) -> Iterator[AlertStore]:
    with opened(database_url) as store:
        yield store


def transition(alert: str = "a1", state: AlertState = AlertState.ACTIVE, *, at: datetime = NOW, rule: str = "r") -> Transition:
    firing = state is AlertState.ACTIVE
    return Transition(
        id=f"{alert}-{state.value}",
        alert_id=alert,
        rule=rule,
        group={"entities.id": "公司"},
        severity="critical",
        state=state,
        reason=TransitionReason.FREQUENCY if firing else TransitionReason.WINDOW_PASSED,
        time=at,
        decided=NOW,
        summary=f"{alert} {state.value}",
        query="kind:news",
        evidence={"p": 0.25, "window_end": "x"},
        event_ids=("e2", "e1"),
    )


def replace_text(record: Transition, text: str) -> Transition:
    return msgspec.structs.replace(record, summary=text, query=text, group={"id": text})


@contextmanager
def opened(url: str) -> Iterator[AlertStore]:
    store = open_store(url)
    yield store
    store.engine.dispose()


def test_record_is_idempotent(store: AlertStore) -> None:
    assert store.record(transition(), ["console", "hook", "hook"])
    assert not store.record(transition(), ["console", "hook"])
    assert not store.record(transition(), ["another"])
    counts = store.counts()
    assert (counts.active, counts.inactive, counts.transitions, counts.pending) == (1, 0, 1, 2)
    assert store.transitions("a1") == [transition()]


def test_an_alert_follows_its_transitions(store: AlertStore) -> None:
    later = NOW + timedelta(minutes=10)
    store.record(transition(), [])
    store.record(transition(state=AlertState.INACTIVE, at=later), [])
    alert = store.get_alert("a1")
    assert alert is not None
    assert (alert.state, alert.opened, alert.resolved) == (AlertState.INACTIVE, NOW, later)
    assert (alert.summary, alert.group) == ("a1 active", {"entities.id": "公司"})
    assert [t.state for t in store.transitions("a1")] == [AlertState.ACTIVE, AlertState.INACTIVE]
    assert store.get_alert("none") is None


def test_a_firing_that_comes_after_its_resolution_reopens_nothing(store: AlertStore) -> None:
    later = NOW + timedelta(minutes=10)
    store.record(transition(state=AlertState.INACTIVE, at=later), [])
    store.record(transition(), [])
    alert = store.get_alert("a1")
    assert alert is not None
    assert (alert.state, alert.opened, alert.resolved) == (AlertState.INACTIVE, NOW, later)


def test_listing(store: AlertStore) -> None:
    for n in range(5):
        store.record(transition(f"a{n}", at=NOW + timedelta(minutes=n), rule=f"r{n % 2}"), ["console"])
    store.record(transition("a4", AlertState.INACTIVE, at=NOW + timedelta(hours=1)), ["console"])
    assert [alert.alert_id for alert in store.list_alerts(3)] == ["a4", "a3", "a2"]
    assert [alert.alert_id for alert in store.list_alerts(state="active", rule="r0")] == ["a2", "a0"]
    assert len(store.deliveries("a4")) == 2
    assert len(store.deliveries(status="pending", receiver="console", limit=4)) == 4
    assert store.deliveries(status="failed") == []
    assert msgspec.json.decode(msgspec.json.encode(store.list_alerts(1)))[0]["alert_id"] == "a4"


def test_what_closed_long_ago_and_is_delivered_is_forgotten(store: AlertStore) -> None:
    hour = timedelta(hours=1)
    for name in ("open", "recent", "undelivered", "old"):
        store.record(transition(name), ["console"] if name in ("undelivered", "old") else [])
    for name, closed in (("recent", NOW + 5 * hour), ("undelivered", NOW + hour), ("old", NOW + hour)):
        store.record(transition(name, AlertState.INACTIVE, at=closed), [])
    (delivery,) = store.deliveries("old")
    store.mark_delivered(delivery, NOW)
    assert store.forget(NOW + hour) == 0, "it closed at that very moment"
    assert store.forget(NOW + 2 * hour) == 1
    assert {alert.alert_id for alert in store.list_alerts()} == {"open", "recent", "undelivered"}
    assert not store.transitions("old")
    assert not store.deliveries("old")
    assert len(store.deliveries("undelivered")) == 1


def test_a_claim_leases_and_an_expired_lease_is_claimable_again(store: AlertStore) -> None:
    store.record(transition(), ["console"])
    first = store.claim_due(NOW, 10, 60.0)
    assert [delivery.attempts for delivery in first] == [1]
    assert first[0].id.startswith("msg_")
    assert first[0].transition == transition()
    assert store.claim_due(NOW + timedelta(seconds=59), 10, 60.0) == []
    second = store.claim_due(NOW + timedelta(seconds=60), 10, 60.0)
    assert [(d.id, d.attempts) for d in second] == [(first[0].id, 2)]
    # the first worker wakes up again: its failure must not take the claim from the second
    store.mark_failed(first[0], "too slow", next_attempt=NOW)
    assert store.claim_due(NOW + timedelta(seconds=61), 10, 60.0) == []
    store.mark_delivered(second[0], NOW + timedelta(seconds=62))
    store.mark_failed(second[0], "no", next_attempt=NOW)
    done = store.deliveries("a1")[0]
    assert (done.status, done.delivered_at, done.lease) == ("delivered", NOW + timedelta(seconds=62), None)


def test_failures_wait_or_end(store: AlertStore) -> None:
    store.record(transition(), ["console"])
    delivery = store.claim_due(NOW, 10, 60.0)[0]
    store.mark_failed(delivery, "boom", next_attempt=NOW + timedelta(seconds=5))
    assert store.claim_due(NOW + timedelta(seconds=4), 10, 60.0) == []
    delivery = store.claim_due(NOW + timedelta(seconds=5), 10, 60.0)[0]
    assert (delivery.attempts, delivery.last_error) == (2, "boom")
    store.mark_failed(delivery, "x" * 10_000, next_attempt=None)
    ended = store.deliveries("a1")[0]
    assert ended.status == "failed"
    assert len(ended.last_error or "") == 500
    assert store.counts().failed == 1
    assert store.claim_due(NOW + timedelta(days=9), 10, 60.0) == []


def test_what_a_dead_worker_had_claimed_can_be_freed_at_once(store: AlertStore) -> None:
    store.record(transition(), ["hook"])
    (claimed,) = store.claim_due(NOW, 10, 60)
    assert store.claim_due(NOW, 10, 60) == []
    assert store.release_all() == 1
    (again,) = store.claim_due(NOW, 10, 60)
    assert (again.id, again.attempts) == (claimed.id, 2)
    store.mark_delivered(again, NOW)
    assert store.release_all() == 0


def test_a_released_claim_does_not_count_as_a_try(store: AlertStore) -> None:
    store.record(transition(), ["console"])
    store.release(store.claim_due(NOW, 10, 60.0)[0], next_attempt=NOW + timedelta(seconds=30))
    assert store.claim_due(NOW + timedelta(seconds=29), 10, 60.0) == []
    assert store.claim_due(NOW + timedelta(seconds=30), 10, 60.0)[0].attempts == 1


def test_the_resolution_waits_for_its_firing_per_receiver(store: AlertStore) -> None:
    store.record(transition(), ["console", "hook"])
    store.record(transition(state=AlertState.INACTIVE), ["console", "hook"])
    store.record(transition("a2"), ["hook"])
    claimed = {(d.receiver, d.transition_id): d for d in store.claim_due(NOW, 10, 60.0)}
    assert set(claimed) == {("console", "a1-active"), ("hook", "a1-active"), ("hook", "a2-active")}
    store.mark_delivered(claimed["console", "a1-active"], NOW)
    store.mark_failed(claimed["hook", "a1-active"], "down", next_attempt=NOW + timedelta(hours=1))
    assert [(d.receiver, d.transition_id) for d in store.claim_due(NOW, 10, 60.0)] == [("console", "a1-inactive")]
    due = store.claim_due(NOW + timedelta(hours=1), 10, 60.0, receiver="hook")
    assert [d.transition_id for d in due if d.alert_id == "a1"] == ["a1-active"]


def test_claims_of_one_receiver(store: AlertStore) -> None:
    store.record(transition(), ["console", "hook"])
    assert [d.receiver for d in store.claim_due(NOW, 10, 60.0, receiver="hook")] == ["hook"]
    assert [d.receiver for d in store.claim_due(NOW, 10, 60.0)] == ["console"]


def test_disabled_receivers(store: AlertStore) -> None:
    store.disable_receiver("hook", "target-1", reason="410", at=NOW)
    store.disable_receiver("hook", "target-1", reason="again", at=NOW)
    assert store.disabled_reason("hook", "target-1") == "410"
    assert store.disabled_reason("hook", "target-2") is None
    assert store.enable_receiver("hook")
    assert not store.enable_receiver("hook")
    assert store.disabled_reason("hook", "target-1") is None


def test_opening_again_keeps_everything(database_url: str) -> None:
    for _ in range(2):
        with opened(database_url) as store:
            store.record(transition(), ["console"])
            assert store.counts().pending == 1


def test_the_folder_of_a_file_is_made(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/deep/alerts.db") as store:
        assert store.record(transition(), [])


@pytest.mark.parametrize("url", ["nonsense", "mongodb://host/x", "mysql://host/x", "sqlite:////proc/none/alerts.db"])
def test_addresses_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError):
        open_store(url)


def test_in_memory() -> None:
    store = open_store("sqlite://")
    assert store.record(transition(), ["console"])
    assert len(store.claim_due(NOW, 1, 60.0)) == 1


def claim_all(url: str, claimed: "multiprocessing.Queue[list[str]]") -> None:
    found = []
    with opened(url) as store:
        while batch := store.claim_due(NOW, 3, 600.0):
            found += [delivery.id for delivery in batch]
    claimed.put(found)


def record_all(url: str, recorded: "multiprocessing.Queue[list[str]]") -> None:
    with opened(url) as store:
        recorded.put([f"a{n}" for n in range(40) if store.record(transition(f"a{n}"), ["console"])])


def run_two(target: object, url: str) -> list[list[str]]:
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[list[str]] = context.Queue()
    workers = [context.Process(target=target, args=(url, answers)) for _ in range(2)]  # type: ignore[arg-type]
    for worker in workers:
        worker.start()
    found = [answers.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join(60)
    return found


def test_two_processes_claim_each_delivery_once(store: AlertStore, database_url: str) -> None:
    for n in range(120):
        store.record(transition(f"a{n}"), ["console"])
    first, second = run_two(claim_all, database_url)
    assert len(first) + len(second) == 120
    assert set(first).isdisjoint(second)


def test_two_processes_record_each_transition_once(store: AlertStore, database_url: str) -> None:
    first, second = run_two(record_all, database_url)
    assert sorted(first + second) == sorted(f"a{n}" for n in range(40))
    assert store.counts().pending == 40


def test_any_text_can_be_recorded(store: AlertStore) -> None:
    odd = replace_text(transition(), "\0 NUL, \u2028, \U0001f600 and \ud7ff")
    store.record(odd, ["console"])
    assert store.transitions("a1") == [odd]
    (alert,) = store.list_alerts()
    assert alert.summary == odd.summary.replace("\0", "\ufffd")
    delivery = store.claim_due(NOW, 1, 60.0)[0]
    store.mark_failed(delivery, "\0", next_attempt=NOW)
    assert store.deliveries()[0].last_error == "\ufffd"


def test_delivery_is_a_value(store: AlertStore) -> None:
    store.record(transition(), ["console"])
    delivery = store.deliveries()[0]
    assert isinstance(delivery, Delivery)
    assert replace(delivery) == delivery
