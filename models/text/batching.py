"""Chunks of like length in small padded batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.runtime import Mode


@dataclass(frozen=True, slots=True)
class _Limits:
    rows: int
    tokens: int


# Of 1 to 32 rows and 128 to 1,024 tokens these were the fastest on a CPU, over headlines, posts, and a student; 8 rows of 512 tokens
# took 1 to 5 % longer, one text at a time 2 to 15 %. Padded tokens also bound a batch's memory and a thread's turn.
_LIMITS: dict[Mode, _Limits] = {"exact": _Limits(4, 256), "fast": _Limits(4, 256), "half": _Limits(256, 16_384)}


@dataclass(frozen=True, slots=True)
class Batch:
    """`rows` says which chunks these are; `input_ids` and `attention_mask`: (batch, length) int64."""

    rows: list[int]
    input_ids: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    attention_mask: np.ndarray[tuple[int, int], np.dtype[np.int64]]


def plan(chunks: Sequence[Sequence[int]], *, mode: Mode = "exact", pad: int = 0) -> list[Batch]:
    """Every chunk in one batch, the longest first, so that threads end at about the same time; `pad` fills the shorter ones up.

    >>> [batch.rows for batch in plan([[1], [1, 2, 3], [1, 2]])]
    [[1, 2, 0]]
    """
    limits = _LIMITS[mode]
    order = sorted(range(len(chunks)), key=lambda row: -len(chunks[row]))
    batches: list[list[int]] = []
    for row in order:
        current = batches[-1] if batches else None
        if current is None or len(current) == limits.rows or (len(current) + 1) * len(chunks[current[0]]) > limits.tokens:
            batches.append([row])
        else:
            current.append(row)
    return [_padded(chunks, rows, pad) for rows in batches]


def _padded(chunks: Sequence[Sequence[int]], rows: list[int], pad: int) -> Batch:
    """A batch as long as its longest chunk; the mask hides the padding."""
    shape = (len(rows), len(chunks[rows[0]]))
    input_ids = np.full(shape, pad, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    for at, row in enumerate(rows):
        input_ids[at, : len(chunks[row])] = chunks[row]
        attention_mask[at, : len(chunks[row])] = 1
    return Batch(rows=rows, input_ids=input_ids, attention_mask=attention_mask)
