"""The cross-check on S-FFSD: rows in order, labels that come late or never, names as plain columns."""

import gzip
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the `train` extra is not installed")
pytest.importorskip("pyarrow", reason="the `train` extra is not installed")

from core.errors import ConfigError
from models.fraud.aggregates import NAMES
from models.fraud.arrays import Floats
from models.training.fraud.sffsd import (
    DELAY_ROWS,
    FILE,
    PLAIN,
    SUMS,
    Rows,
    cross_check,
    divided,
    plain,
    read,
    sums,
)

COUNT = 8000


def written(folder: Path) -> Path:
    """Rows of which a third is labelled; one target in ten is fraudulent, and every sixth row there is not."""
    rng = np.random.default_rng(3)
    targets, labelled = rng.integers(0, 80, COUNT), rng.random(COUNT) < 1 / 3
    fraud = (targets < 8) & (rng.random(COUNT) < 5 / 6)
    labels = np.where(labelled, fraud, 2)
    lines = ["Time,Source,Target,Amount,Location,Type,Labels"]
    lines += [
        f"{row},S{row % 500},T{targets[row]},{10 + row % 90}.5,L{row % 7},TP{0 if row < 7000 else 1},{labels[row]}"
        for row in range(COUNT)
    ]
    shuffled = [lines[0], *(lines[1 + int(place)] for place in rng.permutation(COUNT))]
    (folder / FILE).write_bytes(gzip.compress("\n".join(shuffled).encode()))
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    return read(written(tmp_path_factory.mktemp("s-ffsd")))


def column(table: np.ndarray[tuple[int, int], np.dtype[np.float32]], name: str) -> Floats:
    return table[:, NAMES.index(name)].astype(np.float64)


def test_rows_are_read_in_their_order_at_an_even_pace(rows: Rows) -> None:
    assert rows.book.amount[:3].tolist() == [10.5, 11.5, 12.5]
    np.testing.assert_allclose(np.diff(rows.book.time_s), 86.4)
    assert rows.codes["Source"][:502].tolist() == [*range(500), 0, 1]
    assert not rows.book.fraud[~rows.labelled].any()


def test_what_is_learned_from_had_its_label_when_the_test_begins(rows: Rows) -> None:
    known, tested = divided(rows)
    assert known.max() <= 5600 - DELAY_ROWS
    assert tested.min() >= 5600
    assert rows.labelled[known].all()
    assert rows.labelled[tested].all()
    assert len(tested) == rows.labelled[5600:].sum()


def test_a_label_comes_a_thousand_rows_later_or_never(rows: Rows) -> None:
    target, chosen = rows.codes["Target"], np.arange(4000, 4200)
    found = sums(rows, chosen)
    seen = sum(column(found, f"terminal_{name}") for name in ("genuine", "fraud_ordinary", "fraud_unusual"))
    for row, count in zip(chosen.tolist(), np.asarray(seen).tolist(), strict=True):
        past = np.flatnonzero(target[:row] == target[row])[-48:]
        assert count == (rows.labelled[past] & (past <= row - DELAY_ROWS)).sum()


def test_the_plain_columns_know_names_of_the_first_part_only(rows: Rows) -> None:
    amount, source, often, *others = plain(rows, np.array([10, 7500])).T
    assert amount.tolist() == rows.book.amount[[10, 7500]].tolist()
    assert source.tolist() == [10.0, 0.0]
    assert often.tolist() == [12.0, 12.0]  # 5,600 rows hold each of the first 100 of 500 sources twelve times
    kind, kinds = others[-2:]
    assert kind[0] == 0.0
    assert np.isnan(kind[1])
    assert kinds.tolist() == [5600.0, 0.0]


def test_both_are_measured_with_their_difference(rows: Rows) -> None:
    told = cross_check(rows, samples=20)
    lines = {line.split(" | ")[0].lstrip("| "): line for line in told.splitlines()}
    assert "even pace of 1,000 a day" in told
    assert float(lines[SUMS].split(" | ")[2].split(" ")[0]) > 0.7
    assert lines[PLAIN].endswith(" |  |  |")
    assert lines[SUMS].split(" | ")[3][0] in "+-"


def test_another_folder_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"first60\.csv\.gz"):
        read(tmp_path)
    (tmp_path / FILE).write_bytes(gzip.compress(b"Time,Amount\n1,2\n"))
    with pytest.raises(ConfigError, match="Labels"):
        read(tmp_path)
