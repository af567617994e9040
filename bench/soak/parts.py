"""The product's processes and the servers below them: watched, killed, held down and brought back."""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bench.memory import resident_mb, tree
from bench.soak.receiver import Receiver
from commands.machine import Watched
from commands.supervise import Child
from core.settings import Settings, as_environment
from servers.process import free_port

WORKERS = ("worker-1", "worker-2")
THIRD = "worker-3"
_SAMPLE_S = 5.0


@dataclass(slots=True)
class Life:
    """What memory a part has had: at minute 5, now and at most, in megabytes; `pids` are those of all its starts."""

    pids: list[int] = field(default_factory=list)
    since_s: float = 0.0
    at_minute_5: float = 0.0
    now: float = 0.0
    most: float = 0.0


class Parts:
    """Two workers with the real models, a third that comes and goes, the page, and the servers; all end with this process."""

    def __init__(self, settings: Settings, servers: Sequence[Watched], receiver: Receiver) -> None:
        self._servers = {each.server.name: each for each in servers}
        self._held: set[str] = set()
        self._logs = settings.data / "logs"
        self._logs.mkdir()
        self._console = (self._logs / "console.log").open("ab")
        self.port = free_port()
        webhook = {
            "GROUNDSWELL_WEBHOOK_URL": receiver.url,
            "GROUNDSWELL_WEBHOOK_SECRET": receiver.secret,
            "GROUNDSWELL_WEBHOOK_ALLOW_PRIVATE": "true",
        }
        self._children = {
            name: self._child(name, replace(settings, data=settings.data / name), webhook) for name in (*WORKERS, THIRD, "web")
        }
        self._wanted = {*WORKERS, "web"}
        self._sampled_s = 0.0
        self.lives = {name: Life() for name in (*self._children, *self._servers)}

    def _child(self, name: str, settings: Settings, webhook: dict[str, str]) -> Child:
        arguments = ["web", "--port", str(self.port)] if name == "web" else ["worker"]
        return Child(name, arguments, as_environment(settings) | webhook, self._logs / f"{name}.log", self._console)

    def start(self) -> None:
        """Start the workers and the page."""
        for name in sorted(self._wanted):
            self._children[name].start()

    def stop(self) -> None:
        """Stop them; the servers are stopped by whoever opened them."""
        for child in self._children.values():
            child.stop()
        self._console.close()

    def watch(self) -> bool:
        """Whether all servers answer; what has died is started again, and `ChildFailed` or `ServerFailed` where that does not help."""
        up = [name not in self._held and each.watch() for name, each in self._servers.items()]
        for name in self._wanted:
            if all(up):
                self._children[name].watch()
            else:
                self._children[name].excuse()
        self._note()
        return all(up)

    def kill(self, worker: str, number: signal.Signals) -> None:
        """Send a signal to a worker; it is started again once it has ended."""
        child = self._children[worker]
        child.excuse()
        if child.pid is not None:
            os.kill(child.pid, number)

    def hold(self, server: str, *, kill: bool) -> None:
        """Kill a server, or ask it to end, and leave it down until it is let go."""
        self._held.add(server)
        found = self._servers[server].server
        found.kill() if kill else found.stop()

    def let_go(self, server: str) -> None:
        """A server that was held is started again."""
        self._held.discard(server)

    def join(self) -> None:
        """Start the third worker."""
        self._children[THIRD].stop()
        self._children[THIRD].start()
        self._wanted.add(THIRD)

    def leave(self) -> None:
        """Ask the third worker to end."""
        self._wanted.discard(THIRD)
        self.kill(THIRD, signal.SIGTERM)

    def measure(self, minute: int) -> str:
        """The resident memory of each part that runs, in MB, with the minutes since its start."""
        self._note(at_once=True)
        told = []
        for name, life in self.lives.items():
            if minute == 5:
                life.at_minute_5 = life.now
            if life.now:
                told.append(f"{name} {life.now:.0f} ({(time.monotonic() - life.since_s) / 60:.0f})")
        return ", ".join(told)

    def _pid(self, name: str) -> int | None:
        return self._children[name].pid if name in self._children else self._servers[name].server.pid

    def _note(self, *, at_once: bool = False) -> None:
        """Note who runs, and every few seconds or `at_once` how much memory it has."""
        now_s = time.monotonic()
        sample = at_once or now_s - self._sampled_s >= _SAMPLE_S
        for name, life in self.lives.items():
            pid = self._pid(name)
            if pid is not None and pid not in life.pids[-1:]:
                life.pids.append(pid)
                life.since_s = now_s
            if sample:
                life.now = 0.0 if pid is None else resident_mb(tree(pid))
                life.most = max(life.most, life.now)
                self._sampled_s = now_s
