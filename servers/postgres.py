"""PostgreSQL as a child process, where it is installed: data in a folder of its own, reached on loopback with a password."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import sql

from core.errors import ConfigError
from servers.process import Server, end, kept_port

_USER = "groundswell"
_ACCOUNTS = ("postgres", "nobody")  # PostgreSQL refuses to run as root: the first of these that the system has
_OPTIONS = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "shared_buffers": "32MB", "log_timezone": "UTC"}


def find_binaries() -> Path | None:
    """The folder of PostgreSQL's programs, or None where it is not installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return installed[-1].parent if installed else None


class PostgresServer(Server):
    """A server from `start` to `stop`; what was committed survives `kill` and a new `start`, also by another process.

    Where this process is root's, the server runs as another account, which must be able to reach the folder. With `durable=False` a
    power cut, and nothing else, may take it all.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # what is under way is rolled back; SIGTERM would wait for clients to leave

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        folder = folder.absolute()
        self._binaries = _binaries()
        self._account = _account()
        self._data = folder / "data"
        self._password = self._created(folder)
        self._port = kept_port(folder / "postgres.port")
        options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
        if not durable:
            options += ["-c", "fsync=off"]
        command: list[str | Path] = [self._binaries / "postgres", "-D", self._data, "-p", str(self._port), *options]
        user = None if self._account is None else self._account.pw_name
        super().__init__(folder, self.url_of(_USER), command, user=user)

    @property
    def url(self) -> str:
        """The address of the database `groundswell`, for the setting `database`; it holds the password."""
        return self.address

    def url_of(self, database: str) -> str:
        """The address of a database of this server."""
        return f"postgresql+psycopg://{_USER}:{self._password}@127.0.0.1:{self._port}/{database}"

    def launch(self) -> None:
        """Start the process and return at once; what is left of an earlier one on the same data is ended first.

        Its lock is taken away: PostgreSQL takes a killed server for alive as long as nobody has reaped it, or its number is another's.
        """
        _end_processes_in(self._data)
        if not any(_processes_in(self._data)):
            (self._data / "postmaster.pid").unlink(missing_ok=True)
        super().launch()

    def answers(self) -> bool:
        """Whether it serves; its database is made at its first answer."""
        try:
            with self._connect() as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_USER,)).fetchone()
            if found is None:
                self.create_database(_USER)
        except psycopg.OperationalError:
            return False
        return True

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """The address of a new database, a copy of `template`, to which nobody may be connected."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        with self._connect() as connection:
            connection.execute(statement)
        return self.url_of(name)

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        url = self.url_of("postgres").replace("+psycopg", "")
        return psycopg.connect(url, autocommit=True, connect_timeout=5)

    def _created(self, folder: Path) -> str:
        """The password; the cluster is made where there is none, and anew where its making was cut short."""
        password = folder / "password"
        made = folder / "made"
        if made.exists():
            return password.read_text("utf-8").strip()
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._data, ignore_errors=True)
        password.touch(0o600)
        password.write_text(secrets.token_urlsafe(24) + "\n", "utf-8")
        if self._account is not None:
            for path in (folder, password):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        self._initdb(folder, password)
        made.touch()
        return password.read_text("utf-8").strip()

    def _initdb(self, folder: Path, password: Path) -> None:
        options = ["--username", _USER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]
        command = [str(self._binaries / "initdb"), "-D", str(self._data), "--pwfile", str(password), *options]
        account = self._account
        try:
            done = subprocess.run(  # noqa: S603 — PostgreSQL's own tool
                command,
                capture_output=True,
                text=True,
                check=False,
                cwd=folder,
                user=None if account is None else account.pw_uid,
                group=None if account is None else account.pw_gid,
                extra_groups=None if account is None else [],
            )
        except OSError as error:
            who = "this account" if account is None else f"the account {account.pw_name}"
            raise ConfigError(f"{who} cannot reach {folder} ({error.strerror}): choose a folder that it can enter") from error
        if done.returncode:
            raise ConfigError(f"PostgreSQL could not make {self._data}: {done.stderr.strip()}")


def _binaries() -> Path:
    found = find_binaries()
    if found is None:
        raise ConfigError("PostgreSQL is not installed: install the package `postgresql`, or use SQLite")
    return found


def _account() -> pwd.struct_passwd | None:
    """The account to run as where this process is root's; None where it may run as it is."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in _ACCOUNTS:
        if name in known:
            return known[name]
    raise ConfigError(f"PostgreSQL does not run as root, and there is no account {' or '.join(_ACCOUNTS)}: run as another user")


def _end_processes_in(data: Path) -> None:
    """End what works in the data folder, and return when it is gone.

    A killed server's own processes take a moment to notice, and as long as one of them lives a new server refuses to start.
    """
    for pid in _processes_in(data):
        end(pid)


def _processes_in(data: Path) -> Iterator[int]:
    """The processes that work in the data folder; one that is dead does not, reaped or not."""
    folder = str(data.resolve())
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(entry / "cwd") == folder:
                yield int(entry.name)
