"""Any order of takings-over, saves and late saves: whoever takes a table over has what its owners saved, and nothing else."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.tables import NotOurs
from tests.conformance.table_worker import TableWorker
from tests.unit.payment_stages import Broker, Entry

TOPIC = "t-changelog"
CHANGES = st.dictionaries(st.sampled_from("abc"), st.sampled_from([None, "1", "2"]), min_size=1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take over"), st.integers(0, 2)),
        st.tuples(st.just("save"), st.integers(0, 2), CHANGES),
        st.tuples(st.just("compact")),
    ),
    max_size=20,
)


def compact(broker: Broker) -> None:
    """Leave the last message of each key, as Kafka does some day."""
    log = broker.log(TOPIC, 0)
    last = {entry.key: entry.offset for entry in log}
    log[:] = [entry if last[entry.key] == entry.offset else Entry(entry.offset, None, None) for entry in log]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whoever_takes_over_has_all_that_owners_saved_and_nothing_else(
    steps: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, broker = tmp_path_factory.mktemp("tables"), Broker(partitions=1)
    *workers, last = [TableWorker(broker, folder / str(number), "t", asyncio.run) for number in range(4)]
    owner, saved, clean = None, dict[str, str](), True
    for name, *of in steps:
        if name == "take over":
            owner = of[0]
            workers[owner].take_over()
            assert workers[owner].values() == saved
        elif name == "save" and of[0] == owner:
            workers[owner].save(of[1])
            saved = {key: value for key, value in (saved | of[1]).items() if value is not None}
            clean = True
        elif name == "save":
            with pytest.raises(NotOurs):
                workers[of[0]].save(of[1])
            clean = False
        elif clean:  # what is void was written over
            compact(broker)
    last.take_over()
    assert last.values() == saved
    for worker in (*workers, last):
        worker.files.close()
