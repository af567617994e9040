"""Delivery: at least once with one id, in order per alert, and no receiver waits for another."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerts.deliver import DeliveryRound, deliver_due, run_deliveries
from alerts.receivers import Console, TransportError, open_receivers
from alerts.receivers.spec import ConsoleSpec
from alerts.retry import SCHEDULE_S
from alerts.store import AlertStore, Delivery, open_store
from core.records import AlertState, Transition, TransitionReason

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


@dataclass
class FakeClock:
    """A clock that moves when it is told to."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class Inbox:
    """A receiver whose answers a test chooses; it keeps what was accepted and what was tried."""

    name: str = "hook"
    target: str = "target-1"
    answer: Callable[[Delivery], Awaitable[None]] | None = None
    tried: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    async def send(self, delivery: Delivery) -> None:
        self.tried.append(delivery.id)
        if self.answer is not None:
            await self.answer(delivery)
        self.accepted.append(delivery.transition_id)

    async def aclose(self) -> None:
        return None


def raising(error: Exception) -> Callable[[Delivery], Awaitable[None]]:
    async def answer(_delivery: Delivery) -> None:
        raise error

    return answer


@pytest.fixture
def store(tmp_path: Path) -> AlertStore:
    return open_store(f"sqlite:///{tmp_path}/alerts.db")


def transition(alert: str = "a1", state: AlertState = AlertState.ACTIVE) -> Transition:
    return Transition(
        id=f"{alert}-{state.value}",
        alert_id=alert,
        rule="r",
        group={},
        severity="warning",
        state=state,
        reason=TransitionReason.FREQUENCY,
        time=NOW,
        decided=NOW,
        summary=f"summary of {alert}",
        query="",
        evidence={},
        event_ids=(),
    )


def round_of(store: AlertStore, *receivers: Inbox | Console, clock: FakeClock) -> DeliveryRound:
    return asyncio.run(deliver_due(store, {receiver.name: receiver for receiver in receivers}, clock=clock))


def test_console_prints_one_line(store: AlertStore) -> None:
    out, clock = io.StringIO(), FakeClock()
    receivers = open_receivers([ConsoleSpec("console")], console=out)
    store.record(transition(), ["console"])
    assert asyncio.run(deliver_due(store, receivers, clock=clock)) == DeliveryRound(delivered=1)
    assert asyncio.run(deliver_due(store, receivers, clock=clock)) == DeliveryRound()
    assert out.getvalue() == "FIRING warning 2026-03-02T08:00:00Z summary of a1\n"


def test_a_crash_between_send_and_record_delivers_again_with_the_same_id(store: AlertStore) -> None:
    store.record(transition(), ["hook"])
    lost = store.claim_due(NOW, 1, 120.0)[0]  # a worker that sends this, and dies before it records it
    clock, inbox = FakeClock(), Inbox()
    assert round_of(store, inbox, clock=clock) == DeliveryRound()
    clock.pass_s(120)
    assert round_of(store, inbox, clock=clock) == DeliveryRound(delivered=1)
    assert inbox.tried == [lost.id]
    assert store.counts().delivered == 1


def test_the_schedule_is_followed_and_ends(store: AlertStore) -> None:
    store.record(transition(), ["hook"])
    clock, inbox = FakeClock(), Inbox(answer=raising(TransportError("down")))
    for wait_s in SCHEDULE_S[1:]:
        assert round_of(store, inbox, clock=clock) == DeliveryRound(retried=1)
        clock.pass_s(wait_s - 0.001)
        assert round_of(store, inbox, clock=clock) == DeliveryRound()  # never before its time
        clock.pass_s(wait_s * 0.1 + 0.002)  # at most a tenth of jitter after it
    assert round_of(store, inbox, clock=clock) == DeliveryRound(failed=1)
    assert len(inbox.tried) == 10
    assert len(set(inbox.tried)) == 1
    assert store.deliveries("a1")[0].last_error == "down"


