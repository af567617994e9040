"""What is taken for what."""

from dataclasses import dataclass

import numpy as np

from models.training.report.document import Table


@dataclass(frozen=True, slots=True)
class Confusion:
    """`counts`: (labels, labels): row the truth, column the predicted label."""

    labels: tuple[str, ...]
    counts: np.ndarray[tuple[int, int], np.dtype[np.int64]]


def confusion_table(confusion: Confusion) -> Table:
    """The matrix, its columns numbered as its rows are."""
    rows = [
        (f"{at}. {label}", *(str(count) if count else "" for count in counts))
        for at, (label, counts) in enumerate(zip(confusion.labels, confusion.counts.tolist(), strict=True), start=1)
    ]
    header = ("Truth, by predicted label", *(str(at + 1) for at in range(len(rows))))
    return Table("Confusion matrix", header, tuple(rows))
