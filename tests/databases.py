"""The databases that a suite runs over: an SQLite file, and a PostgreSQL server of the test session."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from alerts.database import open_engine
from alerts.migrate import upgrade
from servers.postgres import PostgresServer, find_binaries

_TEMPLATE = "migrated"


def skip_without_postgres() -> None:
    """Skip the test where PostgreSQL is not installed, and fail it where CI is set."""
    if find_binaries() is None:
        reason = "PostgreSQL is not installed: these tests need its programs (initdb, postgres)"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for all tests, with a migrated database to copy."""
    skip_without_postgres()
    folder = Path(tempfile.mkdtemp(prefix="groundswell-postgres-"))
    with PostgresServer(folder, durable=False) as server:
        engine = open_engine(server.create_database(_TEMPLATE))
        upgrade(engine)
        engine.dispose()
        yield server
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """A migrated database of this test's own."""
    return postgres.create_database(f"test_{uuid.uuid4().hex}", template=_TEMPLATE)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.live)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a migrated database, of SQLite and then of PostgreSQL."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_url")
        return url
    url = f"sqlite:///{tmp_path}/state.sqlite"
    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()
    return url
