"""The conservation ledger: per stage and topic partition, how many records came in and what became of them.

A row remembers the highest offset it has counted, so that a batch that a restarted worker works off again is not counted twice.
`read = passed + absorbed + dead` holds at any time; what is in flight is the topic's end minus the row's offset.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from alerts.database import reading, writing

_metadata = sa.MetaData()
_ledger = sa.Table(
    "ledger",
    _metadata,
    sa.Column("epoch", sa.String(64), primary_key=True),
    sa.Column("stage", sa.String(64), primary_key=True),
    sa.Column("topic", sa.String(255), primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("passed", sa.BigInteger, nullable=False),
    sa.Column("absorbed", sa.BigInteger, nullable=False),
    sa.Column("dead", sa.BigInteger, nullable=False),
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
_KEY = ("epoch", "stage", "topic", "partition")
_GROW = (
    _ledger.update()
    .where(sa.and_(*(_ledger.c[name] == sa.bindparam(f"of_{name}") for name in _KEY)))
    .values(offset=sa.bindparam("to_offset"), **{name: _ledger.c[name] + sa.bindparam(f"add_{name}") for name in _COUNTS})
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What one stage has done with one topic partition; `offset` is the highest offset counted."""

    stage: str
    topic: str
    partition: int
    offset: int
    passed: int
    absorbed: int
    dead: int

    @property
    def read(self) -> int:
        """All records that came in."""
        return self.passed + self.absorbed + self.dead


class Ledger:
    """The ledger in the SQL store. An epoch is the life of a broker: offsets of another broker are other offsets."""

    def __init__(self, engine: sa.Engine, *, epoch: str) -> None:
        self._engine = engine
        self._epoch = epoch
        _metadata.create_all(engine)

    def settle(self, stage: str, tallies: Mapping[tuple[str, int], Mapping[int, Tally]]) -> None:
        """Count a batch whose outcome is confirmed: by (topic, partition), the tally of each offset."""
        mine = sa.and_(_ledger.c.epoch == self._epoch, _ledger.c.stage == stage)
        with writing(self._engine) as connection:
            rows = connection.execute(sa.select(_ledger.c.topic, _ledger.c.partition, _ledger.c.offset).where(mine))
            counted = {(topic, partition): offset for topic, partition, offset in rows}
            fresh: list[dict[str, Any]] = []
            grown: list[dict[str, Any]] = []
            for place, found in tallies.items():
                new = [tally for offset, tally in found.items() if offset > counted.get(place, -1)]
                if new:
                    key = dict(zip(_KEY, (self._epoch, stage, *place), strict=True))
                    row = _insertion(key, new, max(found)) if place not in counted else _growth(key, new, max(found))
                    (grown if place in counted else fresh).append(row)
            if fresh:
                connection.execute(_ledger.insert(), fresh)
            if grown:
                connection.execute(_GROW, grown)

    def settled(self, stage: str, topic: str, partition: int) -> int | None:
        """The highest offset of a partition that the stage has worked off; None where there is no row."""
        key = dict(zip(_KEY, (self._epoch, stage, topic, partition), strict=True))
        with reading(self._engine) as connection:
            offset: int | None = connection.execute(
                sa.select(_ledger.c.offset).where(sa.and_(*(_ledger.c[name] == value for name, value in key.items())))
            ).scalar()
        return offset

    def entries(self) -> list[Entry]:
        """All rows of this epoch."""
        columns = [_ledger.c[name] for name in ("stage", "topic", "partition", "offset", *_COUNTS)]
        with reading(self._engine) as connection:
            return [Entry(*row) for row in connection.execute(sa.select(*columns).where(_ledger.c.epoch == self._epoch))]


def _insertion(key: dict[str, Any], tallies: list[Tally], offset: int) -> dict[str, Any]:
    """The columns of a new row."""
    return {**key, "offset": offset, **_sums(tallies)}


def _growth(key: dict[str, Any], tallies: list[Tally], offset: int) -> dict[str, Any]:
    """The parameters of `_GROW`."""
    counts = {f"add_{name}": count for name, count in _sums(tallies).items()}
    return {**{f"of_{name}": value for name, value in key.items()}, "to_offset": offset, **counts}


def _sums(tallies: list[Tally]) -> dict[str, int]:
    return dict(zip(_COUNTS, map(sum, zip(*tallies, strict=True)), strict=True))
