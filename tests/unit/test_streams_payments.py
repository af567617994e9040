"""Payments through their stages: the scores are those of the sorted file, however they come and whoever is killed."""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.codec import decode_label, decode_transaction, encode
from core.records import Label, ScoredTransaction, Transaction
from core.topics import (
    LABELS_RAW,
    TRANSACTIONS_BY_CUSTOMER,
    TRANSACTIONS_BY_ID,
    TRANSACTIONS_BY_TERMINAL,
    TRANSACTIONS_RAW,
    TRANSACTIONS_SCORED,
)
from models.fraud.offline import score_stream
from models.fraud.score import FraudScore
from models.fraud.windows import FeatureRow
from streams.embedded import forget_offsets
from streams.ledger import Tally
from streams.messages import Outgoing
from tests.unit.payment_stages import NOW, Broker, EchoScorer, Worker, alive, run

START = NOW - timedelta(days=90)


@dataclass(frozen=True)
class History:
    """Payments and labels in time order."""

    payments: list[Transaction]
    labels: list[Label]

    def offline(self) -> dict[str, float]:
        """The scores of the sorted file."""
        scored = score_stream(self.payments, self.labels, EchoScorer())  # type: ignore[arg-type]  # a twin of FraudScorer
        return {payment.id: score.fraud_score for payment, score in scored}


def history(pick: random.Random, payments: int, *, span_s: float = 3_000.0, gap: float = 0.5) -> History:
    """Payments of few customers at few terminals, so that their pasts meet, some at the same second; most are labelled later."""
    times = sorted(START + timedelta(seconds=int(pick.random() * span_s)) for _ in range(payments))
    found = [
        Transaction(
            id=f"p{number:04}",
            time=time,
            customer_id=f"C{pick.randrange(4)}",
            terminal_id=f"T{pick.randrange(4)}",
            amount=float(pick.randrange(1, 100)),
            currency="EUR",
        )
        for number, time in enumerate(times)
    ]
    labels = [
        Label(
            transaction_id=each.id,
            fraud=pick.random() < 0.3,
            time=each.time + timedelta(seconds=int(pick.random() * gap * span_s)),
        )
        for each in found
        if pick.random() < 0.8
    ]
    return History(found, sorted(labels, key=lambda label: label.time))


def arrivals(pick: random.Random, past: History, *, jitter_s: float) -> list[Outgoing]:
    """The events in the order in which they come: each at most `jitter_s` after one of later time."""
    events = [(TRANSACTIONS_RAW.name, each.time, encode(each)) for each in past.payments]
    events += [(LABELS_RAW.name, each.time, encode(each)) for each in past.labels]
    coming = sorted((time.timestamp() + pick.random() * jitter_s, topic, raw) for topic, time, raw in events)
    return [Outgoing(topic, raw, partition=pick.randrange(2)) for _, topic, raw in coming]


def streamed(broker: Broker) -> dict[str, set[float]]:
    """All scores that were sent, by payment."""
    found: dict[str, set[float]] = {}
    for raw in broker.values(TRANSACTIONS_SCORED):
        scored = msgspec.json.decode(raw, type=ScoredTransaction)
        found.setdefault(scored.id, set()).add(scored.fraud_score)
    return found


def play(pick: random.Random, broker: Broker, folder: Path, messages: Sequence[Outgoing], *, deaths: int) -> None:
    """Feed the messages bit by bit to a worker that dies and is started again."""
    left = list(messages)
    for death in range(deaths + 1):
        steps = [pick.randrange(5, 400) if death < deaths else 1_000_000_000]

        def killed(steps: list[int] = steps) -> bool:
            steps[0] -= 1
            return steps[0] < 0

        async def life(worker: Worker) -> None:
            while left:
                for message in left[: (part := pick.randrange(1, 30))]:
                    broker.put(message)
                del left[:part]
                for _ in range(pick.randrange(4)):
                    await worker.step(pick.choice(list(worker.stages)), pick.randint(1, 9))
            await worker.drain(pick)

        with alive(Worker(broker, folder, EchoScorer(), killed=killed)) as worker:
            run(life(worker))


@given(seed=st.integers(0, 10**9), deaths=st.integers(0, 4))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_scores_are_those_of_the_sorted_file(seed: int, deaths: int) -> None:
    """In any order within the lateness, with any batches, and killed at any point: exactly the offline scores, each record counted once."""
    pick, broker = random.Random(seed), Broker()
    past = history(pick, 80)
    with tempfile.TemporaryDirectory() as folder:
        play(pick, broker, Path(folder), arrivals(pick, past, jitter_s=4.9), deaths=deaths)
    assert streamed(broker) == {name: {score} for name, score in past.offline().items()}
    assert broker.total("admit") == Tally(passed=len(past.payments) + len(past.labels))
    assert broker.total("score_transactions") == Tally(passed=len(past.payments), absorbed=len(past.labels))
    assert broker.dead == []
    for (_, topic, partition), offset in broker.committed.items():
        assert offset == len(broker.log(topic, partition))