def test_retry_after_is_honoured_and_stops_the_round(store: AlertStore) -> None:
    for n in range(10):
        store.record(transition(f"a{n}"), ["hook"])
    clock, inbox = FakeClock(), Inbox(answer=raising(TransportError("busy", retry_after_s=600.0)))
    assert round_of(store, inbox, clock=clock).retried == 10
    assert len(inbox.tried) <= 4  # those under way when the first answer came
    inbox.answer = None
    clock.pass_s(599)
    assert round_of(store, inbox, clock=clock) == DeliveryRound()
    clock.pass_s(62)
    assert round_of(store, inbox, clock=clock).delivered == 10


def test_gone_disables_the_address_until_it_changes(store: AlertStore) -> None:
    store.record(transition("a1"), ["hook"])
    clock, inbox = FakeClock(), Inbox(answer=raising(TransportError("410 Gone", gone=True)))
    assert round_of(store, inbox, clock=clock) == DeliveryRound(failed=1)
    store.record(transition("a2"), ["hook"])
    assert round_of(store, inbox, clock=clock) == DeliveryRound(failed=1)
    assert len(inbox.tried) == 1
    assert "disabled" in (store.deliveries("a2")[0].last_error or "")
    store.record(transition("a3"), ["hook"])
    moved = Inbox(target="target-2")
    assert round_of(store, moved, clock=clock) == DeliveryRound(delivered=1)


def test_a_permanent_failure_is_not_tried_again(store: AlertStore) -> None:
    store.record(transition(), ["hook"])
    clock, inbox = FakeClock(), Inbox(answer=raising(TransportError("bad", permanent=True)))
    assert round_of(store, inbox, clock=clock) == DeliveryRound(failed=1)
    clock.pass_s(10**6)
    assert round_of(store, inbox, clock=clock) == DeliveryRound()


def test_a_receiver_that_crashes_is_retried_and_told_without_details(store: AlertStore) -> None:
    store.record(transition(), ["hook"])
    inbox = Inbox(answer=raising(ValueError("whsec_secret")))
    assert round_of(store, inbox, clock=FakeClock()) == DeliveryRound(retried=1)
    assert store.deliveries("a1")[0].last_error == "the receiver crashed (ValueError); see the log"


def test_the_resolution_never_overtakes_its_firing(store: AlertStore) -> None:
    store.record(transition(), ["hook"])
    store.record(transition(state=AlertState.INACTIVE), ["hook"])
    clock, inbox = FakeClock(), Inbox(answer=raising(TransportError("down")))
    assert round_of(store, inbox, clock=clock) == DeliveryRound(retried=1)
    inbox.answer = None
    assert round_of(store, inbox, clock=clock) == DeliveryRound()
    clock.pass_s(6)
    assert round_of(store, inbox, clock=clock) == DeliveryRound(delivered=1)
    assert round_of(store, inbox, clock=clock) == DeliveryRound(delivered=1)
    assert inbox.accepted == ["a1-active", "a1-inactive"]


def test_receivers_without_a_name_here_keep_their_deliveries(store: AlertStore) -> None:
    store.record(transition(), ["elsewhere"])
    assert round_of(store, Inbox(), clock=FakeClock()) == DeliveryRound()
    assert store.counts().pending == 1


def test_a_stuck_receiver_delays_no_other_and_the_loop_stops(store: AlertStore) -> None:
    for n in range(20):
        store.record(transition(f"a{n}"), ["stuck", "fast"])

    async def run() -> tuple[Inbox, Inbox]:
        never, all_there, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def block(_delivery: Delivery) -> None:
            await never.wait()

        async def count(_delivery: Delivery) -> None:
            if len(fast.tried) == 20:
                all_there.set()

        stuck, fast = Inbox("stuck", answer=block), Inbox("fast", answer=count)
        clock = FakeClock()
        loop = asyncio.create_task(run_deliveries(store, {"stuck": stuck, "fast": fast}, clock=clock, stop=stop))
        await asyncio.wait_for(all_there.wait(), 30)
        assert not stuck.accepted
        stop.set()
        never.set()
        await asyncio.wait_for(loop, 30)
        return stuck, fast

    stuck, fast = asyncio.run(run())
    assert sorted(fast.accepted) == sorted(f"a{n}-active" for n in range(20))
    assert len(stuck.accepted) == 16  # the round that was under way is ended, and no other begun
    assert store.counts().pending == 4
