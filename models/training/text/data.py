"""Four openly licensed sets of financial texts, read as examples of two tasks and split without leaks."""

import csv
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import ConfigError
from models.registry import DataSource, sha256_of
from models.text.normalize import duplicate_key, normalize

Task = Literal["sentiment", "topic"]
TASKS: tuple[Task, ...] = ("sentiment", "topic")
SENTIMENTS = ("negative", "neutral", "positive")
TOPICS = (
    "Analyst Update",
    "Fed | Central Banks",
    "Company | Product News",
    "Treasuries | Corporate Debt",
    "Dividend",
    "Earnings",
    "Energy | Oil",
    "Financials",
    "Currencies",
    "General News | Opinion",
    "Gold | Metals | Materials",
    "IPO",
    "Legal | Regulation",
    "M&A | Investments",
    "Macro",
    "Markets",
    "Politics",
    "Personnel Change",
    "Stock Commentary",
    "Stock Movement",
)  # in the order of the topic set's label numbers
LABELS: dict[Task, tuple[str, ...]] = {"sentiment": SENTIMENTS, "topic": TOPICS}

DEV_PERCENT = 10
_TWITTER_SENTIMENT = {"0": "negative", "1": "positive", "2": "neutral"}
_DECISION = re.compile(r""":\s*['"](positive|neutral|negative)['"]""")  # entity names hold unescaped apostrophes


@dataclass(frozen=True, slots=True)
class Example:
    """A normalised text with its label's index in `LABELS[task]`; `source` is the data set's name."""

    text: str
    task: Task
    label: int
    source: str


@dataclass(frozen=True, slots=True)
class Split:
    """Training and development examples; no text of one is in the other, in whatever set or task."""

    train: tuple[Example, ...]
    dev: tuple[Example, ...]


def _twitter_sentiment(row: dict[str, str]) -> tuple[str, int]:
    return row["text"], SENTIMENTS.index(_TWITTER_SENTIMENT[row["label"]])


def _twitter_topic(row: dict[str, str]) -> tuple[str, int]:
    return row["text"], range(len(TOPICS)).index(int(row["label"]))


def _sentfin(row: dict[str, str]) -> tuple[str, int] | None:
    decision = agreed_decision(row["Decisions"])
    return None if decision is None else (row["Title"], SENTIMENTS.index(decision))


def _surge(row: dict[str, str]) -> tuple[str, int]:
    return row["Tweet Text"], SENTIMENTS.index(row["Sentiment"].lower())


@dataclass(frozen=True, slots=True)
class _Set:
    name: str
    task: Task
    file: str
    read: Callable[[dict[str, str]], tuple[str, int] | None]


SETS = (
    _Set("twitter_financial_sentiment", "sentiment", "twitter_financial_sentiment/train.csv", _twitter_sentiment),
    _Set("sentfin", "sentiment", "sentfin/SEntFiN.csv", _sentfin),
    _Set("surge_stock_sentiment", "sentiment", "surge_stock_sentiment/sentiment.csv", _surge),
    _Set("twitter_financial_topic", "topic", "twitter_financial_topic/train.csv", _twitter_topic),
)


def agreed_decision(decisions: str) -> str | None:
    """The sentiment that all entities of a SEntFiN row share, else None.

    >>> agreed_decision("{'Infosys': 'positive', \\"Dr. Reddy's\\": 'positive'}")
    'positive'
    >>> agreed_decision("{'Gold': 'negative', 'Silver': 'neutral'}")
    """
    found = set(_DECISION.findall(decisions))
    return found.pop() if len(found) == 1 else None


def read_sets(folder: Path) -> list[Example]:
    """All labelled examples of the sets in `folder`, normalised; texts without a letter are left out."""
    return [example for data_set in SETS for example in _read(folder, data_set)]


def _read(folder: Path, data_set: _Set) -> Iterator[Example]:
    path = folder / data_set.file
    if not path.is_file():
        raise ConfigError("no such data file; --data names the folder that holds the sets", file=str(path))
    with path.open(encoding="utf-8-sig", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream), start=2):
            try:
                labelled = data_set.read(row)
            except (KeyError, ValueError) as error:
                raise ConfigError(f"unknown column or label: {error}", file=str(path), line=number) from error
            if labelled is not None and duplicate_key(labelled[0]):
                yield Example(text=normalize(labelled[0]), task=data_set.task, label=labelled[1], source=data_set.name)


def deduplicate(examples: Iterable[Example]) -> list[Example]:
    """One example for each task and text; texts of one task with contradicting labels keep the majority's, or go if there is none."""
    groups: dict[tuple[Task, str], list[Example]] = defaultdict(list)
    for example in examples:
        groups[example.task, duplicate_key(example.text)].append(example)
    kept = []
    for group in groups.values():
        (label, count), *rest = Counter(example.label for example in group).most_common(2)
        if not rest or count > rest[0][1]:
            kept.append(next(example for example in group if example.label == label))
    return kept


def in_dev(text: str, *, seed: int) -> bool:
    """Whether a text belongs to the development part: decided by its duplicate key alone, so that its copies follow it."""
    digest = hashlib.blake2b(f"{seed}:{duplicate_key(text)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % 100 < DEV_PERCENT


def split(examples: Iterable[Example], *, seed: int) -> Split:
    """The examples without duplicates, cut into 90 % for training and 10 % for development."""
    train: list[Example] = []
    dev: list[Example] = []
    for example in deduplicate(examples):
        (dev if in_dev(example.text, seed=seed) else train).append(example)
    return Split(train=tuple(train), dev=tuple(dev))


def data_sources(folder: Path, examples: Iterable[Example]) -> tuple[DataSource, ...]:
    """What the model's manifest says of its data; `rows` counts the examples used."""
    rows = Counter(example.source for example in examples)
    return tuple(
        DataSource(name=each.name, licence="MIT", rows=rows[each.name], sha256=sha256_of(folder / each.file)) for each in SETS
    )
