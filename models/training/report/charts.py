"""The report's charts as SVG elements, the same bytes for the same figures; they take on the page's colours, light or dark."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from models.training.report.calibration import Bin, Floats
from models.training.report.confusion import Confusion

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
_LEAST = 1e-6  # score on a logarithmic axis
_STRONGEST = 0.65  # opacity of a full cell: the number on it stays legible in light and dark


@dataclass(frozen=True, slots=True)
class Axes:
    """What a reliability diagram's axes say; `log` spreads out the small scores of rare events."""

    score: str
    share: str
    count: str
    log: bool = False


def reliability_chart(name: str, bins: Sequence[Bin], axes: Axes, *, note: str) -> str:
    """The share of right answers by score, and below it how many cases have that score."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(3.2, 3.7), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        places = [each.low for each in bins]
        widths = [each.high - each.low for each in bins]
        bars = {"align": "edge", "color": _ACCENT, "alpha": 0.6, "edgecolor": _INK, "linewidth": 0.5}
        upper.bar(places, [each.share for each in bins], widths, **bars)
        upper.plot([_LEAST, 1], [_LEAST, 1], color=_INK, linestyle="--", linewidth=1)
        dots = {"color": _INK, "markersize": 3, "clip_on": axes.log}  # on a logarithmic axis a share of 0 lies outside
        upper.plot([each.mean for each in bins], [each.share for each in bins], "o", **dots)
        upper.set(xlim=(0, 1), ylim=(0, 1), ylabel=axes.share)
        upper.set_title(f"{name}\n{note}", fontsize=10)
        lower.bar(places, [each.count for each in bins], widths, **bars)
        lower.set(xlabel=axes.score, ylabel=axes.count)
        if axes.log:
            _spread(upper, lower, bins)
        _plain(upper, lower)
        return _svg(figure, name=f"reliability-{name}", label=f"Reliability diagram of {name}")


def _spread(upper: Any, lower: Any, bins: Sequence[Bin]) -> None:
    """Logarithmic axes from below the least score that occurs."""
    least = max(min(each.mean for each in bins), _LEAST) / 2
    for each in (upper, lower):
        each.set(xscale="log", yscale="log")
        for axis in (each.xaxis, each.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
    upper.set(xlim=(least, 1), ylim=(least, 1))
    lower.set(ylim=(0.5, 2 * max(each.count for each in bins)))


def confusion_chart(name: str, confusion: Confusion) -> str:
    """A heat map: counts in the cells, coloured by their share of the row."""
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


def curve_chart(name: str, curves: Mapping[str, tuple[Floats, Floats]], *, across: str, up: str) -> str:
    """Lines in the unit square, each by its name: (across, up) of its points in order. The first is the accented one."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(4.2, 3.7), layout="constrained")
        axes = figure.subplots()
        for place, (label, (x, y)) in enumerate(curves.items()):
            colour, dashes = (_ACCENT, "-") if place == 0 else (_INK, ("--", ":", "-.")[(place - 1) % 3])
            axes.plot(x, y, color=colour, linestyle=dashes, linewidth=1.8 if place == 0 else 1.2, label=label)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=across, ylabel=up)
        axes.set_title(name, fontsize=10)
        axes.legend(loc="lower left", frameon=False)
        _plain(axes)
        return _svg(figure, name=f"curve-{name}", label=f"{up} by {across}: {name}")


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
        drawn = drawn.replace(mark, f"{mark}{escape(name.replace(' ', '-'))}-")
    return drawn.replace(_INK, "currentColor").replace(_ACCENT, "var(--accent)")
