"""What a report consists of, whichever format it is written in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as plain text; the first `left` columns hold words, the others numbers."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


@dataclass(frozen=True, slots=True)
class Chart:
    """An SVG element, and the same as a table."""

    svg: str
    table: Table


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, paragraphs, and what follows them."""

    title: str
    notes: tuple[str, ...]
    parts: tuple[Table | Chart, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A titled sequence of sections."""

    title: str
    sections: tuple[Section, ...]
