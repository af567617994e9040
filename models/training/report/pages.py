"""A report's pages: report.md, and report.html that needs nothing beside it."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from models.training.report.document import Chart, Report
from models.training.report.markdown import report_markdown

PAGES = ("report.md", "report.html")


def write_pages(report: Report, out: Path) -> None:
    """Write `PAGES` to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for name, text in zip(PAGES, (report_markdown(report), report_html(report)), strict=True):
        (out / name).write_text(text, encoding="utf-8")


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
