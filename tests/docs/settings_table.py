"""The README's table of settings: `python -m tests.docs.settings_table` writes it anew."""

from pathlib import Path

from core.settings import rows

README = Path(__file__).parents[2] / "README.md"
BEGIN = "<!-- settings: made by `python -m tests.docs.settings_table` -->\n"
END = "<!-- /settings -->"


def table() -> str:
    """The table in Markdown."""
    lines = [f"| `{row.name}` | {f'`{row.default}`' if row.default not in ('', '.') else ''} | {row.help} |" for row in rows()]
    return "\n".join(["| Name | Default | What it sets |", "|---|---|---|", *lines]) + "\n"


def with_table(text: str) -> str:
    """The README with the table between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    README.write_text(with_table(README.read_text("utf-8")), "utf-8")
