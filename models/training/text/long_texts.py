"""How well the rule for long texts does, on articles put together from development headlines.

An article is a title and eight sentences; the title and two of the sentences have the article's label, the others are neutral. A
good rule gives the article's label: the plain mean of its sentences would not, since most of an article is neutral.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.text.config import SENTIMENTS
from models.text.score import TextScore
from models.training.report.document import Section, Table
from models.training.text.measure import Interval, bootstrap, macro_f1
from models.training.text.sets import Example

_NOTE = (
    "Articles put together from development texts: a title and eight sentences, of which the title and two have the article's label and "
    "six are neutral. The rule, which models/text/chunks.py states: the title counts half, the other parts share the other half by "
    "their probability of not being neutral."
)
_ARTICLES = 300
Score = Callable[[Sequence[str], Sequence[str]], list[TextScore]]
_SENTENCES = 8
_TELLING = 2
_STOP = {"en": ".", "zh": "。", "es": "."}
_GLUE = {"en": " ", "zh": "", "es": " "}


@dataclass(frozen=True, slots=True)
class Article:
    """A title and sentences, and the label that they carry together."""

    lang: str
    title: str
    sentences: tuple[str, ...]
    label: int

    @property
    def text(self) -> str:
        stop = _STOP[self.lang]
        body = _GLUE[self.lang].join(sentence.rstrip(".。") + stop for sentence in self.sentences)
        return f"{self.title}\n\n{body}"


def articles(dev: Sequence[Example], *, lang: str, count: int, seed: int = 0) -> list[Article]:
    """Articles made of the sentiment examples of a language, each with a random label of the three."""
    rng = np.random.default_rng(seed)
    pools: list[list[str]] = [[], [], []]
    for example in dev:
        label = _label(example)
        if example.lang == lang and label is not None:
            pools[label].append(example.text)
    made = []
    for label in rng.integers(0, len(pools), count).tolist():
        telling = rng.choice(pools[label], _TELLING + 1, replace=False).tolist()
        rest = rng.choice(pools[SENTIMENTS.index("neutral")], _SENTENCES - _TELLING, replace=False).tolist()
        sentences = [*telling[1:], *rest]
        made.append(Article(lang, telling[0], tuple(sentences[at] for at in rng.permutation(_SENTENCES)), label))
    return made


def measure(score: Score, made: Sequence[Article]) -> dict[str, Interval]:
    """Macro-F1 of the rule that serves, of the title alone, and of the plain mean of title and sentences."""
    langs = [article.lang for article in made]
    truth = np.array([article.label for article in made])
    pieces = [piece for article in made for piece in (article.title, *article.sentences)]
    alone = _table(score(pieces, [made[0].lang] * len(pieces))).reshape(len(made), _SENTENCES + 1, len(SENTIMENTS))
    rules = {
        "the rule": _table(score([article.text for article in made], langs)),
        "the title alone": alone[:, 0],
        "the plain mean": alone.mean(1),
    }
    return {name: bootstrap(macro_f1, truth, table.argmax(1)) for name, table in rules.items()}


def section(score: Score, dev: Sequence[Example]) -> Section:
    """The report's section on long texts, for every language whose sentiment the development part knows."""
    rows = []
    for lang in _STOP:
        if sum(each.lang == lang and _label(each) is not None for each in dev) >= _ARTICLES:
            found = measure(score, articles(dev, lang=lang, count=_ARTICLES))
            rows.append((lang, *map(str, found.values())))
    header = ("Language", "By the rule", "By the title alone", "By the plain mean")
    return Section("Long texts", (_NOTE,), (Table(f"Macro-F1 on {_ARTICLES} articles", header, tuple(rows)),))


def _label(example: Example) -> int | None:
    target = example.target("sentiment")
    return None if target is None or target.one_of else target.labels[0]


def _table(scores: Sequence[TextScore]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array([[getattr(each.sentiment, label) for label in SENTIMENTS] for each in scores], dtype=np.float64)