def _drained(folder: Path, messages: Sequence[Outgoing], **more: object) -> tuple[Broker, Worker]:
    """A broker and a worker that has worked the messages off."""
    broker = Broker()
    for message in messages:
        broker.put(message)
    worker = Worker(broker, folder, EchoScorer(), **more)  # type: ignore[arg-type]
    run(worker.drain(random.Random(0)))
    return broker, worker


def test_nothing_is_released_before_every_source_has_promised(tmp_path: Path) -> None:
    """One partition of payments is far ahead: its payments wait for the labels and payments of the others."""
    past = history(random.Random(1), 40)
    broker = Broker()
    for payment in past.payments:
        broker.put(Outgoing(TRANSACTIONS_RAW.name, encode(payment), partition=0))
    worker = Worker(broker, tmp_path, EchoScorer())

    async def work() -> None:
        while any([await worker.step(name, 9) for name in worker.stages]):
            pass

    run(work())
    assert broker.values(TRANSACTIONS_SCORED) == []
    assert broker.committed["admit", TRANSACTIONS_RAW.name, 0] == 40
    assert broker.total("meet_customer") == Tally()
    worker.promise()
    run(work())
    assert len(streamed(broker)) == 40


def test_a_label_that_comes_too_late_counts_once_it_is_there(tmp_path: Path) -> None:
    pick = random.Random(2)
    past = history(pick, 60, gap=0.0)
    first, last = past.payments[0], past.payments[-1]
    same = [each for each in past.payments if each.customer_id == last.customer_id][-2]
    late = Label(transaction_id=same.id, fraud=True, time=same.time)
    again = msgspec.structs.replace(last, id="p9999", time=last.time + timedelta(seconds=60))
    messages = [Outgoing(TRANSACTIONS_RAW.name, encode(each), partition=0) for each in past.payments]
    broker, worker = _drained(tmp_path, messages)
    broker.put(Outgoing(LABELS_RAW.name, encode(late), partition=1))
    run(worker.drain(pick))
    broker.put(Outgoing(TRANSACTIONS_RAW.name, encode(again), partition=0))
    run(worker.drain(pick))
    found = streamed(broker)
    without, with_label = History(past.payments, []).offline(), History([*past.payments, again], [late]).offline()
    assert found[first.id] == {without[first.id]}
    assert found[last.id] == {without[last.id]}
    assert found["p9999"] == {with_label["p9999"]}
    assert with_label["p9999"] != History([*past.payments, again], []).offline()["p9999"]


def test_a_label_from_before_its_payment_counts_from_the_payment_on(tmp_path: Path) -> None:
    past = history(random.Random(3), 40, gap=0.0)
    early = [msgspec.structs.replace(each, time=each.time - timedelta(seconds=30)) for each in past.labels]
    whole = History(past.payments, early)
    broker, _ = _drained(tmp_path, arrivals(random.Random(3), whole, jitter_s=0.0))
    assert streamed(broker) == {name: {score} for name, score in whole.offline().items()}


def test_poison_is_one_dead_letter_and_the_rest_goes_on(tmp_path: Path) -> None:
    past = history(random.Random(4), 30, gap=0.0)

    class Fails(EchoScorer):
        def score(self, rows: Sequence[FeatureRow]) -> list[FraudScore]:
            if any(row.transaction.id == "p0007" for row in rows):
                raise ZeroDivisionError("seven")
            return super().score(rows)

    broker = Broker()
    broker.put(Outgoing(TRANSACTIONS_RAW.name, b"{broken", partition=0))
    broker.put(Outgoing(TRANSACTIONS_BY_TERMINAL.name, b"no parcel", partition=0))
    for message in arrivals(random.Random(4), past, jitter_s=0.0):
        broker.put(message)
    worker = Worker(broker, tmp_path, Fails())
    run(worker.drain(random.Random(4)))
    assert set(streamed(broker)) == {each.id for each in past.payments} - {"p0007"}
    letters = {message.topic: (message, reason) for message, reason in broker.dead}
    assert len(broker.dead) == 3
    spoilt = next(letter for letter, reason in broker.dead if "seven" in reason)
    assert spoilt.topic == TRANSACTIONS_RAW.name
    assert decode_transaction(spoilt.value, NOW) == next(each for each in past.payments if each.id == "p0007")
    assert broker.log(TRANSACTIONS_RAW.name, spoilt.partition)[spoilt.offset].value == spoilt.value
    assert "not a parcel" in letters[TRANSACTIONS_BY_TERMINAL.name][1]
    assert broker.total("score_transactions") == Tally(passed=29, absorbed=len(past.labels), dead=2)


