"""Tables that several workers take for theirs: who may write, and what whoever comes next finds."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.changelog import MARK_KEY, mark_of
from streams.tables import NotOurs, StateTable, take_over
from tests.unit.payment_stages import Broker, Entry, Files

TOPIC = "t-changelog"


class Worker:
    """One worker's table `t` of one partition, on files of its own."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._broker, self.files = broker, Files(folder)
        self.table = StateTable(self.files, broker, "t", partitions=1)

    def take_over(self) -> int:
        """Take the partition over; how many messages were applied."""

        async def applied() -> int:
            return sum([count async for count in take_over(self._broker, {TP(TOPIC, 0): self.table})])

        return asyncio.run(applied())

    def save(self, **values: str | None) -> None:
        """Set values, or with None delete them, for good; `NotOurs` where the partition is another worker's."""
        for key, value in values.items():
            self.table.delete(0, key) if value is None else self.table.put(0, key, value.encode())
        try:
            asyncio.run(self.table.save())
        except NotOurs:
            self.table.give_up({})
            raise

    def values(self) -> dict[str, str]:
        """All that the table holds."""
        return {key: value.decode() for key, value in self.table.items(0)}


@pytest.fixture
def broker() -> Broker:
    """An empty broker."""
    return Broker(partitions=1)


def compact(broker: Broker) -> None:
    """Leave the last message of each key, as Kafka does some day."""
    log = broker.log(TOPIC, 0)
    last = {entry.key: entry.offset for entry in log}
    log[:] = [entry if last[entry.key] == entry.offset else Entry(entry.offset, None, None) for entry in log]


def test_a_new_owner_finds_what_was_saved(broker: Broker, tmp_path: Path) -> None:
    old, new = Worker(broker, tmp_path / "old"), Worker(broker, tmp_path / "new")
    old.take_over()
    old.save(a="1", b="2")
    old.save(a=None)
    assert new.take_over() == 5  # two marks and three changes
    assert new.values() == {"b": "2"}
    assert new.take_over() == 1  # its file holds the rest


def test_who_was_superseded_saves_nothing_and_what_it_wrote_is_void(broker: Broker, tmp_path: Path) -> None:
    old, new = Worker(broker, tmp_path / "old"), Worker(broker, tmp_path / "new")
    old.take_over()
    old.save(a="old", b="old")
    new.take_over()
    with pytest.raises(NotOurs, match="t-changelog/0 was taken over by another worker"):
        old.save(a="late")
    assert old.values() == {"a": "old", "b": "old"}
    third = Worker(broker, tmp_path / "third")
    third.take_over()
    assert third.values() == {"a": "old", "b": "old"}
    assert broker.log(TOPIC, 0)[-2].value == b"late"


def test_an_owner_writes_its_values_over_what_is_void_so_that_compaction_keeps_them(broker: Broker, tmp_path: Path) -> None:
    old, new = Worker(broker, tmp_path / "old"), Worker(broker, tmp_path / "new")
    old.take_over()
    old.save(a="old", b="old")
    new.take_over()
    new.save(a="new")
    with pytest.raises(NotOurs):
        old.save(a="late", b=None, c="late")
    new.save(d="new")
    compact(broker)
    third = Worker(broker, tmp_path / "third")
    third.take_over()
    assert third.values() == new.values() == {"a": "new", "b": "old", "d": "new"}


def test_one_who_comes_back_has_what_was_written_while_it_was_away(broker: Broker, tmp_path: Path) -> None:
    """Its own late write lies behind what others wrote; so its file must not claim to hold all up to there."""
    old, new = Worker(broker, tmp_path / "old"), Worker(broker, tmp_path / "new")
    old.take_over()
    old.save(a="1")
    new.take_over()
    new.save(b="2")
    with pytest.raises(NotOurs):
        old.save(c="late")
    old.take_over()
    assert old.values() == {"a": "1", "b": "2"}


def test_what_was_sent_twice_for_a_lost_answer_harms_nothing(broker: Broker, tmp_path: Path) -> None:
    owner = Worker(broker, tmp_path / "owner")
    owner.take_over()
    log = broker.log(TOPIC, 0)
    log.append(Entry(len(log), b"a", b"1", (log[0].headers and ()) or (("mark", b"0"),)))
    owner.save(a="1")
    assert owner.values() == {"a": "1"}
    assert Counter(entry.key for entry in log) == {MARK_KEY: 1, b"a": 2}
    assert mark_of(log[-1].headers) == 0


def test_a_partition_that_was_given_away_in_a_save_is_not_written(broker: Broker, tmp_path: Path) -> None:
    owner = Worker(broker, tmp_path / "owner")
    owner.take_over()
    append = broker.append

    async def slowly(*of: Any) -> range:
        owner.table.let_go()
        return await append(*of)

    broker.append = slowly  # type: ignore[assignment, method-assign]
    with pytest.raises(NotOurs, match="given away in a save"):
        owner.save(a="1")
    assert owner.values() == {}
    broker.append = append  # type: ignore[method-assign]
    owner.take_over()
    assert owner.values() == {"a": "1"}  # it was in the log before anybody's mark: whoever takes over has it


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take over"), st.integers(0, 2)),
        st.tuples(
            st.just("save"),
            st.integers(0, 2),
            st.dictionaries(st.sampled_from("abc"), st.sampled_from([None, "1", "2"]), min_size=1),
        ),
        st.tuples(st.just("compact")),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whoever_takes_over_has_all_that_owners_saved_and_nothing_else(
    steps: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, broker = tmp_path_factory.mktemp("tables"), Broker(partitions=1)
    workers = [Worker(broker, folder / str(number)) for number in range(3)]
    owner, saved, clean = None, dict[str, str](), True
    for name, *of in steps:
        if name == "take over":
            owner = of[0]
            workers[owner].take_over()
            assert workers[owner].values() == saved
        elif name == "save" and of[0] == owner:
            workers[owner].save(**of[1])
            saved = {key: value for key, value in (saved | of[1]).items() if value is not None}
            clean = True
        elif name == "save":
            clean = clean and broker.log(TOPIC, 0) == []
            with pytest.raises(NotOurs):
                workers[of[0]].save(**of[1])
        elif clean:  # what is void was written over
            compact(broker)
    last = Worker(broker, folder / "last")
    last.take_over()
    assert last.values() == saved
    for worker in (*workers, last):
        worker.files.close()
