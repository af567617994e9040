"""The sections of the report, from judged rows."""

import hashlib
from collections.abc import Sequence

from models.training.report.calibration import Bin, expected_gap
from models.training.report.charts import Axes, confusion_chart, reliability_chart
from models.training.report.confusion import Confusion, confusion_table
from models.training.report.document import Chart, Section, Table
from models.training.text.evaluate import Judged
from models.training.text.measure import Compared, Interval
from models.training.text.report import figures
from models.training.text.report.figures import Figures
from models.training.text.report.parity import Parity
from models.training.text.sets import SETS

_COMMONEST = 10
_HASH_DIGITS = 12
_AXES = Axes(score="confidence", share="share right", count="texts")

_OVERVIEW = (
    "Values have 95 % intervals over 1,000 bootstrap resamples of the texts. The baseline is TF-IDF with logistic regression, trained "
    "on the same split, each set for itself. The difference is the model's figure minus the baseline's on the same resamples (a paired "
    "bootstrap): an interval that leaves out 0 tells the two apart.",
    "A language's line pools the texts of its sets, a label counting under its name. Accuracy asks for all labels of a text; macro-F1 "
    "is the mean over the labels that occur, micro-F1, for sets with several labels a text, is over all labels at once. "
    "ECE is the expected calibration error of the first label over 15 bins.",
)
_CALIBRATION = (
    "Bars: how often the first label is right, by its probability; dots: the mean probability of each bin. On the dashed line the "
    "model is right as often as it says. Below: how many texts have that probability.",
)
_HIDDEN = "The set states no licence that lets its texts be copied here: a text is named by the first digits of its SHA-256."


def overview_section(found: Sequence[Figures]) -> Section:
    """Model and baseline, by language and by set."""
    return Section("Model and baseline", _OVERVIEW, tuple(overview_tables(found)))


def overview_tables(found: Sequence[Figures]) -> list[Table]:
    """Accuracy and F1 of the model and the baseline."""
    accuracy = [(each.name, f"{each.texts:,}", *_compared(each.accuracy)) for each in found]
    f1 = [(each.name, each.f1_name, *_compared(each.f1), "" if each.gap is None else f"{each.gap:.3f}") for each in found]
    systems = ("Model", "Baseline", "Difference")
    return [
        Table("Accuracy", ("Texts of", "Texts", *systems), tuple(accuracy)),
        Table("F1 and calibration", ("Texts of", "F1", *systems, "ECE"), tuple(f1), left=2),
    ]


def _compared(each: Compared) -> tuple[str, str, str]:
    return str(each.model), str(each.baseline), signed(each.difference)


def signed(interval: Interval) -> str:
    """A difference with its interval.

    >>> signed(Interval(0.05, -0.01, 0.11))
    '+0.050 (−0.010 to +0.110)'
    """
    value, low, high = (f"{each:+.3f}".replace("-", "−") for each in (interval.value, interval.low, interval.high))
    return f"{value} ({low} to {high})"


def calibration_section(sets: Sequence[tuple[str, Sequence[Judged]]]) -> Section:
    """A reliability diagram of each set."""
    found = [(name, figures.calibration(rows)) for name, rows in sets]
    charts = [Chart(_reliability_chart(name, bins), _bins_table(name, bins)) for name, bins in found if bins]
    return Section("Calibration", _CALIBRATION, tuple(charts))


def _reliability_chart(name: str, bins: Sequence[Bin]) -> str:
    return reliability_chart(name, bins, _AXES, note=f"ECE {expected_gap(bins):.3f}")


def _bins_table(name: str, bins: Sequence[Bin]) -> Table:
    rows = tuple(
        (f"{each.low:.2f} to {each.high:.2f}", f"{each.count:,}", f"{each.mean:.3f}", f"{each.share:.3f}") for each in bins
    )
    return Table(f"Calibration of {name}", ("Confidence", "Texts", "Mean", "Share right"), rows)


