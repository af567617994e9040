"""Engines and transactions: SQLite for one machine, PostgreSQL for servers; driver errors become Retryable or ConfigError."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import QueuePool, StaticPool

from alerts.tables import metadata
from core.errors import ConfigError, Retryable

_BUSY_TIMEOUT_MS = 10_000
_WRITES = "groundswell_writes"


def open_engine(url: str, *, durable: bool = True) -> Engine:
    """The engine of `url`, for example sqlite:///var/alerts.db; the folder of an SQLite file is made.

    With `durable=False` a power cut (not the death of a process) may take SQLite's last transactions, and a commit waits for no
    disk. It is for what can be counted again, such as the ledger.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return create_engine(parsed, pool_pre_ping=True)
        in_memory = parsed.database in (None, "", ":memory:")
        if not in_memory:
            Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
        # An in-memory database lives in its one connection. Those of a file are kept: a record of an alert takes 2 to 6 ms
        # instead of 20, since closing the last connection of a file in WAL mode writes it back
        pool = StaticPool if in_memory else QueuePool
        engine = create_engine(parsed, poolclass=pool, connect_args={"check_same_thread": False})
    except (ArgumentError, NoSuchModuleError) as error:
        message = "not a database address; write sqlite:///path/to/alerts.db or postgresql+psycopg://host/name"
        raise ConfigError(message) from error
    except ModuleNotFoundError as error:
        raise ConfigError(f"install the database driver {error.name}") from error
    except OSError as error:
        raise ConfigError(f"the database folder cannot be made ({error.strerror}); choose another path") from error
    event.listen(engine, "connect", _on_connect)
    if not durable:
        event.listen(engine, "connect", _on_connect_fast)
    event.listen(engine, "begin", _on_begin)
    return engine


def create_schema(engine: Engine) -> None:
    """The tables exist afterwards; those that do already are left as they are."""
    with writing(engine) as connection:
        metadata.create_all(connection)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes: SQLite takes its write lock at once, so that a read in it cannot go stale."""
    with _translated(), engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads."""
    with _translated(), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise Retryable(f"the alert database did not answer: {error.orig}") from error


def _on_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver would begin late and deferred; `_on_begin` does it
    cursor = connection.cursor()
    # WAL: readers do not wait for the writer. synchronous stays FULL: an alert that was recorded survives a power cut
    for pragma in (f"busy_timeout = {_BUSY_TIMEOUT_MS}", "journal_mode = WAL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_connect_fast(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
