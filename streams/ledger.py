"""The conservation ledger: per stage and topic partition, how many records came in and what became of them.

A row remembers the highest offset it has counted, so that a batch that a restarted worker works off again is not counted twice.
`read = passed + absorbed + dead` holds at any time; what is in flight is the topic's end minus the row's offset. That the counts are
those of the topics themselves is what `groundswell ledger` checks (`streams/conservation.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from alerts.database import insert_missing, reading, writing

_Place = tuple[str, int]  # topic and partition
metadata = sa.MetaData()  # a change here goes with a migration in `alerts/migrations/versions`
_ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("epoch", sa.String(64), primary_key=True),
    sa.Column("stage", sa.String(64), primary_key=True),
    sa.Column("topic", sa.String(255), primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("passed", sa.BigInteger, nullable=False),
    sa.Column("absorbed", sa.BigInteger, nullable=False),
    sa.Column("dead", sa.BigInteger, nullable=False),
    sa.Column("first_offset", sa.BigInteger),  # NULL in rows of a version that did not write it
)


class Tally(NamedTuple):
    """What became of a message's records: they went on, ended here as meant to (a label in a history), or went to the dead letters.

    Most messages are one record; a parcel between transaction stages holds many, and one that only tells a watermark none.
    """

    passed: int = 0
    absorbed: int = 0
    dead: int = 0


PASSED, ABSORBED, DEAD = Tally(passed=1), Tally(absorbed=1), Tally(dead=1)
_COUNTS = Tally._fields
_EMPTY = {"offset": -1, **dict.fromkeys(_COUNTS, 0)}
_KEY = ("epoch", "stage", "topic", "partition")
_GROW = (
    _ledger.update()
    .where(sa.and_(*(_ledger.c[name] == sa.bindparam(f"of_{name}") for name in _KEY)))
    .values(
        offset=sa.bindparam("to_offset"),
        first_offset=sa.case((_ledger.c.offset < 0, sa.bindparam("from_offset")), else_=_ledger.c.first_offset),
        **{name: _ledger.c[name] + sa.bindparam(f"add_{name}") for name in _COUNTS},
    )
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What one stage has done with one topic partition; `offset` is the highest offset counted, `first` the lowest where it is known."""

    stage: str
    topic: str
    partition: int
    offset: int
    passed: int
    absorbed: int
    dead: int
    first: int | None = None

    @property
    def read(self) -> int:
        """All records that came in."""
        return self.passed + self.absorbed + self.dead


class Ledger:
    """The ledger in the SQL store. An epoch is the life of a broker: offsets of another broker are other offsets."""

    def __init__(self, engine: sa.Engine, *, epoch: str) -> None:
        self._engine = engine
        self._epoch = epoch

    def settle(self, stage: str, tallies: Mapping[_Place, Mapping[int, Tally]]) -> None:
        """Count a batch whose outcome is confirmed: by (topic, partition), the tally of each offset."""
        with writing(self._engine) as connection:
            counted = self._lock(connection, stage, sorted(place for place, found in tallies.items() if found))
            grown: list[dict[str, Any]] = []
            for place, found in tallies.items():
                new = {offset: tally for offset, tally in found.items() if offset > counted[place]}
                if new:
                    grown.append(_growth(self._key(stage, place), new))
            if grown:
                connection.execute(_GROW, grown)

    def _lock(self, connection: sa.Connection, stage: str, places: Sequence[_Place]) -> dict[_Place, int]:
        """The highest offset counted of each place, -1 where none was: its row is made, and no other worker counts it meanwhile.

        Two workers may both hold a partition for a moment when it moves.
        """
        mine = sa.and_(_ledger.c.epoch == self._epoch, _ledger.c.stage == stage)
        here = sa.tuple_(_ledger.c.topic, _ledger.c.partition).in_(places)
        rows = sa.select(_ledger.c.topic, _ledger.c.partition, _ledger.c.offset).where(mine, here)
        query = rows.order_by(_ledger.c.topic, _ledger.c.partition).with_for_update()
        counted = {(topic, partition): offset for topic, partition, offset in connection.execute(query)}
        missing = [{**self._key(stage, place), **_EMPTY} for place in places if place not in counted]
        if missing:
            for row in missing:
                insert_missing(connection, _ledger, row)
            counted = {(topic, partition): offset for topic, partition, offset in connection.execute(query)}
        return counted

    def _key(self, stage: str, place: _Place) -> dict[str, Any]:
        return dict(zip(_KEY, (self._epoch, stage, *place), strict=True))

    def settled(self, stage: str, topic: str, partition: int) -> int | None:
        """The highest offset of a partition that the stage has worked off; None where there is no row."""
        key = self._key(stage, (topic, partition))
        with reading(self._engine) as connection:
            offset: int | None = connection.execute(
                sa.select(_ledger.c.offset).where(sa.and_(*(_ledger.c[name] == value for name, value in key.items())))
            ).scalar()
        return offset

    def entries(self) -> list[Entry]:
        """All rows of this epoch."""
        columns = [_ledger.c[name] for name in ("stage", "topic", "partition", "offset", *_COUNTS, "first_offset")]
        with reading(self._engine) as connection:
            return [Entry(*row) for row in connection.execute(sa.select(*columns).where(_ledger.c.epoch == self._epoch))]

    def earlier(self) -> dict[tuple[str, str, int], int]:
        """By stage, topic and partition, the highest offset that any other epoch has counted."""
        place = [_ledger.c[name] for name in _KEY[1:]]
        columns = [*place, sa.func.max(_ledger.c.offset)]
        query = sa.select(*columns).where(_ledger.c.epoch != self._epoch).group_by(*place)
        with reading(self._engine) as connection:
            found = connection.execute(query).all()
        return {(stage, topic, partition): offset for stage, topic, partition, offset in found}

    def epochs(self) -> list[str]:
        """The epochs that have rows."""
        with reading(self._engine) as connection:
            return sorted(connection.execute(sa.select(_ledger.c.epoch).distinct()).scalars())


def _growth(key: dict[str, Any], tallies: Mapping[int, Tally]) -> dict[str, Any]:
    """The parameters of `_GROW`: the tallies of the offsets that are new."""
    counts = {f"add_{name}": count for name, count in _sums(list(tallies.values())).items()}
    place = {f"of_{name}": value for name, value in key.items()}
    return {**place, "from_offset": min(tallies), "to_offset": max(tallies), **counts}


def _sums(tallies: list[Tally]) -> dict[str, int]:
    return dict(zip(_COUNTS, map(sum, zip(*tallies, strict=True)), strict=True))
