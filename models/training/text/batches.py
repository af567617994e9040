"""Batches of texts of similar lengths, in an order that the seed and the epoch alone decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from models.training.text.heads import HEADS
from models.training.text.sets import Example, Target

_POOL = 50  # batches sorted by length together: little padding, and still random company

Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Answers:
    """What a batch knows for one head. `rows`: (known,) of the batch; `weights`: (known, labels): a distribution over the labels
    or, where `one_of`: (known,) holds, ones at the labels that may be true."""

    rows: Ints
    weights: Floats
    one_of: np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Batch:
    """`input_ids` and `attention_mask`: (batch, length) int64; `answers` by head."""

    input_ids: Ints
    attention_mask: Ints
    answers: Mapping[str, Answers]


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[tuple[int, ...]]:
    """The texts' token ids, cut at the tokenizer's length."""
    return [tuple(encoding.ids) for encoding in tokenizer.encode_batch(list(texts))]


def padded(chunks: Sequence[Sequence[int]], *, pad_id: int) -> tuple[Ints, Ints]:
    """Ids and mask, padded to the longest.

    >>> ids, mask = padded([(5, 6), (7,)], pad_id=1)
    >>> ids.tolist(), mask.tolist()
    ([[5, 6], [7, 1]], [[1, 1], [1, 0]])
    """
    shape = (len(chunks), max(map(len, chunks)))
    ids, mask = np.full(shape, pad_id, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for row, chunk in enumerate(chunks):
        ids[row, : len(chunk)] = chunk
        mask[row, : len(chunk)] = 1
    return ids, mask


def collate(chunks: Sequence[Sequence[int]], targets: Sequence[Sequence[Target]], *, pad_id: int) -> Batch:
    """One batch of texts with their targets."""
    found: dict[str, list[tuple[int, Target]]] = {}
    for row, known in enumerate(targets):
        for target in known:
            found.setdefault(target.head, []).append((row, target))
    ids, mask = padded(chunks, pad_id=pad_id)
    return Batch(ids, mask, {head: _answers(head, known) for head, known in found.items()})


def _answers(head: str, known: Sequence[tuple[int, Target]]) -> Answers:
    weights = np.zeros((len(known), len(HEADS[head].labels)), dtype=np.float32)
    for at, (_, target) in enumerate(known):
        weights[at, list(target.labels)] = 1.0 if target.one_of else 1.0 / len(target.labels)
    rows = np.array([row for row, _ in known], dtype=np.int64)
    return Answers(rows, weights, np.array([target.one_of for _, target in known]))


def plan(lengths: Sequence[int], chosen: Sequence[int], *, batch_size: int, seed: tuple[int, int]) -> list[list[int]]:
    """The chosen indices in batches of like length, each once; `seed` and nothing else decides the order.

    >>> plan([1, 9, 2, 8], [0, 1, 2, 3], batch_size=2, seed=(0, 0))
    [[3, 1], [0, 2]]
    """
    rng = np.random.default_rng(seed)
    indices = rng.permutation(np.asarray(chosen, dtype=np.int64)).tolist()
    pool_size = batch_size * _POOL
    batches: list[list[int]] = []
    for start in range(0, len(indices), pool_size):
        pool = sorted(indices[start : start + pool_size], key=lambda index: lengths[index])
        batches.extend(pool[at : at + batch_size] for at in range(0, len(pool), batch_size))
    return [batches[at] for at in rng.permutation(len(batches))]


def share(examples: Sequence[Example], shares: Mapping[str, float], *, seed: int, epoch: int) -> list[int]:
    """The indices that an epoch sees: of each set its share, going round so that epochs see every row as often."""
    by_set: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        by_set.setdefault(example.source, []).append(index)
    chosen = []
    for name, indices in by_set.items():
        order = np.random.default_rng((seed, len(indices))).permutation(indices)
        count = round(len(indices) * shares[name])
        chosen.extend(order[np.arange(epoch * count, (epoch + 1) * count) % len(order)].tolist())
    return chosen
