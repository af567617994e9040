"""Workers that are killed, told to stop, joined and left, each in the middle of a load."""

import os
import signal

import pytest

from tests.live.faults.conftest import Tell
from tests.live.faults.load import under_load
from tests.live.faults.naive_consumer import group_of
from tests.live.faults.pipeline import Pipeline, naive_harm, outcome

pytestmark = pytest.mark.live
WORKERS = 3


def test_a_worker_is_killed_three_times(pipeline: Pipeline, source: str, tell: Tell) -> None:
    pipeline.only("a")
    with under_load(pipeline.settings, source) as load:
        load.wait_for(200)
        naive = pipeline.start_naive(source)
        for _ in range(3):
            pipeline.wait_for_progress()
            pipeline.wait_for_progress(group_of(source))
            assert pipeline.end("a", signal.SIGKILL) == -signal.SIGKILL
            pipeline.end(naive, signal.SIGKILL)
            pipeline.start("a")
            naive = pipeline.start_naive(source)
    pipeline.wait_until_done()
    pipeline.wait_for_naive(source)
    control = naive_harm(load, pipeline.naive_documents(source))
    pipeline.wait_for_alerts(load.alerting())
    tell("worker, kill -9, three times", outcome(load, pipeline.documents(source)), control)


def test_a_worker_is_told_to_stop(pipeline: Pipeline, source: str, tell: Tell) -> None:
    pipeline.only("a")
    with under_load(pipeline.settings, source) as load:
        load.wait_for(200)
        naive = pipeline.start_naive(source)
        pipeline.wait_for_progress()
        pipeline.wait_for_progress(group_of(source))
        assert pipeline.end("a", signal.SIGTERM) == 0
        pipeline.end(naive, signal.SIGTERM)
        pipeline.start("a")
        pipeline.start_naive(source)
        pipeline.wait_for_progress()
    pipeline.wait_until_done()
    pipeline.wait_for_naive(source)
    control = naive_harm(load, pipeline.naive_documents(source))
    pipeline.wait_for_alerts(load.alerting())
    tell("worker, SIGTERM in mid-batch, restart", outcome(load, pipeline.documents(source)), control)


@pytest.mark.skipif(not os.environ.get("GROUNDSWELL_TEST_LONG"), reason="takes minutes: `python -m tests.live.faults` runs it")
def test_workers_join_and_leave(pipeline: Pipeline, source: str, tell: Tell) -> None:
    """Workers come one by one, and leave by kill -9 and SIGTERM in turn until one is left; so do naive ones."""
    names = [f"{source}-{number}" for number in range(WORKERS)]
    naive = []
    pipeline.only(names[0])
    with under_load(pipeline.settings, source) as load:
        load.wait_for(200)
        for name in names:
            pipeline.start(name)
            naive.append(pipeline.start_naive(source))
            pipeline.wait(lambda name=name: pipeline.has_worked(name), f"{name} works")  # type: ignore[misc]
        for number in range(WORKERS - 1):
            how = signal.SIGTERM if number % 2 else signal.SIGKILL
            pipeline.end(names[number], how)
            pipeline.end(naive[number], how)
            pipeline.wait_for_progress()
    pipeline.wait_until_done()
    pipeline.wait_for_naive(source)
    control = naive_harm(load, pipeline.naive_documents(source))
    pipeline.wait_for_alerts(load.alerting())
    tell(f"{WORKERS} workers joining, then leaving", outcome(load, pipeline.documents(source)), control)
