"""The evaluation report of a fraud model: what it finds, how sure it may be, where it fails, and what its cascade costs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import starmap

import numpy as np

from models.fraud.arrays import Flags, Floats, Ints
from models.training.fraud.calibrate import calibration_error, cost
from models.training.fraud.judged import ENCODER, SERVED, TREES, Judged
from models.training.fraud.ranking import MEASURES, Resampled, rank, resample
from models.training.fraud.slices import PATTERNS, SliceFigures, figures, groups, patterns
from models.training.report.calibration import Bin, halving, reliability
from models.training.report.charts import Axes, confusion_chart, curve_chart, reliability_chart
from models.training.report.confusion import Confusion, confusion_table
from models.training.report.document import Chart, Report, Section, Table

ALERT = 0.5  # from which score on a payment is called suspicious in the bundled rules
SAMPLES = 1000
_THRESHOLDS = (0.1, ALERT, 0.9)
_WORST = 15
_POINTS = 300  # of a curve: more cannot be told apart in print
_RECALLS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_FEWEST = 100  # payments in the narrowest bin of a calibration by quantile
_AXES = Axes(score="score", share="share of frauds", count="payments")

_OVERVIEW = (
    "Values have 95 % intervals over {samples:,} bootstrap samples of whole customers. The difference is on the same samples (a paired "
    "bootstrap): an interval that leaves out 0 tells the two apart. Recall at a share: of the frauds, those that score higher than all "
    "but that share of the genuine payments."
)
_CALIBRATION = (
    "Bars: the share of frauds by score; dots: the mean score of each bin. On the dashed line the model is right as often as it says. "
    "By quantile, each bin holds the lower half of the payments that lie above the one before, on logarithmic axes: most scores are "
    "tiny. ECE, the expected calibration error, is over 15 bins of equally many payments."
)
_WORSE = (
    "“Times the usual” is the amount over what the customer usually pays. Labels seen are those that had come by the time of the "
    "payment, over both pasts."
)
_SLICES = (
    "“Found” and “wrongly so” are the shares of a part's frauds and genuine payments that score higher than all but 0.1 % of all "
    "genuine payments. AP is within the part, of fewer than ten frauds not told; the share of frauds moves it."
)


def fraud_report(title: str, judged: Judged, found: Mapping[str, Resampled], *, data: str) -> Report:
    """The report; `found` is what `overview` gave of the judged payments, and `data` says in a sentence what these are."""
    return Report(
        title,
        (
            _overview_section(judged, found, data),
            _calibration_section(judged),
            _curve_section(judged),
            _alert_section(judged),
            _slice_section(judged, samples=len(found[SERVED].samples)),
            _worst_section(judged),
            *_cascade_sections(judged, found),
        ),
    )


def overview(judged: Judged, *, samples: int = SAMPLES) -> dict[str, Resampled]:
    """The measures of every system, resampled together."""
    return resample(judged.systems, judged.part.truth, judged.customer, samples=samples)


def overview_table(judged: Judged, found: Mapping[str, Resampled]) -> Table:
    """Every system by measure, and the paired difference of the model as it serves to what it is held against."""
    columns = [each.measured() for each in found.values()]
    header = ("Measure", *(name[0].upper() + name[1:] for name in found))
    if len(found) == 1:
        return Table("Measures", header, tuple((name, str(columns[0][at])) for at, name in enumerate(MEASURES)))
    differences = found[SERVED].minus(found[judged.reference])
    rows = tuple((name, *(str(column[at]) for column in columns), differences[at].signed) for at, name in enumerate(MEASURES))
    return Table("Measures", (*header, f"Difference to {judged.reference}"), rows)


def _overview_section(judged: Judged, found: Mapping[str, Resampled], data: str) -> Section:
    truth = judged.part.truth
    size = (
        f"{len(truth):,} payments of {len(np.unique(judged.customer)):,} customers on {judged.days()} days, of which "
        f"{int(truth.sum()):,} are frauds ({truth.mean():.2%})."
    )
    notes = (f"{data} {size}", _OVERVIEW.format(samples=len(found[SERVED].samples)))
    return Section("Overview", notes, (overview_table(judged, found),))


def _calibration_section(judged: Judged) -> Section:
    scores, right = judged.served, judged.part.truth.astype(np.float64)
    note = f"ECE {calibration_error(scores, judged.part.truth):.5f}"
    found = {
        "by quantile": (halving(scores, right, least=_FEWEST), replace(_AXES, log=True)),
        "by score": (reliability(scores, right), _AXES),
    }
    charts = tuple(
        Chart(reliability_chart(name, bins, axes, note=note), _bins_table(name, bins)) for name, (bins, axes) in found.items()
    )
    mean = f"The mean score is {scores.mean():.5f}, the share of frauds {right.mean():.5f}."
    return Section("Calibration", (_CALIBRATION, mean), charts)


def _bins_table(name: str, bins: Sequence[Bin]) -> Table:
    rows = tuple(
        (f"{each.low:.5f} to {each.high:.5f}", f"{each.count:,}", f"{each.mean:.5f}", f"{each.share:.5f}") for each in bins
    )
    return Table(f"Calibration {name}", ("Score", "Payments", "Mean score", "Share of frauds"), rows)


def _curve_section(judged: Judged) -> Section:
    curves = {name: _curve(scores, judged.part.truth) for name, scores in judged.systems.items()}
    rows = tuple((f"{recall:.0%}", *(f"{_precision_at(*curve, recall):.3f}" for curve in curves.values())) for recall in _RECALLS)
    drawn = {name: _thinned(*curve) for name, curve in curves.items()}
    chart = curve_chart("Precision and recall", drawn, across="recall", up="precision")
    return Section("Precision and recall", (), (Chart(chart, Table("Precision by recall", ("Recall", *curves), rows)),))


def _curve(scores: Floats, truth: Flags) -> tuple[Floats, Floats]:
    """(recall, precision) at every score, the highest first."""
    caught, wrong = rank(scores, truth).caught()
    return caught / caught[-1], caught / (caught + wrong)


def _precision_at(recall: Floats, precision: Floats, least: float) -> float:
    """The precision where the recall first reaches `least`."""
    return float(precision[np.searchsorted(recall, least)])


def _thinned(recall: Floats, precision: Floats) -> tuple[Floats, Floats]:
    """As many points of a curve as can be seen, evenly by recall."""
    kept = np.unique(np.searchsorted(recall, np.linspace(recall[0], 1.0, _POINTS)))
    return recall[kept], precision[kept]


def _alert_section(judged: Judged) -> Section:
    flagged, truth = judged.served >= ALERT, judged.part.truth
    counts = np.array([[((truth == row) & (flagged == column)).sum() for column in (False, True)] for row in (False, True)])
    confusion = Confusion(("genuine", "fraud"), counts.astype(np.int64))
    return Section(
        f"Alerts at a score of {ALERT} or more",
        (),
        (
            Chart(confusion_chart("alerts", confusion), confusion_table(confusion)),
            _labels_table(confusion),
            _alerts_table(judged),
        ),
    )


def _labels_table(confusion: Confusion) -> Table:
    """Precision, recall and F1 of both labels, and their means."""
    counts = confusion.counts
    hits, support, given = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    figures = np.stack([hits / np.maximum(given, 1), hits / np.maximum(support, 1), 2 * hits / np.maximum(given + support, 1)])
    rows = [
        (label, *(f"{value:.4f}" for value in figures[:, at]), f"{support[at]:,}") for at, label in enumerate(confusion.labels)
    ]
    mean = ("mean of both", *(f"{value:.4f}" for value in figures.mean(axis=1)), f"{support.sum():,}")
    return Table("Classification", ("Label", "Precision", "Recall", "F1", "Payments"), (*rows, mean))


def _alerts_table(judged: Judged) -> Table:
    """What other thresholds would give."""
    rows = []
    for threshold in _THRESHOLDS:
        flagged, truth = judged.served >= threshold, judged.part.truth
        caught, alerts = int((flagged & truth).sum()), int(flagged.sum())
        rows.append(
            (
                f"{threshold:g}",
                f"{alerts:,}",
                f"{alerts / judged.days():.1f}",
                f"{caught / max(alerts, 1):.4f}",
                f"{caught / max(int(truth.sum()), 1):.4f}",
                f"{(alerts - caught) / max(int((~truth).sum()), 1):.3%}",
            )
        )
    header = ("Score of at least", "Alerts", "A day", "Precision", "Recall", "Genuine payments flagged")
    return Table("Alerts by threshold", header, tuple(rows))


def _slice_section(judged: Judged, *, samples: int) -> Section:
    tables = [_slice_table(caption, figures(judged, each, samples=samples), judged) for caption, each in groups(judged).items()]
    by_pattern = figures(judged, patterns(judged), samples=samples)
    if by_pattern:
        tables.append(_slice_table("Generated pattern, each among all genuine payments", by_pattern, judged))
    return Section("By what is known of the payment", (_SLICES,), tuple(tables))


def _slice_table(caption: str, found: Sequence[SliceFigures], judged: Judged) -> Table:
    rows = tuple(
        (
            each.name,
            f"{each.payments:,}",
            f"{each.frauds:,}",
            _share(each.frauds / max(each.payments, 1), digits=2),
            _share(each.mean_score, digits=2),
            _share(each.found),
            _share(each.wrong, digits=3),
            "" if each.precision is None else str(each.precision),
            "" if each.reference is None else f"{each.reference:.4f}",
        )
        for each in found
    )
    header = (
        "Part",
        "Payments",
        "Frauds",
        "Share of frauds",
        "Mean score",
        "Found",
        "Wrongly so",
        "AP",
        f"AP, {judged.reference}",
    )
    return Table(caption, header, rows)


def _share(value: float, *, digits: int = 1) -> str:
    """A share in per cent; nothing where there was nothing to count.

    >>> _share(0.125), _share(float("nan"))
    ('12.5%', '')
    """
    return "" if np.isnan(value) else f"{value:.{digits}%}"


def _worst_section(judged: Judged) -> Section:
    truth, order = judged.part.truth, np.argsort(-judged.served, kind="stable")
    tables = (
        _payments_table("Genuine payments with the highest scores", judged, order[~truth[order]][:_WORST]),
        _payments_table("Frauds with the lowest scores", judged, order[truth[order]][::-1][:_WORST]),
    )
    return Section("Worst errors", (_WORSE,), tables)


def _payments_table(caption: str, judged: Judged, rows: Ints) -> Table:
    """Payments by what the model knew of them, without a name or number by which they could be found."""
    columns = [
        [f"{each:.5f}" for each in judged.served[rows]],
        [f"{each:.2f}" for each in judged.amount[rows]],
        [f"{each:.1f}" for each in np.exp(judged.sum("ratio")[rows])],
        [f"{each:.0f}" for each in judged.time_s[rows] % 86_400 // 3600],
        [f"{each:.0f}" for each in judged.sum("customer_count")[rows]],
        [f"{each:.0f}" for each in judged.sum("terminal_count")[rows]],
        list(starmap("{:.0f} of {:.0f}".format, zip(*_labels_seen(judged, rows), strict=True))),
    ]
    header = ["Score", "Amount", "Times the usual", "Hour", "Customer's payments", "Terminal's payments", "Frauds of labels seen"]
    if judged.part.pattern is not None and judged.part.truth[rows].any():
        columns.append([PATTERNS.get(number, str(number)) for number in judged.part.pattern[rows].tolist()])
        header.append("Pattern")
    return Table(caption, tuple(header), tuple(zip(*columns, strict=True)), left=0)


def _labels_seen(judged: Judged, rows: Ints) -> tuple[Floats, Floats]:
    """(frauds, all labels) that were known of both pasts."""
    frauds = sum(
        judged.sum(f"{side}_fraud_{kind}")[rows].astype(np.float64)
        for side in ("customer", "terminal")
        for kind in ("ordinary", "unusual")
    )
    genuine = judged.sum("customer_genuine")[rows] + judged.sum("terminal_genuine")[rows]
    return np.asarray(frauds), np.asarray(frauds + genuine)


def _cascade_sections(judged: Judged, found: Mapping[str, Resampled]) -> list[Section]:
    """What it costs that the boosted trees screen, where they do."""
    if judged.threshold is None:
        return []
    told = cost(judged.systems[TREES], judged.systems[ENCODER], judged.part.truth, threshold=judged.threshold)
    note = (
        f"The boosted trees judge every payment, and those of a logit of {judged.threshold:.3f} or more go on to the encoder: "
        f"{told['passed']:.2%} of the payments. Of the frauds that the encoder alone ranks above all but a thousandth of the genuine "
        f"payments, {told['detections_lost']:.2%} do not go on."
    )
    lost = found[SERVED].minus(found[ENCODER])
    rows = tuple((name, lost[at].signed) for at, name in enumerate(MEASURES))
    table = Table("The cascade minus the encoder on every payment", ("Measure", "Difference"), rows)
    return [Section("Cost of the cascade", (note,), (table,))]
