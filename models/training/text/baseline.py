"""The baseline to beat on the same split: TF-IDF of words and pairs of words, and logistic regression."""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from models.training.text.data import Example
from models.training.text.measure import Labels

_INVERSE_REGULARISATION = 10.0


def predict(train: Sequence[Example], dev: Sequence[Example]) -> Labels:
    """The baseline's label of each development example; all examples are of one task."""
    pipeline = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
        LogisticRegression(C=_INVERSE_REGULARISATION, max_iter=1000),
    )
    pipeline.fit([example.text for example in train], [example.label for example in train])
    predicted: Labels = np.asarray(pipeline.predict([example.text for example in dev]), dtype=np.int64)
    return predicted
