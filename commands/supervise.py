"""Child processes of `groundswell run`: started, watched, restarted when they die, stopped with their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from core import log
from core.errors import GroundswellError
from streams.batches import EXIT_TOO_MANY_DEAD

_MAX_RESTARTS = 5  # within _RESTART_WINDOW_S; a process that dies more often will not live
_RESTART_WINDOW_S = 120.0
_FATAL = {2, EXIT_TOO_MANY_DEAD}  # a wrong setting, a bad file: starting again changes nothing
_log = log.get(__name__)


class ChildFailed(GroundswellError):
    """A part of the process tree ended and cannot be brought back."""


@dataclass(slots=True)
class Child:
    """One part of the tree: `groundswell <arguments>`; its log goes to `log_file`, its standard output to ours."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log_file: Path
    output: IO[bytes] | int
    _process: subprocess.Popen[bytes] | None = None
    _deaths: list[float] = field(default_factory=list)
    _excused: bool = False

    def start(self) -> None:
        """Start the process; it ends by itself when this one is gone, since its standard input ends then."""
        self._excused = False
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as errors:
            self._process = subprocess.Popen(  # noqa: S603 — our own program
                [sys.executable, "-m", "groundswell", *self.arguments, "--end-with-parent"],
                env={**os.environ, **self.environment},
                stdin=subprocess.PIPE,
                stdout=self.output,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def watch(self) -> None:
        """Start it again where it has died; `ChildFailed` where that does not help."""
        if self._process is None or self._process.poll() is None:
            return
        status, now = self._process.returncode, time.monotonic()
        if self._excused:
            _log.warning("child_restarted", child=self.name, status=status, reason="a server was away")
            self.start()
            return
        self._deaths = [death for death in self._deaths if now - death < _RESTART_WINDOW_S] + [now]
        if status in _FATAL or len(self._deaths) > _MAX_RESTARTS:
            raise ChildFailed(
                f"the {self.name} process ended with status {status}; the end of {self.log_file}:\n{self.last_lines()}"
            )
        _log.warning("child_restarted", child=self.name, status=status, restarts=len(self._deaths))
        self.start()

    def excuse(self) -> None:
        """What it needs is away: should it die of that, its death does not count."""
        self._excused = True

    def last_lines(self, count: int = 8) -> str:
        """The end of its log."""
        try:
            return "\n".join(self.log_file.read_text("utf-8", "replace").splitlines()[-count:])
        except OSError:
            return ""

    def stop(self, *, grace_s: float = 20.0) -> None:
        """Ask it to end, and end it where it does not within `grace_s`."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            _log.warning("child_killed", child=self.name)
            process.kill()
            process.wait()


def end_when_input_ends() -> None:
    """Stop when standard input ends, which it does when the process that holds its other end is gone, however it went."""
    while os.read(0, 1):
        continue
    os.kill(os.getpid(), signal.SIGTERM)
