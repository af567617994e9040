"""A split without leaks: no text of one side is on the other, nor nearly, in whatever set."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from models.text.normalize import duplicate_key
from models.training.text.near_duplicates import groups
from models.training.text.sets import SETS, Example

DEV_PERCENT = 10


@dataclass(frozen=True, slots=True)
class Inventory:
    """What became of a set's rows: `copies` repeat another row of the set but for URLs, case and punctuation, or contradict one;
    `near_copies` are nearly a text that is kept, of whatever set."""

    name: str
    licence: str
    rows: int
    copies: int
    near_copies: int
    train: int
    dev: int


@dataclass(frozen=True, slots=True)
class Split:
    """Training and development examples."""

    train: tuple[Example, ...]
    dev: tuple[Example, ...]

    def of(self, sets: Container[str]) -> "Split":
        """The part of it that is of these sets."""
        train, dev = (tuple(each for each in side if each.source in sets) for side in (self.train, self.dev))
        return Split(train, dev)


def deduplicate(examples: Iterable[Example]) -> list[Example]:
    """One example for each set and text; where a set contradicts itself the majority's, or none if there is no majority."""
    copies: dict[tuple[str, str], list[Example]] = defaultdict(list)
    for example in examples:
        copies[example.source, duplicate_key(example.text)].append(example)
    kept = []
    for same in copies.values():
        (targets, count), *rest = Counter(example.targets for example in same).most_common(2)
        if not rest or count > rest[0][1]:
            kept.append(next(example for example in same if example.targets == targets))
    return kept


def in_dev(text: str, *, seed: int) -> bool:
    """Whether a text belongs to the development part: a hash of its words decides, so that its copies follow it."""
    digest = hashlib.blake2b(f"{seed}:{duplicate_key(text)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % 100 < DEV_PERCENT


def split(examples: Sequence[Example], *, seed: int = 0) -> Split:
    """The examples without duplicates, cut into 90 % for training and 10 % for development.

    Texts that are nearly the same go together, where the first of them goes; of such a group the development part keeps one for
    each set. Give all sets at once: a group may span several.
    """
    return _divided(*_grouped(examples), seed=seed)


def _grouped(examples: Sequence[Example]) -> tuple[list[Example], list[int]]:
    """The examples without duplicates, and for each the index of the first of its group."""
    kept = deduplicate(examples)
    return kept, groups([example.text for example in kept])


def _divided(kept: Sequence[Example], first: Sequence[int], *, seed: int) -> Split:
    train: list[Example] = []
    dev: dict[tuple[int, str], Example] = {}
    for example, root in zip(kept, first, strict=True):
        if in_dev(kept[root].text, seed=seed):
            dev.setdefault((root, example.source), example)
        else:
            train.append(example)
    return Split(tuple(train), tuple(dev.values()))


def inventory(examples: Sequence[Example], *, seed: int = 0) -> list[Inventory]:
    """For each set what the split makes of it."""
    kept, first = _grouped(examples)
    parts = _divided(kept, first, seed=seed)
    rows, unique, train, dev = (Counter(each.source for each in side) for side in (examples, kept, parts.train, parts.dev))
    near = Counter(example.source for at, example in enumerate(kept) if first[at] != at)
    return [
        Inventory(name, SETS[name].licence, rows[name], rows[name] - unique[name], near[name], train[name], dev[name])
        for name in rows
    ]
