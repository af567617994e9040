"""The database's schema: which revision it is at, and how it comes to the one that this program needs."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, func, inspect, select, text

from alerts.database import reading, writing
from alerts.tables import metadata
from core.errors import ConfigError

VERSION_TABLE = "groundswell_revision"  # a name of our own: the database may hold other programs' migrations too
_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x67726F756E64  # the key of PostgreSQL's advisory lock under which one process migrates


@dataclass(frozen=True, slots=True)
class Revisions:
    """Where a database stands: `current` is None where it has never been migrated, `head` is what this program needs."""

    current: str | None
    head: str


def revisions(engine: Engine) -> Revisions:
    """The revision of the database and that of this program."""
    with reading(engine) as connection:
        return Revisions(_revision(connection), head())


@cache
def head() -> str:
    """The revision that this program needs."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None
    return newest


def upgrade(engine: Engine) -> Revisions:
    """Bring the database to this program's revision, in one transaction; where it stood before.

    A process that comes while another migrates waits for it, and finds the work done. ConfigError where the database is newer than
    the program, or holds tables of the same names that are not ours.
    """
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = '10min'"))
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        before = _revision(connection)
        _refuse_newer(before)
        if before is None:
            _refuse_foreign(connection)
        if before != head():
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return Revisions(before, head())


def prepare(engine: Engine) -> None:
    """The database is at this program's revision afterwards, or ConfigError says what to do.

    SQLite, which one machine uses, is migrated on the way; a server's database only by `groundswell db upgrade`, since other
    processes work on it.
    """
    found = revisions(engine)
    if found.current == found.head:
        return
    if engine.dialect.name == "sqlite":
        upgrade(engine)
        return
    _refuse_newer(found.current)
    standing = "is empty" if found.current is None else f"is at revision {found.current}"
    raise ConfigError(
        f"the database {standing} and this version needs {found.head}; run `groundswell db upgrade`", field="database"
    )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _refuse_newer(revision: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise ConfigError(
            f"the database is at revision {revision}, newer than this version of Groundswell knows (up to {head()}): install the "
            "version that migrated it, or restore the backup that was made before",
            field="database",
        )


def _refuse_foreign(connection: Connection) -> None:
    """Tables that were there before the first migration are ours only if they have our columns."""
    inspector = inspect(connection)
    for table in metadata.sorted_tables:
        if inspector.has_table(table.name):
            found = {column["name"] for column in inspector.get_columns(table.name)}
            missing = sorted(set(table.columns.keys()) - found)
            if missing:
                raise ConfigError(
                    f"the database has a table {table.name} of another program (without {', '.join(missing)}); name a database "
                    "of its own for Groundswell",
                    field="database",
                )
