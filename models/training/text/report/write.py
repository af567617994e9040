"""Judged rows → the report's pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.training.report.document import Report, Section
from models.training.report.pages import write_pages
from models.training.text.evaluate import Judged
from models.training.text.report.figures import Figures, grouped, overview
from models.training.text.report.parity import Parity
from models.training.text.report.sections import calibration_section, length_section, overview_section, parity_table, set_section


@dataclass(frozen=True, slots=True)
class Aside:
    """What a report says beside the judged rows: how the variants keep the network's answers, and further sections."""

    parity: tuple[Parity, ...] = ()
    sections: tuple[Section, ...] = ()


def write_report(
    rows: Sequence[Judged], out: Path, *, title: str, aside: Aside | None = None, show_texts: bool = False
) -> list[Figures]:
    """The figures by language and set, as report.md and report.html in `out` show them with all that is behind them.

    Texts of sets that state no licence are named by a hash, unless `show_texts`: such a report is not for passing on.
    """
    found = overview(rows)
    report = Report(title, tuple(_sections(rows, found, aside or Aside(), show_texts=show_texts)))
    write_pages(report, out)
    return found


def _sections(rows: Sequence[Judged], found: Sequence[Figures], aside: Aside, *, show_texts: bool) -> list[Section]:
    sets = list(grouped(rows, lambda row: row.source).items())
    sections = [overview_section(found), calibration_section(sets), length_section(rows)]
    sections.extend(aside.sections)
    if aside.parity:
        sections.append(Section("Export", (), (parity_table(aside.parity),)))
    sections.extend(set_section(name, of_set, show_texts=show_texts) for name, of_set in sets)
    return sections
