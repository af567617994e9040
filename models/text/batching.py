"""Chunks of like length in small padded batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# On a CPU batches of 4 to 8 are the fastest (64 lost 30 %); padded tokens bound a batch's memory and a thread's turn.
_CPU_ROWS, _CPU_TOKENS = 8, 512
_CUDA_ROWS, _CUDA_TOKENS = 256, 16_384


@dataclass(frozen=True, slots=True)
class Batch:
    """`rows` says which chunks these are; `input_ids` and `attention_mask`: (batch, length) int64."""

    rows: list[int]
    input_ids: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    attention_mask: np.ndarray[tuple[int, int], np.dtype[np.int64]]


def plan(chunks: Sequence[Sequence[int]], *, device: str) -> list[Batch]:
    """Every chunk in one batch, the longest first, so that threads end at about the same time.

    >>> [batch.rows for batch in plan([[1], [1, 2, 3], [1, 2]], device="cpu")]
    [[1, 2, 0]]
    """
    max_rows, max_tokens = (_CUDA_ROWS, _CUDA_TOKENS) if device == "cuda" else (_CPU_ROWS, _CPU_TOKENS)
    order = sorted(range(len(chunks)), key=lambda row: -len(chunks[row]))
    batches: list[list[int]] = []
    for row in order:
        current = batches[-1] if batches else None
        if current is None or len(current) == max_rows or (len(current) + 1) * len(chunks[current[0]]) > max_tokens:
            batches.append([row])
        else:
            current.append(row)
    return [_padded(chunks, rows) for rows in batches]


def _padded(chunks: Sequence[Sequence[int]], rows: list[int]) -> Batch:
    """A batch padded with token 0 to its longest chunk; the mask hides the padding."""
    shape = (len(rows), len(chunks[rows[0]]))
    input_ids = np.zeros(shape, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    for at, row in enumerate(rows):
        input_ids[at, : len(chunks[row])] = chunks[row]
        attention_mask[at, : len(chunks[row])] = 1
    return Batch(rows=rows, input_ids=input_ids, attention_mask=attention_mask)
