"""Controls for `test_transport.py`: the same faults on Faust's own transport and agents, which lose records and stop committing."""

import os
import time

import pytest

from tests.live.test_transport import Workers, join_under_load, send, send_in_transactions, wait_until, workers

pytestmark = pytest.mark.live
__all__ = ["workers"]
MODULE = "plain_faust"
JOINS = int(os.environ.get("GROUNDSWELL_TEST_PLAIN_JOINS", "0"))
_SETTLE_S = 120.0


def test_faust_acks_the_batch_of_an_agent_that_raises(workers: Workers) -> None:
    send(workers.settings, range(500))
    worker = workers.start("a", "raises", module=MODULE)
    wait_until(lambda: workers.committed() == 500, "all is committed", worker=worker)
    lost = {str(number) for number in range(500)} - set(workers.ids())
    assert len(lost) > 50, "more than the records at fault"


def test_faust_commits_input_with_holes_one_hole_a_tick(workers: Workers) -> None:
    """200 transactions leave 200 holes, and take 100 s to be committed after all is worked off; a restart repeats as much."""
    send_in_transactions(workers.settings.broker, 1_000, each=5)
    worker = workers.start("a", "acks itself", module=MODULE)
    wait_until(lambda: len(workers.ids()) == 1_000, "all is worked off", worker=worker)
    behind = []

    def asked_often() -> bool:
        behind.append(workers.end() - workers.committed())
        return len(behind) == 25  # five seconds, ten commits

    wait_until(asked_often, "it has had its time")
    assert min(behind) > 100


@pytest.mark.skipif(JOINS == 0, reason="loses in some joins only: GROUNDSWELL_TEST_PLAIN_JOINS says how many to try")
def test_faust_loses_messages_when_a_worker_joins(workers: Workers) -> None:
    sent = join_under_load(workers, JOINS, module=MODULE)
    until = time.monotonic() + _SETTLE_S
    wait_until(lambda: workers.committed() == sent or time.monotonic() > until, "it has had its time")
    lost = sent - len(workers.ids())
    print(f"{JOINS} joins, {sent} sent, {workers.committed()} committed, {lost} not worked off")
    assert lost
