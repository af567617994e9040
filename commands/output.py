"""Output that is a command's result: JSON Lines or tables on standard output."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.errors import ConfigError

_ANY_WIDTH = 10_000


def print_json(value: object) -> None:
    """One JSON value on one line."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table whose cells are shown as they are, whatever markup they hold; cells are folded to a terminal's width, and no other's."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=place == 0)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:  # a file or a pipe, which rich takes to be 80 columns wide
        console.width = _ANY_WIDTH
    console.print(table)


@contextmanager
def open_output(path: Path) -> Iterator[IO[bytes]]:
    """The file for writing; `-` = standard output."""
    if str(path) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        stream = path.open("wb")
    except OSError as error:
        raise ConfigError(f"cannot write the output: {error.strerror}", file=str(path)) from error
    with stream:
        yield stream
