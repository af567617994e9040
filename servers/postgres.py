"""PostgreSQL as a child process: its data in a folder of its own, on a port that only this machine reaches, with a password."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import psycopg

from core.errors import ConfigError

_START_S = 120.0  # it takes 1 s on a free core, and as long as it must after a crash
_STOP_S = 60.0
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


class PostgresServer:
    """A server from `start` to `stop`; what was committed survives `kill` and a new `start`, also by another process.

    `folder` is made where it is missing. With `durable=False` a power cut, and nothing else, may take it all.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        binaries = find_binaries()
        if binaries is None:
            raise ConfigError("PostgreSQL is not installed: install the package `postgresql`, or use SQLite")
        self._binaries = binaries
        self._folder = folder
        self._data = folder / "data"
        self._account = _account()
        self._options = _OPTIONS if durable else _OPTIONS | {"fsync": "off"}
        self._process: subprocess.Popen[bytes] | None = None
        self._create()
        self._port = int((folder / "port").read_text("utf-8"))
        self._password = (folder / "password").read_text("utf-8").strip()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address of the database `groundswell`, for the setting `database`."""
        return self.url_of(_USER)

    @property
    def log(self) -> Path:
        """The server's own log."""
        return self._folder / "log"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def url_of(self, database: str) -> str:
        """The address of a database of this server."""
        return f"postgresql+psycopg://{_USER}:{self._password}@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Start it and return once it answers; ConfigError with the end of its log where it does not."""
        if self.pid is not None:
            return
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                # one that a killed process has left behind is ended first; what remains of a killed server lets go within a second
                self._command("pg_ctl", "stop", "-D", str(self._data), "-m", "fast", "-w", check=False)
                self._process = self._launch()
            if self._answers():
                return
            time.sleep(0.1)
        self.kill()
        raise ConfigError(f"PostgreSQL did not start within {_START_S:g} s; the end of {self.log}:\n{self._last_lines()}")

    def stop(self) -> None:
        """End it cleanly: transactions under way are rolled back."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would; its own processes follow."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """The address of a new database, a copy of `template`, to which nobody may be connected."""
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            statement = psycopg.sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(statement.format(psycopg.sql.Identifier(name), psycopg.sql.Identifier(template)))
        return self.url_of(name)

    def _create(self) -> None:
        """Make the folder, once; a folder that was left half made is made anew."""
        if (self._folder / "port").exists():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._data, ignore_errors=True)
        password = self._folder / "password"
        password.touch(0o600)
        password.write_text(secrets.token_urlsafe(24) + "\n", "utf-8")
        if self._account is not None:
            for path in (self._folder, password):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        options = [
            "--username",
            _USER,
            "--pwfile",
            str(password),
            "--auth",
            "scram-sha-256",
            "--encoding",
            "UTF8",
            "--locale",
            "C",
        ]
        self._command("initdb", "-D", str(self._data), *options)
        (self._folder / "port").write_text(str(_free_port()), "utf-8")

    def _launch(self) -> "subprocess.Popen[bytes]":
        options = [part for name, value in self._options.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 — the installed server
                [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self._port), *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self._folder,
                user=None if self._account is None else self._account.pw_uid,
                group=None if self._account is None else self._account.pw_gid,
                extra_groups=None if self._account is None else [],
                start_new_session=True,
            )

    def _command(self, program: str, *arguments: str, check: bool = True) -> None:
        done = subprocess.run(  # noqa: S603 — an installed program
            [str(self._binaries / program), *arguments],
            capture_output=True,
            check=False,
            cwd=self._folder,
            user=None if self._account is None else self._account.pw_uid,
            group=None if self._account is None else self._account.pw_gid,
            extra_groups=None if self._account is None else [],
        )
        if check and done.returncode:
            message = done.stderr.decode("utf-8", "replace").strip()
            raise ConfigError(f"{program} failed in {self._folder}: {message}")

    def _answers(self) -> bool:
        """Whether it answers, with its database there."""
        try:
            with psycopg.connect(self._dsn("postgres"), autocommit=True, connect_timeout=5) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_USER,)).fetchone()
            if found is None:
                self.create_database(_USER)
        except psycopg.OperationalError:
            return False
        return True

    def _dsn(self, database: str) -> str:
        return self.url_of(database).replace("+psycopg", "")

    def _last_lines(self, count: int = 8) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-count:])


def _account() -> pwd.struct_passwd | None:
    """The account to run as where this process is root's; None where it may run as it is."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in _ACCOUNTS:
        if name in known:
            return known[name]
    raise ConfigError(f"PostgreSQL does not run as root, and there is no account {' or '.join(_ACCOUNTS)}: run as another user")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
