"""The ledger counts every offset once, whoever settles it: over SQLite and PostgreSQL."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from alerts.database import open_engine
from streams.backlog import backlog
from streams.ledger import ABSORBED, DEAD, PASSED, Ledger
from streams.totals import totals

PLACES = [("news.raw", number) for number in range(4)]
BATCHES = 25


@contextmanager
def opened(url: str, epoch: str = "e") -> Iterator[Ledger]:
    engine = open_engine(url, durable=False)
    yield Ledger(engine, epoch=epoch)
    engine.dispose()


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with opened(database_url) as found:
        yield found


def test_a_batch_that_comes_again_is_counted_once(ledger: Ledger) -> None:
    ledger.settle("score_texts", {("news.raw", 0): {0: PASSED, 1: DEAD}})
    ledger.settle("score_texts", {("news.raw", 0): {0: PASSED, 1: DEAD, 2: ABSORBED}})
    (entry,) = ledger.entries()
    assert (entry.offset, entry.passed, entry.absorbed, entry.dead, entry.read) == (2, 1, 1, 1, 3)


def test_a_row_remembers_where_it_began_and_other_epochs_how_far_they_came(ledger: Ledger, database_url: str) -> None:
    ledger.settle("index", {("text.scored", 0): {4: PASSED, 5: ABSORBED}})
    ledger.settle("index", {("text.scored", 0): {6: PASSED}})
    assert [(entry.first, entry.offset) for entry in ledger.entries()] == [(4, 6)]
    with opened(database_url, "another") as other:
        assert other.earlier() == {("index", "text.scored", 0): 6}
        assert (ledger.earlier(), other.epochs()) == ({}, ["e"])


def test_totals_balance(ledger: Ledger) -> None:
    ledger.settle("score_texts", {("news.raw", 0): dict.fromkeys(range(5), PASSED) | {5: DEAD}})
    ledger.settle("admit", {("transactions.raw", 1): dict.fromkeys(range(3), PASSED) | {3: DEAD}})
    by_customer = {0: PASSED, 1: ABSORBED, 2: PASSED, 3: PASSED}
    ledger.settle("score_transactions", {("transactions.by_customer", 0): by_customer})
    found = totals(ledger.entries())
    assert (found.read, found.scored, found.dead) == (10, 8, 2)
    assert (found.texts, found.transactions) == (6, 4)


def test_another_brokers_life_is_another_count(ledger: Ledger, database_url: str) -> None:
    ledger.settle("score_texts", {("news.raw", 0): {0: PASSED}})
    with opened(database_url, "another") as other:
        assert other.entries() == []
        other.settle("score_texts", {("news.raw", 0): {0: DEAD}})
        assert [entry.dead for entry in other.entries()] == [1]
    assert [entry.dead for entry in ledger.entries()] == [0]


def test_what_is_settled_is_known(ledger: Ledger) -> None:
    assert ledger.settled("index", "text.scored", 0) is None
    ledger.settle("index", {("text.scored", 0): {7: PASSED}, ("text.scored", 1): {}})
    assert ledger.settled("index", "text.scored", 0) == 7
    assert ledger.settled("index", "text.scored", 1) is None
    ledger.settle("index", {})
    assert len(ledger.entries()) == 1


def test_backlog_counts_a_message_for_every_stage_that_waits_for_it(ledger: Ledger) -> None:
    ends = {("text.scored", 0): 10, ("news.raw", 0): 3, ("other", 0): 99}
    ledger.settle("index", {("text.scored", 0): dict.fromkeys(range(8), PASSED)})
    assert backlog(ends, ledger.entries()) == 3 + 2 + 10


def settle_all(url: str, done: "multiprocessing.Queue[int]") -> None:
    """Settles the same batches as the other process, in places of the same rows."""
    with opened(url) as ledger:
        for batch in range(BATCHES):
            offsets = range(4 * batch, 4 * batch + 4)
            ledger.settle("score_texts", {place: dict.fromkeys(offsets, PASSED) for place in PLACES})
    done.put(BATCHES)


def run_two(target: Callable[..., None], url: str) -> None:
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[int] = context.Queue()
    workers = [context.Process(target=target, args=(url, answers)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for _ in workers:
        answers.get(timeout=300)
    for worker in workers:
        worker.join(120)


def test_two_workers_that_hold_the_same_partitions_count_each_offset_once(ledger: Ledger, database_url: str) -> None:
    run_two(settle_all, database_url)
    assert [(entry.partition, entry.passed, entry.offset) for entry in sorted(ledger.entries(), key=lambda e: e.partition)] == [
        (number, 4 * BATCHES, 4 * BATCHES - 1) for _, number in PLACES
    ]
