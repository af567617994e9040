"""The report's charts as SVG elements, the same bytes for the same figures; they take on the page's colours, light or dark."""

import io
from collections.abc import Sequence
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from models.training.text.measure import Bin, expected_gap
from models.training.text.report.figures import Confusion

_INK = "#010203"  # in the drawing; the page's text colour in the SVG
_ACCENT = "#040506"
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "svg.hashsalt": "groundswell",
    "text.parse_math": False,
    "font.size": 9,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
}
_UNDATED = {"Date": None, "Creator": None, "Format": None, "Type": None}
_STRONGEST = 0.65  # opacity of a full cell: the number on it stays legible in light and dark


def reliability_chart(name: str, bins: Sequence[Bin]) -> str:
    """The share of right answers by confidence, and below it how many texts have that confidence."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(3.2, 3.7), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        places = [each.low for each in bins]
        widths = [each.high - each.low for each in bins]
        bars = {"align": "edge", "color": _ACCENT, "alpha": 0.6, "edgecolor": _INK, "linewidth": 0.5}
        upper.bar(places, [each.right for each in bins], widths, **bars)
        upper.plot([0, 1], [0, 1], color=_INK, linestyle="--", linewidth=1)
        upper.plot(
            [each.confidence for each in bins], [each.right for each in bins], "o", color=_INK, markersize=3, clip_on=False
        )
        upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share right")
        upper.set_title(f"{name}\nECE {expected_gap(bins):.3f}", fontsize=10)
        lower.bar(places, [each.texts for each in bins], widths, **bars)
        lower.set(xlabel="confidence", ylabel="texts")
        _plain(upper, lower)
        return _svg(figure, name=f"reliability-{name}", label=f"Reliability diagram of {name}")


def confusion_chart(name: str, confusion: Confusion) -> str:
    """A heat map: counts in the cells, coloured by their share of the row's texts."""
    labels, counts = confusion.labels, confusion.counts
    with rc_context(_STYLE):
        side = 1.6 + 0.42 * len(labels)
        figure = Figure(figsize=(side + 0.8, side), layout="constrained")
        axes = figure.subplots()
        shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
        for row, column in zip(*counts.nonzero(), strict=True):
            cell = Rectangle(
                (column, row), 1, 1, facecolor=_ACCENT, edgecolor="none", alpha=_STRONGEST * float(shares[row, column])
            )
            axes.add_patch(cell)
            axes.text(column + 0.5, row + 0.5, str(counts[row, column]), ha="center", va="center", fontsize=8)
        places = [at + 0.5 for at in range(len(labels))]
        axes.set_xticks(places, labels, rotation=90 if len(labels) > 4 else 0)
        axes.set_yticks(places, labels)
        axes.set(xlim=(0, len(labels)), ylim=(len(labels), 0), xlabel="predicted", ylabel="truth", aspect="equal")
        axes.tick_params(length=0)
        _plain(axes)
        return _svg(figure, name=f"confusion-{name}", label=f"Confusion matrix of {name}")


def _plain(*axes: Any) -> None:
    for each in axes:
        each.patch.set_visible(False)
        each.spines[["top", "right"]].set_visible(False)


def _svg(figure: Figure, *, name: str, label: str) -> str:
    """The figure as an element; ids begin with `name`, so that several charts share a page."""
    figure.patch.set_visible(False)
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata=_UNDATED)
    drawn = stream.getvalue()
    drawn = drawn[drawn.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
    for mark in (' id="', "url(#", 'href="#'):
        drawn = drawn.replace(mark, f"{mark}{escape(name)}-")
    return drawn.replace(_INK, "currentColor").replace(_ACCENT, "var(--accent)")
