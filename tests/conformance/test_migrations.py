"""Every database comes to this version's schema, once, and without loss; one that is newer is refused."""

import multiprocessing
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from alerts import tables
from alerts.database import open_engine, writing
from alerts.migrate import VERSION_TABLE, head, prepare, revisions, upgrade
from alerts.store import open_store
from core.errors import ConfigError
from servers.postgres import PostgresServer
from streams import dead_replays, ledger

BEFORE = (Path(__file__).parent / "before_migrations.sql").read_text("utf-8")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.live)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.sqlite"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create_database(f"empty_{uuid.uuid4().hex}")


@contextmanager
def opened(url: str) -> Iterator[sa.Engine]:
    engine = open_engine(url)
    yield engine
    engine.dispose()


def test_migrations_make_the_tables_that_the_code_uses(database_url: str) -> None:
    with opened(database_url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, [tables.metadata, dead_replays.metadata]) == []  # type: ignore[arg-type]  # it takes several


def test_a_file_from_before_migrations_is_taken_over(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite"
    with sqlite3.connect(file) as before:
        before.executescript(BEFORE)
    before.close()
    store = open_store(f"sqlite:///{file}")
    assert revisions(store.engine).current == head()
    assert [alert.summary for alert in store.list_alerts()] == ["a1 active"]
    assert [delivery.status for delivery in store.deliveries("a1")].count("delivered") == 1
    assert store.counts().pending == 1
    assert store.disabled_reason("hook", "t") == "410"
    assert [entry.passed for entry in ledger.Ledger(store.engine, epoch="e").entries()] == [2]
    store.engine.dispose()


def test_upgrading_tells_where_it_stood_and_does_nothing_twice(empty_url: str) -> None:
    with opened(empty_url) as engine:
        assert revisions(engine).current is None
        assert upgrade(engine).current is None
        assert revisions(engine).current == head()
        assert upgrade(engine).current == head()
        prepare(engine)


def test_a_newer_database_is_refused(database_url: str) -> None:
    with opened(database_url) as engine:
        with writing(engine) as connection:
            connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
        for refuses in (prepare, upgrade):
            with pytest.raises(ConfigError, match="revision 9999, newer than this version"):
                refuses(engine)


def test_tables_of_another_program_are_left_alone(empty_url: str) -> None:
    with opened(empty_url) as engine:
        with writing(engine) as connection:
            connection.execute(sa.text("CREATE TABLE alerts (id INTEGER PRIMARY KEY, name TEXT)"))
        with pytest.raises(ConfigError, match="table alerts of another program"):
            upgrade(engine)
        assert sa.inspect(engine).get_table_names() == ["alerts"]


@pytest.mark.live
def test_a_servers_database_is_migrated_only_when_told(postgres: PostgresServer) -> None:
    with opened(postgres.create_database(f"empty_{uuid.uuid4().hex}")) as engine:
        with pytest.raises(ConfigError, match=r"is empty and this version needs .*groundswell db upgrade"):
            prepare(engine)
        assert sa.inspect(engine).get_table_names() == []


def test_a_file_that_another_process_has_just_made_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE other (id INTEGER)")
    commit = threading.Timer(0.5, other.execute, ["COMMIT"])
    commit.start()
    with opened(f"sqlite:///{file}") as engine:
        upgrade(engine)
        assert revisions(engine).current == head()
        assert "other" in sa.inspect(engine).get_table_names()
    commit.join()
    other.close()


def upgrade_when_told(url: str, ready: "multiprocessing.Queue[str]", go: "multiprocessing.Queue[None]") -> None:
    with opened(url) as engine:
        ready.put("ready")
        go.get(timeout=300)
        try:
            upgrade(engine)
        except BaseException as error:
            ready.put(repr(error))
            raise
        ready.put("done")


def test_processes_that_migrate_at_once_wait_for_one_another(empty_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[str] = context.Queue()
    go: multiprocessing.Queue[None] = context.Queue()
    workers = [context.Process(target=upgrade_when_told, args=(empty_url, answers, go)) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert [answers.get(timeout=300) for _ in workers] == ["ready"] * 3
    for _ in workers:
        go.put(None)
    assert [answers.get(timeout=300) for _ in workers] == ["done"] * 3
    for worker in workers:
        worker.join(60)
    with opened(empty_url) as engine:
        assert revisions(engine).current == head()


def test_the_command_line_migrates_and_tells(empty_url: str, tmp_path: Path) -> None:
    def groundswell(*words: str) -> str:
        environment = {"GROUNDSWELL_DATABASE": empty_url, "GROUNDSWELL_DATA": str(tmp_path), "PATH": ""}
        command = [sys.executable, "-m", "groundswell", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert groundswell("db", "current") == f"the database is empty; this version needs {head()}\n"
    assert groundswell("db", "upgrade") == f"the database is at revision {head()}; it was empty\n"
    assert groundswell("db", "upgrade") == f"the database is at revision {head()} already\n"
    assert groundswell("db", "current") == f"the database is at revision {head()}; up to date\n"
