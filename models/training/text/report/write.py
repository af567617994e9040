"""The report's pages: report.md, and report.html that needs nothing beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from models.training.text.evaluate import Judged
from models.training.text.report.document import Chart, Report, Section
from models.training.text.report.figures import Figures, grouped, overview
from models.training.text.report.markdown import report_markdown
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
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.md").write_text(report_markdown(report), encoding="utf-8")
    (out / "report.html").write_text(report_html(report), encoding="utf-8")
    return found


def _sections(rows: Sequence[Judged], found: Sequence[Figures], aside: Aside, *, show_texts: bool) -> list[Section]:
    sets = list(grouped(rows, lambda row: row.source).items())
    sections = [overview_section(found), calibration_section(sets), length_section(rows)]
    sections.extend(aside.sections)
    if aside.parity:
        sections.append(Section("Export", (), (parity_table(aside.parity),)))
    sections.extend(set_section(name, of_set, show_texts=show_texts) for name, of_set in sets)
    return sections


def report_html(report: Report) -> str:
    """The report as one page; all but the charts' SVG is escaped."""
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    pages.tests["chart"] = lambda part: isinstance(part, Chart)
    pages.filters["drawn"] = Markup  # charts.py wrote it, out of numbers and escaped names
    page: str = pages.get_template("page.html.j2").render(report=report)
    return page
