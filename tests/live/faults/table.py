"""The table of faults: what each run told, by fault, as Markdown."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

PROPERTY = "fault"


@dataclass(frozen=True, slots=True)
class Row:
    """What became of the loads under a fault; `control` is the evidence that it bit."""

    fault: str
    runs: int
    events: int
    lost: int
    duplicates: int
    dead_letters: int
    control: str

    def __add__(self, other: "Row") -> "Row":
        return Row(
            self.fault,
            self.runs + other.runs,
            self.events + other.events,
            self.lost + other.lost,
            self.duplicates + other.duplicates,
            self.dead_letters + other.dead_letters,
            f"{self.control}; {other.control}",
        )


def markdown(rows: Iterable[Row]) -> str:
    """The table, runs of one fault in one row.

    >>> print(markdown([Row("kill", 1, 10, 0, 0, 0, "lost 2"), Row("kill", 1, 20, 0, 0, 0, "lost 3")]))
    | fault | runs | events | lost | duplicates | dead letters | control |
    |---|---|---|---|---|---|---|
    | kill | 2 | 30 | 0 | 0 | 0 | lost 2; lost 3 |
    """
    by_fault: dict[str, Row] = {}
    for row in rows:
        by_fault[row.fault] = by_fault[row.fault] + row if row.fault in by_fault else row
    names = [field.name.replace("_", " ") for field in fields(Row)]
    lines = [names, ["---"] * len(names), *([str(value) for value in astuple(row)] for row in by_fault.values())]
    head, rule, *body = lines
    return "\n".join([_line(head), f"|{'|'.join(rule)}|", *map(_line, body)])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
