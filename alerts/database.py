"""Engines and transactions: SQLite for one machine, PostgreSQL for servers; driver errors become Retryable or ConfigError."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tenacity
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool, StaticPool

from core.errors import ConfigError, Retryable

_BUSY_TIMEOUT_MS = 10_000
_WRITES = "groundswell_writes"
# A server that has gone without a word is given up within half a minute, in the kernel (keepalives) as in a statement
_CONNECT = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "application_name": "groundswell",
}
_SESSION = {
    "timezone": "UTC",
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
}
# Classes of SQLSTATE that another try may get past: connection, serialization and deadlock, resources, locks, shutdown, I/O;
# and 25006, a server that has become a standby
_PASSING = ("08", "25006", "40", "53", "55", "57", "58")
_ADDRESSES = "not a database address; write sqlite:///path/to/alerts.db or postgresql+psycopg://user@host/name"
_MISSING = ("42P01", "42703")  # no such table, no such column


def open_engine(url: str, *, password: str = "", durable: bool = True) -> Engine:
    """The engine of `url`, for example sqlite:///var/alerts.db; the folder of an SQLite file is made.

    `password` stands in for one in the address. With `durable=False` a power cut (not the death of a process) may take SQLite's
    last transactions, and a commit waits for no disk. PostgreSQL would lose some where it dies itself, and so always waits.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql":
            return _open_postgres(parsed.set(password=password) if password else parsed)
        if parsed.get_backend_name() != "sqlite":
            raise ConfigError(_ADDRESSES)
        in_memory = parsed.database in (None, "", ":memory:")
        if not in_memory:
            Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
        # An in-memory database lives in its one connection. Those of a file are kept: a record of an alert takes 2 to 6 ms
        # instead of 20, since closing the last connection of a file in WAL mode writes it back
        pool = StaticPool if in_memory else QueuePool
        engine = create_engine(parsed, poolclass=pool, hide_parameters=True, connect_args={"check_same_thread": False})
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ConfigError(_ADDRESSES) from error
    except ModuleNotFoundError as error:
        raise ConfigError(f"install the database driver {error.name}") from error
    except OSError as error:
        raise ConfigError(f"the database folder cannot be made ({error.strerror}); choose another path") from error
    event.listen(engine, "connect", _on_connect)
    if not durable:
        event.listen(engine, "connect", _on_connect_fast)
    event.listen(engine, "begin", _on_begin)
    return engine


def _open_postgres(url: URL) -> Engine:
    """An engine of PostgreSQL; what the address says of the connection stands before what we would."""
    arguments = _CONNECT | {"options": " ".join(f"-c {name}={value}" for name, value in _SESSION.items())}
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,  # a connection that died with a restarted server is replaced before it is used
        isolation_level="READ COMMITTED",  # claims and counts lock the rows that they read, whatever the server's default
        hide_parameters=True,  # errors are logged, and parameters are what people wrote
        connect_args={name: value for name, value in arguments.items() if name not in url.query},
    )


def insert_missing(connection: Connection, table: Table, row: dict[str, Any]) -> bool:
    """Whether the row is new and was inserted; False where its key was there.

    Of two processes with the same key one inserts, and the other waits until that is settled: neither fails.
    """
    insert: Any = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert  # two types, the same methods
    query = insert(table).values(row).on_conflict_do_nothing().returning(*table.primary_key.columns)
    return connection.execute(query).first() is not None


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
    except PoolTimeoutError as error:
        raise Retryable("the database has no connection free") from error
    except DBAPIError as error:
        state = str(getattr(error.orig, "sqlstate", None) or "")
        if state in _MISSING:
            raise ConfigError(f"the database lacks a table or column ({error.orig}); run `groundswell db upgrade`") from error
        if state == "42501":
            raise ConfigError(f"the database refuses its user ({error.orig}); grant the right") from error
        passing = isinstance(error, OperationalError | InterfaceError) or state.startswith(_PASSING)
        if passing or error.connection_invalidated:
            raise Retryable(f"the database did not answer: {error.orig}") from error
        raise


def _on_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver would begin late and deferred; `_on_begin` does it
    cursor = connection.cursor()
    # WAL: readers do not wait for the writer. synchronous stays FULL: an alert that was recorded survives a power cut
    for pragma in (f"busy_timeout = {_BUSY_TIMEOUT_MS}", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    _patiently(cursor.execute, "PRAGMA journal_mode = WAL")
    cursor.close()


# Where several processes open a new file, all but one find it locked while it is turned to WAL, and SQLite does not wait for that
_patiently = tenacity.Retrying(
    retry=tenacity.retry_if_exception(lambda error: getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY),
    wait=tenacity.wait_random_exponential(multiplier=0.01, max=0.5),
    stop=tenacity.stop_after_delay(_BUSY_TIMEOUT_MS / 1_000),
    reraise=True,
)


def _on_connect_fast(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")


def _on_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
