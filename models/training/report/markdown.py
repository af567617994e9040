"""Markdown of tables and reports."""

import re
from html import escape

from models.training.report.document import Report, Section, Table

_SPECIAL = re.compile(r"([\\`*_\[\]|~#])")


def cell(text: str) -> str:
    r"""Text that Markdown and the HTML made of it show as it is.

    >>> print(cell("<b> a|b $_x_"))
    &lt;b&gt; a\|b $\_x\_
    """
    return _SPECIAL.sub(r"\\\1", escape(text, quote=False))


def table_markdown(table: Table) -> str:
    """The table under its caption.

    >>> print(table_markdown(Table("Sets", ("Set", "Texts"), (("a", "1"),))))
    **Sets**
    <BLANKLINE>
    | Set | Texts |
    |---|---:|
    | a | 1 |
    """
    rule = "".join("---|" if at < table.left else "---:|" for at in range(len(table.header)))
    lines = [f"| {' | '.join(cell(each) for each in row)} |" for row in table.rows]
    return "\n".join([f"**{cell(table.caption)}**", "", f"| {' | '.join(map(cell, table.header))} |", f"|{rule}", *lines])


def report_markdown(report: Report) -> str:
    """The report; a chart is there as its table."""
    return "\n\n".join([f"# {cell(report.title)}", *map(_section, report.sections)]) + "\n"


def _section(section: Section) -> str:
    tables = [table_markdown(part if isinstance(part, Table) else part.table) for part in section.parts]
    return "\n\n".join([f"## {cell(section.title)}", *map(cell, section.notes), *tables])
