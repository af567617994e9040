"""Judged rows → figures: by language and set, by label, by length of text, and the worst errors."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.training.report.calibration import Bin, expected_gap, reliability
from models.training.report.confusion import Confusion
from models.training.text.evaluate import Judged, Labels, Task
from models.training.text.measure import Compared, Flags, compare, exact_accuracy, flag_macro_f1, flag_micro_f1

_QUARTILES = (0.25, 0.5, 0.75)
_WORST = 15


@dataclass(frozen=True, slots=True)
class Figures:
    """What is measured of some rows of one task. `f1` is macro-F1 or, of several labels a text (`several`), micro-F1.

    `gap` is the expected calibration error of the model; None where it gave no confidence.
    """

    name: str
    task: Task
    texts: int
    several: bool
    accuracy: Compared
    f1: Compared
    gap: float | None

    @property
    def f1_name(self) -> str:
        return "micro-F1" if self.several else "macro-F1"


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """One label: how many texts have it and are given it, and how well the two agree (0 where nothing was given or there)."""

    label: str
    support: int
    given: int
    precision: float
    recall: float
    f1: float


def has_several(rows: Iterable[Judged]) -> bool:
    """Whether any text has several labels."""
    return any(len(row.truth) > 1 for row in rows)


def names(rows: Iterable[Judged]) -> Labels:
    """The labels of the truth and of the model's answers, the commonest of the truth first."""
    counts: dict[str, int] = {}
    for row in rows:
        for label in row.truth:
            counts[label] = counts.get(label, 0) + 1
        for label in row.predicted:
            counts.setdefault(label, 0)
    return tuple(sorted(counts, key=lambda label: (-counts[label], label)))


def flags(labels: Sequence[Labels], known: Labels) -> Flags:
    """Labels as flags: (texts, known); what is not among the known is no flag.

    >>> flags([("a",), ("b", "z")], ("a", "b")).tolist()
    [[True, False], [False, True]]
    """
    return np.array([[label in each for label in known] for each in labels], dtype=np.bool_)


def figures(name: str, rows: Sequence[Judged], *, several: bool) -> Figures:
    """The figures of rows of one task; a label counts under its name, whichever set it is of."""
    known = tuple(dict.fromkeys((*names(rows), *(label for row in rows for label in row.baseline))))
    truth, model, baseline = (
        flags(labels, known)
        for labels in ([row.truth for row in rows], [row.predicted for row in rows], [row.baseline for row in rows])
    )
    bins = calibration(rows)
    return Figures(
        name=name,
        task=rows[0].task,
        texts=len(rows),
        several=several,
        accuracy=compare(exact_accuracy, truth, model, baseline),
        f1=compare(flag_micro_f1 if several else flag_macro_f1, truth, model, baseline),
        gap=expected_gap(bins) if bins else None,
    )


def calibration(rows: Sequence[Judged]) -> list[Bin]:
    """How often the first label is right, by its confidence, over the rows that have one."""
    sure = [row for row in rows if row.confidence > 0]
    return reliability(np.array([row.confidence for row in sure]), np.array([float(row.right) for row in sure])) if sure else []


def by_label(rows: Sequence[Judged]) -> list[LabelFigures]:
    """The figures of each label, the commonest first."""
    known = names(rows)
    truth, predicted = flags([row.truth for row in rows], known), flags([row.predicted for row in rows], known)
    hits, support, given = ((each.sum(axis=0)).tolist() for each in (truth & predicted, truth, predicted))
    return [
        LabelFigures(
            label=label,
            support=there,
            given=said,
            precision=hit / said if said else 0.0,
            recall=hit / there if there else 0.0,
            f1=2 * hit / (said + there),
        )
        for label, hit, there, said in zip(known, hits, support, given, strict=True)
    ]


def confusion(rows: Sequence[Judged]) -> Confusion:
    """The confusion of rows with one label each; texts that the model did not score are left out."""
    known = names(rows)
    counts = np.zeros((len(known), len(known)), dtype=np.int64)
    for row in rows:
        if row.predicted:
            counts[known.index(row.truth[0]), known.index(row.predicted[0])] += 1
    return Confusion(known, counts)


def by_length(rows: Sequence[Judged]) -> list[tuple[str, list[Judged]]]:
    """The rows in four parts by the length of their texts, each with its range in characters; equal lengths stay together."""
    lengths = np.array([len(row.text) for row in rows])
    part = np.searchsorted(np.quantile(lengths, _QUARTILES), lengths)
    return [
        (
            f"{lengths[part == each].min()} to {lengths[part == each].max()}",
            [rows[at] for at in np.flatnonzero(part == each).tolist()],
        )
        for each in np.unique(part)
    ]


def worst(rows: Sequence[Judged]) -> list[Judged]:
    """The 15 rows whose first label is wrong with the highest confidence, the worst first."""
    wrong = [row for row in rows if row.confidence > 0 and not row.right]
    return sorted(wrong, key=lambda row: (-row.confidence, row.text))[:_WORST]


def grouped(rows: Iterable[Judged], key: Callable[[Judged], Any]) -> dict[Any, list[Judged]]:
    """The rows by a key, in the order in which the keys come."""
    found: dict[Any, list[Judged]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def overview(rows: Sequence[Judged]) -> list[Figures]:
    """The figures of each language and task, each followed by those of its sets."""
    found = []
    for (lang, task), of_lang in grouped(rows, lambda row: (row.lang, row.task)).items():
        sets = grouped(of_lang, lambda row: row.source)
        found.append(figures(f"{lang} {task}", of_lang, several=has_several(of_lang)))
        found.extend(figures(source, of_set, several=has_several(of_set)) for source, of_set in sets.items())
    return found
