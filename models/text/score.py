"""Texts → sentiment and topic with one model: chunks of all texts in small batches, a thread per core."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import msgspec
import numpy as np
from tokenizers import Tokenizer

from core.errors import ModelError
from core.records import ModelRef, Sentiment, Topic
from models.registry import Artifact, Manifest
from models.runtime import Device, Mode, Session, open_session
from models.text.batching import Batch, plan
from models.text.chunks import Chunked, Chunker, Probabilities, agree, combine
from models.text.config import Head, TextConfig, read_config

GRAPH = "model.onnx"
TOKENIZER = "tokenizer.json"
Logits = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class TextScore:
    """What the models say of one text; `sentiment` and `topic` are both None where nothing was scored, and `reason` says why.

    Where a language has a model for one of the two only, the other is None without a reason. Where only the beginning of a very
    long text was scored, `reason` says that. `model` gave the sentiment, or the topic where there is no sentiment.
    """

    lang: str
    sentiment: Sentiment | None
    topic: Topic | None
    reason: str | None
    model: ModelRef | None


class TextScorer:
    """Scores texts with one verified model folder. `score` may be called from several threads at once."""

    def __init__(
        self, session: Session, tokenizer: Tokenizer, config: TextConfig, manifest: Manifest, *, threads: int = 1
    ) -> None:
        self.config = config
        self.manifest = manifest
        self._session = session
        self._chunker = Chunker(tokenizer, max_tokens=config.max_tokens, lead_tokens=config.lead_tokens)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="score") if threads > 1 else None

    @classmethod
    def open(cls, artifact: Artifact, *, device: Device = "auto", mode: Mode = "exact", threads: int = 1) -> Self:
        """A scorer of a verified artifact; `threads` batches run at once, each on one core."""
        config = read_config(artifact)
        tokenizer = Tokenizer.from_file(str(artifact.path(TOKENIZER)))
        session = open_session(artifact.path(GRAPH), device=device, mode=mode)
        shapes = list(session.outputs.values())
        if len(shapes) != 1 or len(shapes[0]) != 2:
            raise ModelError(f"{artifact.folder}: {GRAPH} needs one output (batch, columns); export the model again")
        if isinstance(shapes[0][1], int) and shapes[0][1] != config.columns:
            raise ModelError(
                f"{artifact.folder}: the heads read {config.columns} columns, but {GRAPH} has {shapes[0][1]}; export the model again"
            )
        return cls(session, tokenizer, config, artifact.manifest, threads=threads)

    @property
    def device(self) -> str:
        """`cuda` or `cpu`: where the session really runs."""
        return self._session.device

    @property
    def mode(self) -> Mode:
        """In which arithmetic the session really runs."""
        return self._session.mode

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def score(self, texts: Sequence[str], langs: Sequence[str]) -> list[TextScore]:
        """One score for each text, in their order; no string makes it raise, and no text's score depends on its neighbours.

        Each of `langs` is one of the model's languages. A text of up to `max_tokens` tokens is scored whole; a longer one by
        parts, see `combine`, and its topic by its lead, where the model has one.
        """
        chunked = self._chunker.split(texts)
        logits = self._logits([piece for text in chunked for piece in text.pieces])
        ends = itertools.pairwise(itertools.accumulate((len(text.pieces) for text in chunked), initial=0))
        return [
            self._text_score(lang, text, logits[start:end]) for lang, text, (start, end) in zip(langs, chunked, ends, strict=True)
        ]

    def _logits(self, chunks: Sequence[Sequence[int]]) -> Logits:
        """(chunks, columns)."""
        batches = plan(chunks, mode=self._session.mode, pad=self._chunker.pad)
        run = self._pool.map if self._pool is not None else map
        results = list(run(self._run, batches))
        if not results:
            return np.empty((0, 0), np.float32)
        table = np.empty((len(chunks), results[0].shape[1]), np.float32)
        for batch, logits in zip(batches, results, strict=True):
            table[batch.rows] = logits
        return table

    def _run(self, batch: Batch) -> Logits:
        feeds = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        (logits,) = self._session.run(feeds)
        return logits

    def _text_score(self, lang: str, chunked: Chunked, logits: Logits) -> TextScore:
        if not chunked.chunks:
            return TextScore(lang=lang, sentiment=None, topic=None, reason="no words to score", model=None)
        heads = self.config.heads_of(lang)
        sentiment, topic = heads.get("sentiment"), heads.get("topic")
        parts = logits[: len(chunked.chunks)]
        subject = parts if chunked.lead is None else logits[-1:]
        return TextScore(
            lang=lang,
            sentiment=None if sentiment is None else to_sentiment(_opinion(sentiment, parts), sentiment.labels),
            topic=None
            if topic is None
            else to_topic(_subject(topic, subject), topic, region=_region(heads.get("region"), subject)),
            reason="long text: only its beginning was scored" if chunked.cut else None,
            model=self.manifest.ref,
        )


def answers(head: Head, logits: Logits) -> Probabilities:
    """The head's probabilities (chunks, labels) from the model's logits (chunks, columns)."""
    return softmax(logits[:, head.columns] / head.temperature)


def _opinion(head: Head, logits: Logits) -> Probabilities:
    chunks = answers(head, logits)
    return combine(chunks, 1.0 - chunks[:, head.labels.index("neutral")])


def _subject(head: Head, logits: Logits) -> Probabilities:
    return agree(answers(head, logits))


def _region(head: Head | None, logits: Logits) -> str | None:
    return None if head is None else head.labels[int(_subject(head, logits).argmax())]


def softmax(logits: np.ndarray[Any, Any]) -> Probabilities:
    """Probabilities that sum to 1 along the last axis, in double precision.

    >>> softmax(np.array([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    wide = logits.astype(np.float64)
    exponentials = np.exp(wide - wide.max(axis=-1, keepdims=True))
    result: Probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return result


def to_sentiment(probabilities: Probabilities, labels: Sequence[str]) -> Sentiment:
    """The record of three calibrated probabilities.

    >>> to_sentiment(np.array([0.7, 0.2, 0.1]), ("negative", "neutral", "positive")).label
    'negative'
    """
    named = dict(zip(labels, probabilities.tolist(), strict=True))
    label = max(named, key=lambda each: named[each])
    return msgspec.convert({"label": label, **named, "score": named["positive"] - named["negative"]}, Sentiment)


def to_topic(probabilities: Probabilities, head: Head, *, region: str | None = None) -> Topic:
    """The most probable topic, with every further one that the head also lists, then the region.

    >>> head = Head(task="topic", languages=("en",), labels=("Oil", "Gold", "IPO"), columns=(0, 1, 2), temperature=1.0, also=0.3)
    >>> to_topic(np.array([0.3, 0.6, 0.1]), head, region="China").labels
    ('Gold', 'Oil', 'China')
    """
    best, *rest = np.argsort(-probabilities, kind="stable").tolist()
    chosen = [best, *(place for place in rest if head.also is not None and probabilities[place] >= head.also)]
    labels = (*(head.labels[place] for place in chosen), *(() if region is None else (region,)))
    return Topic(label=head.labels[best], score=float(probabilities[best]), labels=labels)
