"""Development texts judged through the product: what their set says of them, what the model and the baseline say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models.text.score import TextScore
from models.training.text.heads import HEADS
from models.training.text.sets import Example
from models.training.text.taxonomy import taxonomy

Task = Literal["sentiment", "topic"]
Labels = tuple[str, ...]
Key = tuple[str, Task, str]  # set, task, text: a split holds each text of a set once

TASKS: tuple[Task, ...] = ("sentiment", "topic")
NOT_NEGATIVE = "not negative"  # all that finnsp says of a text that is not negative


@dataclass(frozen=True, slots=True)
class Judged:
    """A text of a set and one task. `truth`, `predicted` and `baseline` are names of labels, several where the set has several.

    `confidence` is the calibrated probability of the first predicted label, 0..1; 0 where that is unknown: the model did not score
    the text, or its most probable label is none of the set's.
    """

    source: str
    lang: str
    text: str
    task: Task
    truth: Labels
    predicted: Labels
    confidence: float
    baseline: Labels

    @property
    def right(self) -> bool:
        """Whether the first predicted label is true."""
        return bool(self.predicted) and self.predicted[0] in self.truth


def truth(example: Example, task: Task) -> Labels:
    """The names of the labels that a text's set gives it; () where the set says nothing on the task.

    >>> from models.training.text.sets import Target
    >>> truth(Example("利润大增", "finfe", "zh", (Target("sentiment.zh", (2,)),)), "sentiment")
    ('positive',)
    >>> truth(Example("平台正常", "finnsp", "zh", (Target("sentiment.zh", (1, 2), one_of=True),)), "sentiment")
    ('not negative',)
    """
    asked = {"sentiment": ("sentiment",), "topic": ("topic", "region")}[task]
    found = [target for each in asked if (target := example.target(each))]
    if any(target.one_of for target in found):
        return (NOT_NEGATIVE,)
    return tuple(HEADS[target.head].labels[label] for target in found for label in target.labels)


def judge(
    score: Callable[[Sequence[str], Sequence[str]], list[TextScore]],
    dev: Sequence[Example],
    baseline: Mapping[Key, Labels],
) -> list[Judged]:
    """A row for each development text and task of the sets that the model serves: those of which it scores any text."""
    scores = score([example.text for example in dev], [example.lang for example in dev])
    rows = [
        _judged(example, task, known, found, baseline)
        for example, found in zip(dev, scores, strict=True)
        for task in TASKS
        if (known := truth(example, task))
    ]
    served = {(row.source, row.task) for row in rows if row.predicted}
    return [row for row in rows if (row.source, row.task) in served]


def _judged(example: Example, task: Task, known: Labels, score: TextScore, baseline: Mapping[Key, Labels]) -> Judged:
    predicted, confidence = _sentiment(example.source, score) if task == "sentiment" else _topics(example.source, score)
    return Judged(
        source=example.source,
        lang=example.lang,
        text=example.text,
        task=task,
        truth=known,
        predicted=predicted,
        confidence=confidence,
        baseline=baseline[example.source, task, example.text],
    )


def _sentiment(source: str, score: TextScore) -> tuple[Labels, float]:
    """The predicted sentiment in the set's own terms, and its probability."""
    found = score.sentiment
    if found is None:
        return (), 0.0
    if source == "finnsp" and found.label != "negative":
        return (NOT_NEGATIVE,), 1.0 - found.negative
    return (found.label,), {"negative": found.negative, "neutral": found.neutral, "positive": found.positive}[found.label]


def _topics(source: str, score: TextScore) -> tuple[Labels, float]:
    """The predicted topic or, for a set that gives several, those of them that the set has a label for."""
    found = score.topic
    if found is None:
        return (), 0.0
    if source != "finnl":
        return (found.label,), found.score
    offered = set(taxonomy().sources[source].values())
    labels = tuple(label for label in found.labels if label in offered)
    return labels, found.score if found.label in offered else 0.0
