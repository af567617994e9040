"""Texts → language, sentiment and topic with the shipped encoder: chunks of all texts in small batches, a thread per core."""

import itertools
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import msgspec
import numpy as np
from tokenizers import Tokenizer

from core.errors import ModelError
from core.records import ModelRef, Sentiment, Topic
from models.registry import Artifact
from models.runtime import Device, Session, open_session
from models.text import language
from models.text.batching import Batch, plan
from models.text.chunks import Chunked, Chunker, Probabilities, combine

_HINT = re.compile(r"([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]{2,8})*")
_OUTPUTS = ("sentiment_logits", "topic_logits")


class TextConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a text model's manifest that scoring needs. `labels` are in the order of the logits."""

    languages: tuple[str, ...]
    labels: dict[str, tuple[str, ...]]
    temperature: dict[str, float]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class TextScore:
    """What the models say of one text; `sentiment`, `topic` and `model` are None where nothing was scored, and `reason` says why.

    Where only the beginning of a very long text was scored, `reason` says that.
    """

    lang: str
    sentiment: Sentiment | None
    topic: Topic | None
    reason: str | None
    model: ModelRef | None


class TextScorer:
    """Scores texts with one verified model folder. `score` may be called from several threads at once."""

    def __init__(self, session: Session, tokenizer: Tokenizer, config: TextConfig, ref: ModelRef, *, threads: int = 1) -> None:
        self._session = session
        self._config = config
        self._ref = ref
        self._chunker = Chunker(tokenizer, max_tokens=config.max_tokens)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="score") if threads > 1 else None

    @classmethod
    def open(cls, artifact: Artifact, *, device: Device = "auto", threads: int = 1) -> Self:
        """A scorer of a verified artifact; `threads` batches run at once, each on one core."""
        config = read_config(artifact)
        tokenizer = Tokenizer.from_file(str(artifact.path("tokenizer.json")))
        session = open_session(artifact.path("model.onnx"), device=device)
        if not set(_OUTPUTS) <= set(session.outputs):
            raise ModelError(f"{artifact.folder}: model.onnx lacks the outputs {', '.join(_OUTPUTS)}; export the model again")
        return cls(session, tokenizer, config, artifact.manifest.ref, threads=threads)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that are scored."""
        return self._config.languages

    @property
    def device(self) -> str:
        """`cuda` or `cpu`: where the session really runs."""
        return self._session.device

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def score(self, texts: Sequence[str], langs: Sequence[str | None]) -> list[TextScore]:
        """One score for each text, in their order; no string makes it raise, and no text's score depends on its neighbours.

        `langs` holds what the source says of each text's language: an ISO 639 code, perhaps with a region, is trusted, and
        anything else is detected. A text of up to `max_tokens` tokens is scored whole; a longer one by parts: see `combine`.
        """
        found = [primary_subtag(hint) or language.detect(text) for text, hint in zip(texts, langs, strict=True)]
        chosen = [index for index, lang in enumerate(found) if lang in self._config.languages]
        chunked = dict(zip(chosen, self._chunker.split([texts[index] for index in chosen]), strict=True))
        scored = dict(zip(chunked, self._probabilities(list(chunked.values())), strict=True))
        return [self._text_score(lang, chunked.get(index), scored.get(index)) for index, lang in enumerate(found)]

    def _probabilities(self, texts: Sequence[Chunked]) -> list[tuple[Probabilities, ...]]:
        """For each text its chunks' probabilities for sentiment (chunks, 3) and topic (chunks, 20)."""
        chunks = [chunk for text in texts for chunk in text.chunks]
        batches = plan(chunks, device=self._session.device)
        run = self._pool.map if self._pool is not None else map
        results = list(run(self._run, batches))
        starts = np.cumsum([0, *(len(text.chunks) for text in texts)])
        tables = []
        for output, task in enumerate(("sentiment", "topic")):
            table = np.empty((len(chunks), len(self._config.labels[task])))
            for batch, logits in zip(batches, results, strict=True):
                table[batch.rows] = softmax(logits[output] / self._config.temperature[task])
            tables.append(table)
        return [tuple(table[start:end] for table in tables) for start, end in itertools.pairwise(starts)]

    def _run(self, batch: Batch) -> list[np.ndarray[Any, Any]]:
        feeds = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        return self._session.run(feeds, _OUTPUTS)

    def _text_score(self, lang: str, chunked: Chunked | None, scored: tuple[Probabilities, ...] | None) -> TextScore:
        if chunked is None or scored is None:
            reason = "no letters to tell a language by" if lang == language.UNDETERMINED else f"no model for language '{lang}'"
            return TextScore(lang=lang, sentiment=None, topic=None, reason=reason, model=None)
        if not chunked.chunks:
            return TextScore(lang=lang, sentiment=None, topic=None, reason="no words to score", model=None)
        sentiment, topic = scored
        neutral = sentiment[:, self._config.labels["sentiment"].index("neutral")]
        weights = 1.0 - neutral
        return TextScore(
            lang=lang,
            sentiment=to_sentiment(combine(sentiment, weights), self._config.labels["sentiment"]),
            topic=to_topic(combine(topic, np.ones(len(topic))), self._config.labels["topic"]),
            reason="long text: only its beginning was scored" if chunked.cut else None,
            model=self._ref,
        )


def read_config(artifact: Artifact) -> TextConfig:
    """The typed configuration of a text model; `ModelError` where the folder holds another kind of model."""
    manifest = artifact.manifest
    if manifest.task != "text":
        raise ModelError(f"{artifact.folder} is a model for task {manifest.task!r}; a text model is needed")
    try:
        config = msgspec.convert(manifest.config, TextConfig)
    except msgspec.ValidationError as error:
        raise ModelError(f"{artifact.folder}: manifest config: {error}; export the model again") from error
    missing = {"sentiment", "topic"} - (config.labels.keys() & config.temperature.keys())
    if missing or sorted(config.labels["sentiment"]) != ["negative", "neutral", "positive"]:
        raise ModelError(f"{artifact.folder}: manifest config lacks labels or temperatures of both tasks; export the model again")
    return config


def primary_subtag(hint: str | None) -> str | None:
    """The ISO 639 code of a language tag, lower case; None for what is no tag or says nothing.

    >>> primary_subtag("en-US"), primary_subtag("ZH_hans"), primary_subtag("English"), primary_subtag("und")
    ('en', 'zh', None, None)
    """
    match = None if hint is None else _HINT.fullmatch(hint.strip())
    code = None if match is None else match[1].lower()
    return None if code in (language.UNDETERMINED, "zxx", "mis", "mul") else code


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


def to_topic(probabilities: Probabilities, labels: Sequence[str]) -> Topic:
    """The most probable topic."""
    best = int(probabilities.argmax())
    return Topic(label=labels[best], score=float(probabilities[best]))
