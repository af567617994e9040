"""A worker whose text models are replaced by a wait of fixed length: what is measured is all that lies around them.

`python -m bench.fixed_cost DATA MS` takes its other settings from `GROUNDSWELL_…` in the environment; MS is milliseconds a text, as if a
device elsewhere scored one after the other, so that workers on few cores can be many.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from commands import wiring
from commands.worker import run_worker
from core import log
from core.records import ModelRef, Sentiment, Topic
from models.text.score import TextScore

_MODEL = ModelRef(name="fixed-cost", version="0")
_NEGATIVE = Sentiment(label="negative", negative=0.8, neutral=0.1, positive=0.1, score=-0.7)
_NEUTRAL = Sentiment(label="neutral", negative=0.1, neutral=0.8, positive=0.1, score=0.0)
_TOPIC = Topic(label="Markets", score=1.0)


@dataclass(frozen=True, slots=True)
class FixedCost:
    """Every text takes `seconds`; one with an odd number of characters is negative.

    >>> [score.sentiment.label for score in FixedCost(0.0).score(["odd", "even"], [None, "en"])]
    ['negative', 'neutral']
    """

    seconds: float

    def score(self, texts: Sequence[str], langs: Sequence[str | None]) -> list[TextScore]:
        """The scores, after the wait."""
        time.sleep(self.seconds * len(texts))
        return [
            TextScore(lang or "en", _NEGATIVE if len(text) % 2 else _NEUTRAL, _TOPIC, None, _MODEL)
            for text, lang in zip(texts, langs, strict=True)
        ]


def main(data: str, milliseconds: str) -> None:
    """Run the worker until it is told to stop."""
    log.configure(level="INFO")
    run_worker(wiring.settings_from(None, data=Path(data)), scorer=FixedCost(float(milliseconds) / 1e3))


if __name__ == "__main__":
    main(*sys.argv[1:])
