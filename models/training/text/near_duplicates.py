"""Texts that are nearly the same, so that none of a group lands on both sides of a split.

MinHash with locality-sensitive hashing finds the candidates (Broder 1997; datasketch), the exact Jaccard similarity of the texts'
character shingles decides.
"""

from collections.abc import Sequence

import numpy as np
from datasketch import MinHash, MinHashLSH

from models.text.normalize import duplicate_key

SIMILARITY = 0.8  # of shingles; a headline with one of ten words changed is at about .8
_SHINGLE = 4  # characters; three words of English, or two of Chinese, share a few
_PERMUTATIONS = 64
_SEED = 1


def shingles(text: str) -> frozenset[bytes]:
    """The runs of four characters of a text without URLs, case, punctuation.

    >>> sorted(shingles("Oil up!"))
    [b'il u', b'l up', b'oil ']
    """
    key = duplicate_key(text)
    return frozenset(key[at : at + _SHINGLE].encode() for at in range(max(1, len(key) - _SHINGLE + 1)))


def jaccard(one: frozenset[bytes], other: frozenset[bytes]) -> float:
    """The share of shingles that two texts have in common, 0..1."""
    return len(one & other) / len(one | other)


def groups(texts: Sequence[str]) -> list[int]:
    """For each text the index of the first text of its group; groups are chains of texts that are nearly the same.

    >>> groups(["Shares of Acme fall 3%", "Oil is up", "Shares of Acme fall 4% https://t.co/x", "Oil is up!"])
    [0, 1, 0, 1]
    """
    sets = [shingles(text) for text in texts]
    index = MinHashLSH(threshold=SIMILARITY - 0.1, num_perm=_PERMUTATIONS)  # below the limit, so that few pairs are missed
    first = list(range(len(texts)))
    for at, sketch in enumerate(_sketches(sets)):
        for found in index.query(sketch):
            if jaccard(sets[at], sets[found]) >= SIMILARITY:
                _join(first, at, found)
        index.insert(at, sketch)
    return [_root(first, at) for at in range(len(texts))]


def _sketches(sets: Sequence[frozenset[bytes]]) -> list[MinHash]:
    return list(MinHash.generator(sets, num_perm=_PERMUTATIONS, seed=_SEED))


def _root(first: list[int], at: int) -> int:
    while first[at] != at:
        first[at] = first[first[at]]
        at = first[at]
    return at


def _join(first: list[int], one: int, other: int) -> None:
    low, high = sorted((_root(first, one), _root(first, other)))
    first[high] = low


def shared(texts: Sequence[str], others: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs (index in `texts`, index in `others`) of a text that is nearly one of the others."""
    found = np.array(groups([*texts, *others]))
    members: dict[int, int] = {}
    for at, root in enumerate(found[: len(texts)].tolist()):
        members.setdefault(root, at)
    return [(members[root], at) for at, root in enumerate(found[len(texts) :].tolist()) if root in members]
