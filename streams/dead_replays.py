"""Which dead letters were replayed, in the SQL store.

A letter is known by its content and time and not by its place, which another broker, or a data folder's file, may give to another
letter. So a mark outlives a broker and is backed up with the alerts. Where the database is lost all letters are open again, which is
the safe side: a replay that comes twice is the same event. (Headers in the dead-letter topic would have to be read from its beginning,
and the embedded broker forgets them.)
"""

import hashlib
from collections.abc import Iterable

import sqlalchemy as sa

from alerts.database import insert_missing, reading, writing
from alerts.tables import UtcTime
from core.clock import rfc3339
from core.dead import Replay
from core.records import DeadLetter
from streams.ledger import metadata

__all__ = ["DeadReplays", "identity", "metadata", "record_of"]

_replays = sa.Table(
    "dead_replays",
    metadata,
    sa.Column("letter", sa.String(32), primary_key=True),
    sa.Column("replayed", UtcTime, nullable=False),
    sa.Column("mended", sa.Boolean, nullable=False),
)


def identity(letter: DeadLetter) -> str:
    """What a letter is known by, wherever it lies."""
    return _digest(letter, rfc3339(letter.time))


def record_of(letter: DeadLetter) -> str:
    """What the record that failed in a stage is known by: the same for all letters that were written of it."""
    return _digest(letter)


def _digest(letter: DeadLetter, *more: str) -> str:
    place = "\0".join((letter.stage, letter.topic, str(letter.partition), str(letter.offset), *more, ""))
    return hashlib.blake2b(place.encode() + letter.raw, digest_size=16).hexdigest()


class DeadReplays:
    """What was replayed, when, and whether it was mended; the last replay counts."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, letters: Iterable[str], replay: Replay) -> None:
        """Remember that these letters, by identity, were replayed."""
        values = {"replayed": replay.time, "mended": replay.mended}
        with writing(self._engine) as connection:
            for letter in letters:
                if not insert_missing(connection, _replays, {"letter": letter, **values}):
                    connection.execute(_replays.update().where(_replays.c.letter == letter).values(values))

    def all(self) -> dict[str, Replay]:
        """Every replay, by the letter's identity."""
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(_replays.c.letter, _replays.c.replayed, _replays.c.mended)).all()
        return {letter: Replay(time, mended) for letter, time, mended in rows}
