"""The baseline to beat on the same split: TF-IDF and logistic regression, trained on each set for itself."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import MultiLabelBinarizer

from models.training.text.evaluate import TASKS, Key, Labels, truth
from models.training.text.sets import Example

_INVERSE_REGULARISATION = 10.0


def baselines(train: Sequence[Example], dev: Sequence[Example]) -> dict[Key, Labels]:
    """The baseline's labels of each development text, for each task that its set has labels for; `train` is of the same split."""
    found: dict[Key, Labels] = {}
    for source, task in itertools.product(dict.fromkeys(example.source for example in dev), TASKS):
        known = [each for each in train if each.source == source and truth(each, task)]
        asked = [each for each in dev if each.source == source and truth(each, task)]
        if asked:
            texts = [each.text for each in asked]
            labels = predict([each.text for each in known], [truth(each, task) for each in known], texts, lang=asked[0].lang)
            found.update({(source, task, text): given for text, given in zip(texts, labels, strict=True)})
    return found


def predict(texts: Sequence[str], labels: Sequence[Labels], asked: Sequence[str], *, lang: str) -> list[Labels]:
    """The labels of the asked texts, learned from labelled ones: one for each or, where any of those has several, from one on.

    >>> predict(["profit up", "profit rises", "loss widens", "loss"] * 2, [("good",), ("good",), ("bad",), ("bad",)] * 2,
    ...         ["a loss"], lang="en")
    [('bad',)]
    """
    vectorizer = _vectorizer(lang)
    vectors, asked_vectors = vectorizer.fit_transform(texts), vectorizer.transform(asked)
    model = LogisticRegression(C=_INVERSE_REGULARISATION, max_iter=1000)
    if all(len(each) == 1 for each in labels):
        model.fit(vectors, [each[0] for each in labels])
        return [(str(label),) for label in model.predict(asked_vectors)]
    binarizer = MultiLabelBinarizer()
    several = OneVsRestClassifier(model).fit(vectors, binarizer.fit_transform(labels))
    probabilities = several.predict_proba(asked_vectors)
    chosen = (probabilities >= 0.5) | (probabilities == probabilities.max(axis=1, keepdims=True))
    return [tuple(str(binarizer.classes_[at]) for at in np.flatnonzero(row)) for row in chosen]


def _vectorizer(lang: str) -> Any:
    """Words and pairs of words; runs of one to three characters where words are written without spaces."""
    if lang == "zh":
        return TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2)
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
