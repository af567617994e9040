"""Random faults: which comes when follows from the seed; each is begun and ended by the main loop."""

import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from bench.soak.feed import Feed
from bench.soak.parts import WORKERS, Parts
from bench.soak.receiver import Receiver

Kind = Literal[
    "kill -9 of a worker",
    "SIGTERM to a worker",
    "a third worker for a while",
    "kill -9 of kafka",
    "kill -9 of elasticsearch",
    "restart of postgres",
    "the receiver answers 500",
    "burst of ten times the rate",
]
# How long each lasts, seconds, least and most. A receiver that is away for longer than the 5 s between the first two tries of a
# delivery makes it wait 5 minutes for the third.
LASTS: dict[Kind, tuple[float, float]] = {
    "kill -9 of a worker": (0.0, 0.0),
    "SIGTERM to a worker": (0.0, 0.0),
    "a third worker for a while": (30.0, 60.0),
    "kill -9 of kafka": (0.0, 15.0),
    "kill -9 of elasticsearch": (0.0, 30.0),
    "restart of postgres": (0.0, 15.0),
    "the receiver answers 500": (5.0, 15.0),
    "burst of ten times the rate": (5.0, 12.0),
}
_BURST = 10.0


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that begins at a second of the soak; `worker` is whom it concerns, where that is one of two."""

    at_s: float
    kind: Kind
    lasts_s: float
    worker: str


def plan(seed: int, *, seconds: float, gap_s: tuple[float, float]) -> list[Fault]:
    """The faults of a soak: between two there is a gap from `gap_s`, and each kind comes once before any comes again.

    >>> faults = plan(1, seconds=600, gap_s=(30, 90))
    >>> len({fault.kind for fault in faults[:8]}), faults == plan(1, seconds=600, gap_s=(30, 90))
    (8, True)
    """
    source = random.Random(seed)
    kinds = _kinds(source)
    found: list[Fault] = []
    at_s = source.uniform(*gap_s)
    while at_s < seconds - gap_s[0]:
        kind = next(kinds)
        found.append(Fault(at_s, kind, source.uniform(*LASTS[kind]), source.choice(WORKERS)))
        at_s += source.uniform(*gap_s)
    return found


def _kinds(source: random.Random) -> Iterator[Kind]:
    while True:
        yield from source.sample(list(LASTS), len(LASTS))


@dataclass(slots=True)
class Faults:
    """Does what the plan says; `tell` is given a line for each fault."""

    parts: Parts
    feed: Feed
    receiver: Receiver
    planned: list[Fault]
    tell: Callable[[str], None]
    done: int = 0
    _lasting: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def step(self, now_s: float) -> None:
        """End what is over and begin what is due."""
        for ending in [each for each in self._lasting if each[0] <= now_s]:
            self._lasting.remove(ending)
            ending[1]()
        while self.done < len(self.planned) and self.planned[self.done].at_s <= now_s:
            fault = self.planned[self.done]
            self.done += 1
            self.tell(_told(fault))
            ending_of = self._begin(fault)
            if ending_of is not None:
                self._lasting.append((now_s + fault.lasts_s, ending_of))

    def finish(self) -> None:
        """End all that lasts, and begin no more."""
        for _, ending in self._lasting:
            ending()
        self._lasting.clear()

    def _begin(self, fault: Fault) -> Callable[[], None] | None:
        """Begin a fault; what ends it, where it lasts."""
        match fault.kind:
            case "kill -9 of a worker" | "SIGTERM to a worker":
                self.parts.kill(fault.worker, signal.SIGKILL if fault.kind.startswith("kill") else signal.SIGTERM)
                return None
            case "a third worker for a while":
                self.parts.join()
                return self.parts.leave
            case "the receiver answers 500":
                self.receiver.failing = True
                return lambda: setattr(self.receiver, "failing", False)
            case "burst of ten times the rate":
                self.feed.factor = _BURST
                return lambda: setattr(self.feed, "factor", 1.0)
        server = fault.kind.rpartition(" ")[2]
        self.parts.hold(server, kill=fault.kind.startswith("kill"))
        return lambda: self.parts.let_go(server)


def _told(fault: Fault) -> str:
    """The fault in words.

    >>> _told(Fault(1.0, "kill -9 of a worker", 0.0, "worker-2")), _told(Fault(1.0, "kill -9 of kafka", 9.6, "worker-2"))
    ('kill -9 of a worker: worker-2', 'kill -9 of kafka, 10 s')
    """
    whom = f": {fault.worker}" if fault.kind in ("kill -9 of a worker", "SIGTERM to a worker") else ""
    return f"{fault.kind}{whom}" + (f", {fault.lasts_s:.0f} s" if fault.lasts_s else "")
