"""A server as a child process: started, waited for until it answers, stopped, killed, and ended with its parent."""

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from core.errors import GroundswellError

_ASK_EVERY_S = 0.25
_GONE_S = 20.0


class ServerFailed(GroundswellError):
    """A server ended at its start, or did not answer in time; the message has the end of its log."""


class Server:
    """One child process in a folder of its own, where its data, its log and its pid are; they survive `kill` and a new `start`.

    It is killed when the thread that launched it ends, so launch it from a thread that lives as long as it should. A subclass says
    whether it answers. `address` is how clients reach it: host:port, or a URL.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[int] = signal.SIGTERM
    start_s: ClassVar[float] = 600.0  # Kafka answers in 5 s and Elasticsearch in 15 s on a free core

    def __init__(self, folder: Path, address: str, command: Sequence[str | Path], *, user: str | None = None) -> None:
        self.folder = folder
        self.address = address
        self._command = command
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    def answers(self) -> bool:
        """Whether it serves; False, and never an exception, while it does not yet."""
        raise NotImplementedError

    @property
    def log_file(self) -> Path:
        """Where its output goes."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def status(self) -> int | None:
        """How it ended; None while it runs, or before its first start."""
        return None if self._process is None else self._process.poll()

    def launch(self) -> None:
        """Start the process and return at once; one that an earlier parent has left in this folder is killed first."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _end_left_over(self._pid_file, self.folder)
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 — a server that we put together
                [*_ends_with_parent(), *map(str, self._command)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
            )
        self._pid_file.write_text(str(self._process.pid), "utf-8")

    def wait(self) -> None:
        """Return once it answers; `ServerFailed` where it ends, or does not answer within `start_s`."""
        pause = threading.Event()
        for _ in range(int(self.start_s / _ASK_EVERY_S)):
            if self.answers():
                return
            if self.pid is None:
                raise ServerFailed(
                    f"{self.name} ended with status {self.status}; the end of {self.log_file}:\n{self.last_lines()}"
                )
            pause.wait(_ASK_EVERY_S)
        self.kill()
        raise ServerFailed(
            f"{self.name} did not answer within {self.start_s:.0f} s; the end of {self.log_file}:\n{self.last_lines()}"
        )

    def start(self) -> None:
        """Start it and return once it answers."""
        self.launch()
        self.wait()

    def stop(self, *, grace_s: float = 30.0) -> None:
        """Ask it to end with its stop signal, and kill it where it does not within `grace_s`."""
        if self._process is None or self.pid is None:
            return
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """kill -9, it and its children; returns when it is gone."""
        if self._process is None or self.pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def last_lines(self, count: int = 12) -> str:
        """The end of its log."""
        try:
            return "\n".join(self.log_file.read_text("utf-8", "replace").splitlines()[-count:])
        except OSError:
            return ""

    @property
    def _pid_file(self) -> Path:
        return self.folder / f"{self.name}.pid"


def free_port() -> int:
    """A loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Whether a server could listen on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def kept_port(file: Path) -> int:
    """The port that the file names, as long as it is free, else a free one, which the file names from then on."""
    try:
        port = int(file.read_text("utf-8"))
    except (OSError, ValueError):
        port = 0
    if not port or not is_free(port):
        port = free_port()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(port), "utf-8")
    return port


def _ends_with_parent() -> list[str]:
    """What to put before a command so that it is killed when its parent is gone; nothing where there is no such tool."""
    found = shutil.which("setpriv")  # of util-linux
    return [] if found is None else [found, "--pdeathsig", "KILL", "--"]


def end(pid: int) -> None:
    """kill -9, and return when the process is gone; nothing where it is gone already."""
    with contextlib.suppress(OSError, AttributeError):
        descriptor = os.pidfd_open(pid)
        with os.fdopen(descriptor, "rb", buffering=0):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], _GONE_S)  # a pidfd is readable once its process has ended


def _end_left_over(pid_file: Path, folder: Path) -> None:
    """Kill what an earlier parent has left running in this folder, and return when it is gone."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(pid_file.read_text("utf-8"))
        if os.path.realpath(f"/proc/{pid}/cwd") == str(folder.resolve()):
            end(pid)