def test_a_step_that_is_none_is_a_dead_letter_of_its_own(tmp_path: Path) -> None:
    past = history(random.Random(5), 10, gap=0.0)
    broker = Broker()
    for message in arrivals(random.Random(5), past, jitter_s=0.0):
        broker.put(message)
    worker = Worker(broker, tmp_path, EchoScorer())
    run(worker.step("admit", 100))
    log = next(
        log
        for (topic, _), log in broker.logs.items()
        if topic == TRANSACTIONS_BY_CUSTOMER.name and len(log[0].value or b"") > 200
    )
    marks, steps = msgspec.msgpack.decode(log[0].value or b"")
    log[0] = log[0]._replace(value=msgspec.msgpack.encode([marks, [["payment", 0], *steps]]))
    run(worker.drain(random.Random(5)))
    ((letter, reason),) = broker.dead
    assert letter.topic == TRANSACTIONS_BY_CUSTOMER.name
    assert "not a step" in reason
    assert set(streamed(broker)) == {each.id for each in past.payments}


def test_what_nobody_looks_back_on_is_deleted(tmp_path: Path) -> None:
    """Customers and terminals that were not seen for their horizon go from the tables; a label whose payment never came is told."""
    past = history(random.Random(6), 40, gap=0.0)
    stray = Label(transaction_id="nowhere", fraud=True, time=START)
    messages = arrivals(random.Random(6), past, jitter_s=0.0)
    broker, worker = _drained(tmp_path, [Outgoing(LABELS_RAW.name, encode(stray), partition=1), *messages])
    before = {name: _keys(worker, name) for name in worker.stages if name != "admit"}
    assert before["join_labels"] == {*(each.id for each in past.payments), "nowhere"}
    assert before["meet_customer"] == {each.customer_id for each in past.payments}
    later = [
        msgspec.structs.replace(
            past.payments[0], id=f"late{day}", time=START + timedelta(days=day), customer_id="C9", terminal_id="T9"
        )
        for day in range(1, 60)
    ]
    for payment in later:
        broker.put(Outgoing(TRANSACTIONS_RAW.name, encode(payment), partition=0))
        run(worker.drain(random.Random(6)))
    assert _keys(worker, "meet_customer") == {"C9"}
    assert _keys(worker, "score_transactions") == {"T9"}
    assert _keys(worker, "join_labels") < {each.id for each in later}
    ((letter, reason),) = broker.dead
    assert "no payment 'nowhere' came within 30 days" in reason
    assert (letter.topic, decode_label(letter.value, NOW)) == (LABELS_RAW.name, stray)
    joined = broker.total("join_labels")
    assert (joined.dead, joined.passed) == (1, len(past.labels))
    whole = History([*past.payments, *later], past.labels)
    assert streamed(broker) == {name: {score} for name, score in whole.offline().items()}


def test_payments_on_a_broker_made_anew_are_scored_beside_the_histories_of_before(tmp_path: Path) -> None:
    """The embedded broker ends with its run, and its offsets begin at 0 again: what a merge has taken of the old one says nothing."""
    past = history(random.Random(8), 30)
    half = past.payments[len(past.payments) // 2].time
    before, after = ([each for each in past.payments if (each.time < half) is early] for early in (True, False))
    first, worker = _drained(tmp_path, arrivals(random.Random(8), History(before, []), jitter_s=0.0))
    worker.files.close()
    assert forget_offsets(tmp_path) == 6
    second, _ = _drained(tmp_path, arrivals(random.Random(9), History(after, []), jitter_s=0.0))
    whole = {name: {score} for name, score in History(past.payments, []).offline().items()}
    assert streamed(first) | streamed(second) == whole
    assert second.total("score_transactions").passed == len(after)


def _keys(worker: Worker, stage: str) -> set[str]:
    table = worker.stages[stage].table
    assert table is not None
    return {key for number in range(worker.broker.partitions) for key, _ in table.items(number)}


def test_a_lone_payment_is_scored_after_its_promise(tmp_path: Path) -> None:
    (payment,) = history(random.Random(7), 1).payments
    broker, _ = _drained(tmp_path, [Outgoing(TRANSACTIONS_RAW.name, encode(payment), partition=1)])
    assert set(streamed(broker)) == {payment.id}


@pytest.mark.parametrize("size", [1, 5_000, 150_000])
def test_steps_of_any_size_fit_into_parcels(tmp_path: Path, size: int) -> None:
    """Parcels stay small enough for a broker, and what they say is only promised with the last of them."""
    past = history(random.Random(8), 12, gap=0.0)
    large = [msgspec.structs.replace(each, extra={"note": "x" * size}) for each in past.payments]
    broker, _ = _drained(tmp_path, arrivals(random.Random(8), History(large, past.labels), jitter_s=0.0))
    parcels = [
        raw for topic in (TRANSACTIONS_BY_ID, TRANSACTIONS_BY_CUSTOMER, TRANSACTIONS_BY_TERMINAL) for raw in broker.values(topic)
    ]
    assert max(map(len, parcels)) < max(250_000, 1.2 * size)
    assert set(streamed(broker)) == {each.id for each in past.payments}
