"""Batches of one task and of similar lengths, in an order that the seed and the epoch alone decide."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from models.training.text.data import TASKS, Example, Task

_POOL = 50  # batches sorted by length together: little padding, and still random company


@dataclass(frozen=True, slots=True)
class Encoded:
    """A tokenised example."""

    ids: tuple[int, ...]
    task: Task
    label: int


@dataclass(frozen=True, slots=True)
class Batch:
    """`input_ids` and `attention_mask`: (batch, length) int64; `labels`: (batch,) int64."""

    task: Task
    input_ids: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    attention_mask: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    labels: np.ndarray[tuple[int], np.dtype[np.int64]]


def encode(tokenizer: Tokenizer, examples: Sequence[Example]) -> list[Encoded]:
    """The examples' token ids, cut at the tokenizer's length."""
    encodings = tokenizer.encode_batch([example.text for example in examples])
    return [
        Encoded(ids=tuple(encoding.ids), task=example.task, label=example.label)
        for encoding, example in zip(encodings, examples, strict=True)
    ]


def collate(encoded: Sequence[Encoded], *, pad_id: int) -> Batch:
    """One batch, padded to its longest member.

    >>> batch = collate([Encoded((1, 2), "topic", 7), Encoded((3,), "topic", 0)], pad_id=0)
    >>> batch.input_ids.tolist(), batch.attention_mask.tolist()
    ([[1, 2], [3, 0]], [[1, 1], [1, 0]])
    """
    length = max(len(each.ids) for each in encoded)
    input_ids = np.full((len(encoded), length), pad_id, dtype=np.int64)
    attention_mask = np.zeros((len(encoded), length), dtype=np.int64)
    for row, each in enumerate(encoded):
        input_ids[row, : len(each.ids)] = each.ids
        attention_mask[row, : len(each.ids)] = 1
    labels = np.array([each.label for each in encoded], dtype=np.int64)
    return Batch(task=encoded[0].task, input_ids=input_ids, attention_mask=attention_mask, labels=labels)


def plan(encoded: Sequence[Encoded], *, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Indices of each batch of an epoch: every example once, one task to a batch, the tasks interleaved at random."""
    rng = np.random.default_rng((seed, epoch))
    batches: list[list[int]] = []
    for task in TASKS:
        indices = rng.permutation([index for index, each in enumerate(encoded) if each.task == task]).tolist()
        pool_size = batch_size * _POOL
        for start in range(0, len(indices), pool_size):
            pool = sorted(indices[start : start + pool_size], key=lambda index: len(encoded[index].ids))
            batches.extend(pool[at : at + batch_size] for at in range(0, len(pool), batch_size))
    return [batches[at] for at in rng.permutation(len(batches))]
