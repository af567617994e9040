"""What a run of back-pressure has shown, from its samples."""

import os

from bench.backpressure import Sample, verdict
from bench.memory import private_mb, resident_mb, tree


def sample(minute: float, private_mb: float, *, sent: int = 0, scored: int = 0) -> Sample:
    return Sample(minute * 60, sent, scored, 0, {"worker": private_mb}, {})


def test_growth_counts_after_the_warm_up() -> None:
    found = verdict([sample(0, 100.0), sample(1, 500.0), sample(2, 200.0), sample(3, 230.0), sample(4, 220.0)])
    assert found.growth == {"worker": 1.15}


def test_rate_and_texts_in_flight() -> None:
    found = verdict([sample(0, 1.0, sent=50, scored=10), sample(2, 1.0, sent=2_000, scored=610), sample(4, 1.0, scored=1_210)])
    assert (found.per_second, found.in_flight) == (5.0, 1_390)


def test_memory_of_this_process() -> None:
    mine = tree(os.getpid())
    assert mine[0] == os.getpid()
    assert 0 < private_mb(mine) < resident_mb(mine)
    assert resident_mb([]) == 0
