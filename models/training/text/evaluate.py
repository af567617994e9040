"""What a model's scores are worth on the development part, beside the baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.text.score import TextScore
from models.training.text import baseline
from models.training.text.data import LABELS, TASKS, Example, Split, Task
from models.training.text.measure import Interval, Labels, accuracy, bootstrap, macro_f1


@dataclass(frozen=True, slots=True)
class Figures:
    """Accuracy and macro-F1 of one system on one set of examples."""

    rows: int
    accuracy: Interval
    macro_f1: Interval


def figures(truth: Labels, predicted: Labels) -> Figures:
    """The figures with their bootstrap intervals."""
    return Figures(
        rows=len(truth),
        accuracy=bootstrap(accuracy, truth, predicted),
        macro_f1=bootstrap(macro_f1, truth, predicted),
    )


def of_task(examples: Sequence[Example], task: Task) -> list[Example]:
    """The examples of one task."""
    return [example for example in examples if example.task == task]


def labels(examples: Sequence[Example]) -> Labels:
    """The examples' labels: (examples,)."""
    return np.array([example.label for example in examples], dtype=np.int64)


def predicted_labels(scores: Sequence[TextScore], task: Task) -> Labels:
    """The label index of each score; −1, which is never right, where the text was not scored."""
    found = []
    for score in scores:
        result = score.sentiment if task == "sentiment" else score.topic
        found.append(-1 if result is None else LABELS[task].index(result.label))
    return np.array(found, dtype=np.int64)


def by_group(dev: Sequence[Example], predicted: Mapping[Task, Labels]) -> dict[str, Figures]:
    """Figures of each task over all its examples and over each of its sets."""
    result: dict[str, Figures] = {}
    for task in TASKS:
        examples, guesses = of_task(dev, task), predicted[task]
        truth = labels(examples)
        result[task] = figures(truth, guesses)
        sources = np.array([example.source for example in examples])
        for source in dict.fromkeys(sources.tolist()):
            result[f"{task} / {source}"] = figures(truth[sources == source], guesses[sources == source])
    return result


def baseline_labels(parts: Split) -> dict[Task, Labels]:
    """The baseline's labels of the development part, for each task."""
    return {task: baseline.predict(of_task(parts.train, task), of_task(parts.dev, task)) for task in TASKS}


def table(model: Mapping[str, Figures], base: Mapping[str, Figures]) -> str:
    """A Markdown table of the model beside the baseline."""
    lines = [
        "| Development part | Texts | Model: accuracy | Model: macro-F1 | TF-IDF: accuracy | TF-IDF: macro-F1 |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in model.items():
        other = base[name]
        lines.append(f"| {name} | {each.rows} | {each.accuracy} | {each.macro_f1} | {other.accuracy} | {other.macro_f1} |")
    return "\n".join(lines)
