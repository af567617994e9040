"""What the routes need from outside, handed over once by the composition root."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request

from alerts.store import AlertStore
from core.clock import Clock, utc_now
from core.dead import DeadPage, DeadQuery, Replay
from core.records import DeadLetter
from search.index import Index

Counters = Callable[[], Awaitable[Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of a gauge, with the labels that tell it from the gauge's others."""

    gauge: str
    labels: Mapping[str, str]
    value: float


Gauges = Callable[[], Awaitable[Sequence[Reading]]]
Submit = Callable[[str, bytes], Awaitable[None]]


class DeadLetters(Protocol):
    """The records that could not go on."""

    async def page(self, query: DeadQuery, *, limit: int, offset: int) -> DeadPage:
        """Letters that are asked for, newest first."""
        ...

    async def read(self, place: str) -> tuple[DeadLetter, Replay | None]:
        """The letter at a place, and its replay; `ConfigError` where there is none."""
        ...

    async def replay(self, places: Sequence[str], raw: bytes | None = None) -> int:
        """Send letters again, with `raw` for their bytes where it is given; how many. `Retryable` where the rest must wait."""
        ...


async def no_gauges() -> Sequence[Reading]:
    """No readings."""
    return ()


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything that the routes reach.

    `counters` gives the pipeline's totals (read, scored, indexed, dead, matches, transitions, delivered) and gauges (backlog,
    events_per_second); `gauges` what else is exported to Prometheus. `submit(topic, raw)` returns once the record is safe in `topic`;
    it raises InvalidRecord when it went to the dead-letter topic instead, and Retryable when it is nowhere. Without `dead` no letters are
    shown.
    """

    index: Index
    alerts: AlertStore | None
    counters: Counters
    submit: Submit
    gauges: Gauges = no_gauges
    dead: DeadLetters | None = None
    clock: Clock = utc_now
    version: str = "unknown"


def deps_of(request: Request) -> Deps:
    """The dependencies of the app that serves `request`."""
    deps = request.app.state.deps
    assert isinstance(deps, Deps)
    return deps