def set_section(name: str, rows: Sequence[Judged], *, show_texts: bool = False) -> Section:
    """One set: its labels, what is taken for what, the worst errors. Texts are shown where the set's licence allows it."""
    source = SETS.get(name)
    shown = show_texts or (source is not None and source.permissive)
    several = figures.has_several(rows)
    licence = "unknown" if source is None else source.licence
    notes = (f"{rows[0].lang} {rows[0].task}; {len(rows):,} texts; licence: {licence}.", *(() if shown else (_HIDDEN,)))
    parts: list[Table | Chart] = [_labels_table(rows)]
    if not several:
        confusion = figures.confusion(rows)
        parts.append(Chart(confusion_chart(name, confusion), confusion_table(confusion)))
        parts.append(_commonest_table(confusion))
    parts.append(_worst_table(rows, shown=shown))
    return Section(name, notes, tuple(parts))


def _labels_table(rows: Sequence[Judged]) -> Table:
    found = tuple(
        (
            each.label,
            *(f"{value:.3f}" for value in (each.precision, each.recall, each.f1)),
            f"{each.support:,}",
            f"{each.support / len(rows):.1%}",
            f"{each.given / len(rows):.1%}",
        )
        for each in figures.by_label(rows)
    )
    header = ("Label", "Precision", "Recall", "F1", "Support", "Share of texts", "Share predicted")
    return Table("Labels", header, found)


def _commonest_table(confusion: Confusion) -> Table:
    labels, counts = confusion.labels, confusion.counts
    off = [(-int(counts[row, column]), row, column) for row, column in zip(*counts.nonzero(), strict=True) if row != column]
    rows = tuple(
        (labels[row], labels[column], str(-count), f"{-count / counts[row].sum():.1%}") for count, row, column in sorted(off)
    )
    header = ("Truth", "Predicted", "Texts", "Share of the truth's texts")
    return Table("Commonest confusions", header, rows[:_COMMONEST], left=2)


def _worst_table(rows: Sequence[Judged], *, shown: bool) -> Table:
    found = tuple(
        (row.text if shown else text_hash(row.text), "; ".join(row.truth), "; ".join(row.predicted), f"{row.confidence:.3f}")
        for row in figures.worst(rows)
    )
    return Table("Surest errors", ("Text" if shown else "SHA-256", "Truth", "Predicted", "Confidence"), found, left=3)


def text_hash(text: str) -> str:
    """The first digits of a text's SHA-256, by which its owner finds it.

    >>> text_hash("Oil up")
    'c52e2efd092b'
    """
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]


def length_section(rows: Sequence[Judged]) -> Section:
    """The figures by the length of the texts, for each language and task."""
    tables = []
    for (lang, task), group in figures.grouped(rows, lambda row: (row.lang, row.task)).items():
        several = figures.has_several(group)
        found = [figures.figures(name, part, several=several) for name, part in figures.by_length(group)]
        lines = tuple((each.name, f"{each.texts:,}", str(each.accuracy.model), str(each.f1.model)) for each in found)
        tables.append(Table(f"{lang} {task}", ("Characters", "Texts", "Accuracy", found[0].f1_name), lines))
    return Section("By length of text", ("Texts in four parts of like size by their characters.",), tuple(tables))


def parity_table(parity: Sequence[Parity]) -> Table:
    """What each exported variant keeps of the trained network's answers."""
    header = ("Variant", "MB", "Same label", "Largest change of a probability", "Macro-F1 lost", "Largest change by batch")
    rows = tuple(
        (
            each.variant,
            f"{each.megabytes:.1f}",
            f"{each.same_label:.2%}",
            f"{each.max_change:.4f}",
            f"{each.macro_f1_loss:+.4f}".replace("-", "−"),
            f"{each.max_change_by_batch:.0e}",
        )
        for each in parity
    )
    return Table("Exported variants against the trained network", header, rows)
