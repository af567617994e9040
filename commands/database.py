"""`groundswell db` and `groundswell setup`: what must be there before workers start."""

import sys

from alerts import migrate
from commands import wiring
from core.settings import Settings
from streams.kafka_client import Offsets


def upgrade_database(settings: Settings) -> None:
    """Bring the database to this version's schema."""
    done = migrate.upgrade(wiring.connect(settings))
    if done.current == done.head:
        sys.stdout.write(f"the database is at revision {done.head} already\n")
    else:
        sys.stdout.write(f"the database is at revision {done.head}; it was {_named(done.current)}\n")


def print_revisions(settings: Settings) -> None:
    """The database's revision and the one that this version needs."""
    found = migrate.revisions(wiring.connect(settings))
    state = "up to date" if found.current == found.head else f"this version needs {found.head}"
    sys.stdout.write(f"the database is {_named(found.current)}; {state}\n")


def set_up(settings: Settings) -> None:
    """Make the topics and index templates that are missing, and migrate the database; as often as one likes."""
    upgrade_database(settings)
    wiring.check_index(settings)
    offsets = Offsets(settings)
    made = offsets.create()
    offsets.close()
    sys.stdout.write(f"topics made: {', '.join(made) or 'none, all are there'}\n")


def _named(revision: str | None) -> str:
    return "empty" if revision is None else f"at revision {revision}"
