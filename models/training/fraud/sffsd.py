"""A cross-check on payments that are not of our simulator's kind: S-FFSD, boosted trees on our sums against its plain columns.

Its rows have a counter in place of a clock: they are stamped at an even pace of a thousand a day. Most rows have no label and never
get one. Rows are taken in their order: what lies in the first 70 % and had its label when the rest begins is learned from, the
labelled rows of the rest are measured on. A label comes a thousand rows after its own. Nothing is chosen by the result.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.errors import ConfigError
from models.fraud.arrays import Flags, Floats, Ints, Singles
from models.fraud.history import DAY_S
from models.training.fraud import trees
from models.training.fraud.ledger import Ledger, exact, ledger
from models.training.fraud.ranking import MEASURES, Resampled, resample
from models.training.report.document import Table
from models.training.report.markdown import table_markdown

FILE = "first60.csv.gz"
ROWS_A_DAY = 1000  # so that the rows span 47 days, and the windows of 28 and 42 days both hold and drop rows
DELAY_ROWS = 1000
TRAIN_SHARE = 0.7
SUMS, PLAIN, BOTH = "trees on our sums", "trees on the plain columns", "trees on both"
_NAMES = ("Source", "Target", "Location", "Type")
_UNLABELLED = 2


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows as payments, and their names as numbers in order of first appearance: (N,) by column."""

    book: Ledger
    labelled: Flags
    codes: Mapping[str, Ints]


def read(folder: Path) -> Rows:
    """The rows of `FILE` in `folder`, in the order of their counter."""
    from pyarrow import csv

    path = folder / FILE
    try:
        table = csv.read_csv(path)
        column = {name: table[name].to_numpy() for name in ("Time", "Amount", "Labels", *_NAMES)}
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"cannot read S-FFSD: {error}; name the folder of {FILE} with --data", file=str(path)) from error
    order = np.argsort(column["Time"], kind="stable")
    label = column["Labels"][order]
    codes = {name: _codes(column[name][order]) for name in _NAMES}
    time_s: Floats = np.arange(len(order), dtype=np.float64) * (DAY_S / ROWS_A_DAY)
    book = ledger(
        time_s,
        column["Amount"][order].astype(np.float64),
        label == 1,
        customer=codes["Source"],
        terminal=codes["Target"],
    )
    labelled = label != _UNLABELLED
    return Rows(replace(book, labelled=labelled), labelled, codes)


def _codes(names: Ints) -> Ints:
    """Numbers from 0 on, in order of first appearance.

    >>> _codes(np.array(["b", "a", "b"])).tolist()
    [0, 1, 0]
    """
    _, first, place = np.unique(names.astype(str), return_index=True, return_inverse=True)
    found: Ints = np.argsort(np.argsort(first))[place]
    return found


def divided(rows: Rows) -> tuple[Ints, Ints]:
    """(to learn from, to measure on): labelled rows."""
    count = len(rows.book)
    end = int(TRAIN_SHARE * count)
    number = np.arange(count)
    return number[rows.labelled & (number <= end - DELAY_ROWS)], number[rows.labelled & (number >= end)]


def sums(rows: Rows, chosen: Ints) -> Singles:
    """(N, sums) of our features, with every label a thousand rows late."""
    delay = (DELAY_ROWS - 0.5) / ROWS_A_DAY  # half a row less, so that rounding decides nothing
    return trees.sums_of(rows.book, chosen, exact(len(chosen), delay_days=delay))


def plain(rows: Rows, chosen: Ints) -> Singles:
    """(N, 9): the amount, and of each name its number and how often it occurs in the first 70 %, whichever label the rows have.

    A name that does not occur there has no number.
    """
    end = int(TRAIN_SHARE * len(rows.book))
    columns = [rows.book.amount[chosen]]
    for codes in rows.codes.values():
        often = np.bincount(codes[:end], minlength=int(codes.max()) + 1)[codes[chosen]].astype(np.float64)
        columns += [np.where(often > 0, codes[chosen], np.nan), often]
    return np.stack(columns, axis=1).astype(np.float32)


def cross_check(rows: Rows, *, samples: int = 200) -> str:
    """What boosted trees make of both, as Markdown."""
    known, tested = divided(rows)
    learned = {SUMS: sums(rows, known), PLAIN: plain(rows, known)}
    judged = {SUMS: sums(rows, tested), PLAIN: plain(rows, tested)}
    learned[BOTH], judged[BOTH] = (np.hstack([each[SUMS], each[PLAIN]]) for each in (learned, judged))
    scores = {name: _scores(rows.book, known, learned[name], judged[name]) for name in learned}
    book = rows.book
    found = resample(scores, book.fraud[tested], book.customer.key[tested], samples=samples)
    return "\n\n".join([_told(book, known, tested, samples), table_markdown(_table(found))])


def _scores(book: Ledger, known: Ints, learned: Singles, judged: Singles) -> Floats:
    return trees.fit(book, known, learned, np.ones(len(known))).logits(judged)


def _told(book: Ledger, known: Ints, tested: Ints, samples: int) -> str:
    return (
        f"S-FFSD: {len(book):,} rows in order, stamped at an even pace of {ROWS_A_DAY:,} a day, for it has a counter in place of a "
        f"clock. Learned from the {len(known):,} labelled rows of the first {TRAIN_SHARE:.0%} whose labels had come when the rest "
        f"begins ({book.fraud[known].mean():.1%} frauds), measured on the {len(tested):,} labelled rows of the rest "
        f"({book.fraud[tested].mean():.1%} frauds). A label is known {DELAY_ROWS:,} rows after its own. In brackets, 95 % intervals "
        f"over {samples} bootstrap samples of whole sources; differences are on the same samples."
    )


def _table(found: Mapping[str, Resampled]) -> Table:
    """ROC AUC and AP of each, and what they gain over the plain columns."""
    places = [MEASURES.index(name) for name in ("ROC AUC", "AP")]
    rows = []
    for name, of in found.items():
        values, gains = of.measured(), of.minus(found[PLAIN])
        rows.append((name, *(str(values[at]) for at in places), *("" if name == PLAIN else gains[at].signed for at in places)))
    header = ("Model", "ROC AUC", "AP", "ROC AUC, difference", "AP, difference")
    return Table(f"S-FFSD; differences to {PLAIN}", header, tuple(rows))
