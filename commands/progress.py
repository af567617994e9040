"""What `groundswell run` shows while it runs: one live line on a terminal, a line every few seconds elsewhere."""

import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from streams.totals import Totals

_PLAIN_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a run at one moment; `backlog` counts messages that wait for any stage, `transitions` those recorded, once each."""

    sent: int
    totals: Totals
    backlog: int
    transitions: int
    delivered: int
    pending: int
    seconds: float

    @property
    def events_per_second(self) -> float:
        """Scored events a second since the start."""
        return self.totals.scored / max(self.seconds, 0.001)


class Progress:
    """The display, on standard error; `quiet` leaves out the live line."""

    def __init__(self, address: str, *, quiet: bool) -> None:
        self._console = Console(file=sys.stderr)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal and not quiet else None
        self._address = address
        self._told_s = 0.0

    def __enter__(self) -> Self:
        self._console.print(f"Groundswell is starting; its page is at {self._address}  (Ctrl-C stops it)")
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Show the newest state."""
        if self._live is not None:
            self._live.update(_table(snapshot), refresh=True)
        elif time.monotonic() - self._told_s >= _PLAIN_EVERY_S:
            self._told_s = time.monotonic()
            self._console.print("  ".join(f"{name} {value}" for name, value in _figures(snapshot)), highlight=False)


def _figures(snapshot: Snapshot) -> list[tuple[str, str]]:
    done = snapshot.totals
    return [
        ("read", f"{done.read:,}"),
        ("scored", f"{done.scored:,}"),
        ("indexed", f"{done.indexed:,}"),
        ("dead", f"{done.dead:,}"),
        ("alerts", f"{snapshot.transitions:,}"),
        ("delivered", f"{snapshot.delivered:,}"),
        ("in flight", f"{snapshot.backlog:,}"),
        ("events/s", f"{snapshot.events_per_second:,.0f}"),
        ("seconds", f"{snapshot.seconds:,.0f}"),
    ]


def _table(snapshot: Snapshot) -> Table:
    table = Table(box=None, pad_edge=False)
    figures = _figures(snapshot)
    for name, _ in figures:
        table.add_column(name, justify="right")
    table.add_row(*(value for _, value in figures))
    return table
