"""The labelled sets, read as examples: a text and what is known of it for some of the heads."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.errors import ConfigError
from models.registry import DataSource, sha256_of
from models.text.config import SENTIMENTS
from models.text.normalize import duplicate_key, normalize
from models.training.text.heads import HEADS
from models.training.text.taxonomy import taxonomy

Licence = Literal["MIT", "none stated"]
_DECISION = re.compile(r""":\s*['"](positive|neutral|negative)['"]""")  # entity names hold unescaped apostrophes
_NEUTRAL = SENTIMENTS.index("neutral")


@dataclass(frozen=True, slots=True)
class Target:
    """What is known of a text for a head: label indices that are all true or, with `one_of`, of which one is."""

    head: str
    labels: tuple[int, ...]
    one_of: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """A normalised text with its targets; `source` is the set's name."""

    text: str
    source: str
    lang: str
    targets: tuple[Target, ...]

    def target(self, task: str) -> Target | None:
        """The target of the head that is served for a task, if there is one."""
        return next((each for each in self.targets if each.head == f"{task}.{self.lang}"), None)


Row = tuple[str, tuple[Target, ...]]


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """A set: its file below the data folder, and how a row of it becomes a text with targets (None: the row is left out)."""

    name: str
    lang: str
    licence: Licence
    file: str
    read: Callable[[Any], Row | None]

    @property
    def permissive(self) -> bool:
        return self.licence == "MIT"


def _sentiment(head: str, label: str) -> tuple[Target, ...]:
    return (Target(head, (SENTIMENTS.index(label),)),)


def _twitter_sentiment(row: dict[str, str]) -> Row:
    return row["text"], _sentiment("sentiment.en", {"0": "negative", "1": "positive", "2": "neutral"}[row["label"]])


def _twitter_topic(row: dict[str, str]) -> Row:
    topic = taxonomy().sources["twitter_topic"][row["label"]]
    return row["text"], (Target("topic.en", (HEADS["topic.en"].labels.index(topic),)),)


def _sentfin(row: dict[str, str]) -> Row | None:
    decision = agreed_decision(row["Decisions"])
    return None if decision is None else (row["Title"], _sentiment("sentiment.en", decision))


def _surge(row: dict[str, str]) -> Row:
    return row["Tweet Text"], _sentiment("sentiment.en", row["Sentiment"].lower())


def _finfe(row: list[str]) -> Row | None:
    label = {"0": "negative", "0.5": "neutral", "1": "positive"}.get(row[1])
    return None if label is None else (row[0], _sentiment("sentiment.zh", label))


def _finnl(row: list[str]) -> Row | None:
    names = taxonomy().sources["finnl"]
    topics = {names[label] for label in row[1].split() if label in names}  # about 30 labels are typing slips
    targets = []
    for name in ("topic.zh", "region.zh"):
        labels = tuple(at for at, label in enumerate(HEADS[name].labels) if label in topics)
        if labels:
            targets.append(Target(name, labels))
    return (row[0], tuple(targets)) if targets else None


def _finnsp(row: list[str]) -> Row | None:
    if row[4] not in ("0", "1"):
        return None
    known = _sentiment("sentiment.zh", "negative")
    if row[4] == "0":
        known = (Target("sentiment.zh", (_NEUTRAL, _NEUTRAL + 1), one_of=True),)  # not negative: neutral or positive
    title = row[1] if row[1] and row[1] not in row[2] else ""
    return f"{title} {row[2]}", known


def _finances(row: dict[str, str]) -> Row:
    targets = [Target("sentiment.es", (SENTIMENTS.index(_spelled(row["target_sentiment"])),))]
    targets.extend(
        Target(f"{who}.es", (SENTIMENTS.index(_spelled(row[f"{who}_sentiment"])),)) for who in ("companies", "consumers")
    )
    return row["text"], tuple(targets)


def _spelled(label: str) -> str:
    """The label that a slip of the pen meant.

    >>> [_spelled(each) for each in ("postive", " neutral", "neutrak", "neutral?")]
    ['positive', 'neutral', 'neutral', 'neutral']
    """
    slips = {"postive": "positive", "neutrak": "neutral"}
    plain = label.strip().rstrip("?")
    return slips.get(plain, plain)


_FINCUGE = "fincuge/{}/train.json"
SETS = {
    each.name: each
    for each in (
        LabelledSet("twitter_sentiment", "en", "MIT", "twitter_financial_sentiment/train.csv", _twitter_sentiment),
        LabelledSet("sentfin", "en", "MIT", "sentfin/SEntFiN.csv", _sentfin),
        LabelledSet("surge", "en", "MIT", "surge_stock_sentiment/sentiment.csv", _surge),
        LabelledSet("twitter_topic", "en", "MIT", "twitter_financial_topic/train.csv", _twitter_topic),
        LabelledSet("finfe", "zh", "none stated", _FINCUGE.format("FinFE"), _finfe),
        LabelledSet("finnl", "zh", "none stated", _FINCUGE.format("FinNL"), _finnl),
        LabelledSet("finnsp", "zh", "none stated", _FINCUGE.format("FinNSP"), _finnsp),
        LabelledSet("finances", "es", "none stated", "finances2023_es/train.csv", _finances),
    )
}


def agreed_decision(decisions: str) -> str | None:
    """The sentiment that all entities of a SEntFiN row share, else None.

    >>> agreed_decision("{'Infosys': 'positive', \\"Dr. Reddy's\\": 'positive'}")
    'positive'
    >>> agreed_decision("{'Gold': 'negative', 'Silver': 'neutral'}")
    """
    found = set(_DECISION.findall(decisions))
    return found.pop() if len(found) == 1 else None


def read_sets(folder: Path, names: Iterable[str]) -> list[Example]:
    """The examples of the named sets, normalised; texts without a letter or digit are left out."""
    return [example for name in names for example in _read(folder, SETS[name])]


def _read(folder: Path, labelled: LabelledSet) -> Iterator[Example]:
    path = folder / labelled.file
    if not path.is_file():
        raise ConfigError("no such data file; --data names the folder that holds the sets", file=str(path))
    for number, row in _rows(path):
        try:
            found = labelled.read(row)
        except (KeyError, ValueError, IndexError) as error:
            raise ConfigError(f"unknown column or label: {error}", file=str(path), line=number) from error
        if found is not None and duplicate_key(found[0]):
            yield Example(normalize(found[0]), labelled.name, labelled.lang, found[1])


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        if path.suffix == ".json":
            yield from enumerate(json.load(stream), start=1)
        else:
            yield from enumerate(csv.DictReader(stream), start=2)


def data_sources(folder: Path, examples: Iterable[Example]) -> tuple[DataSource, ...]:
    """What a manifest says of the data behind a model; `rows` counts the examples used."""
    rows = Counter(example.source for example in examples)
    return tuple(
        DataSource(name=each.name, licence=each.licence, rows=rows[each.name], sha256=sha256_of(folder / each.file))
        for each in SETS.values()
        if rows[each.name]
    )
