"""Long texts in parts that the encoder was trained for, and the parts' scores in one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from core.errors import ModelError
from models.text.normalize import clean, collapse
from models.text.sentences import paragraphs, sentences

_TRUST = 0.75  # in what parts of a text say together: 0.5 is their mean, 1 takes them for independent
CHUNK_TOKENS = 64  # 99 % of the training texts are at most 70 tokens
MAX_CHUNKS = 64  # about 3,000 words; half a second of one core
_MAX_CHARACTERS = 40_000  # beyond what MAX_CHUNKS can hold; keeps a megabyte of anything cheap
_SPECIAL_TOKENS = 2  # the begin and the end
# How an encoder's tokenizer spells begin, end and padding: BERT's, and that of XLM-RoBERTa, which multilingual e5 has
_FRAMES = (("[CLS]", "[SEP]", "[PAD]"), ("<s>", "</s>", "<pad>"))

Ids = tuple[int, ...]
Probabilities = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Chunked:
    """A text's token ids in parts, none if it has no words; `cut` where the text went on.

    `lead` is the beginning of a text of several parts in one piece, where the model asks for it.
    """

    chunks: tuple[Ids, ...]
    cut: bool = False
    lead: Ids | None = None

    @property
    def pieces(self) -> tuple[Ids, ...]:
        """All that the model reads: the parts, then the lead."""
        return self.chunks if self.lead is None else (*self.chunks, self.lead)


class Chunker:
    """Splits texts into token chunks. A text of up to `max_tokens` tokens is one chunk.

    A longer one is cut at sentences: its first paragraph (the title, in news) stands alone, then sentences are packed into
    chunks of at most 64 tokens, at most 64 chunks. A sentence that is longer is cut within. With `lead_tokens` its first ones, so
    many, are its lead. `pad` is the id to fill batches with.
    """

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int, lead_tokens: int | None = None) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._begin, self._end, self.pad = _frame(tokenizer)
        self._max_tokens = max_tokens
        self._lead_tokens = lead_tokens

    def split(self, texts: Sequence[str]) -> list[Chunked]:
        """The chunks of each text."""
        cleaned = [clean(text[:_MAX_CHARACTERS]) for text in texts]
        tokens = self._ids([collapse(text) for text in cleaned])
        return [
            self._whole_or_parts(text, ids, cut=len(original) > _MAX_CHARACTERS)
            for original, text, ids in zip(texts, cleaned, tokens, strict=True)
        ]

    def _whole_or_parts(self, text: str, ids: Ids, *, cut: bool) -> Chunked:
        if not any(map(str.isalnum, text)):
            return Chunked(chunks=())
        if len(ids) + _SPECIAL_TOKENS <= self._max_tokens:
            return Chunked(chunks=(self._framed(ids),), cut=cut)
        chunks = tuple(islice(self._parts(text), MAX_CHUNKS + 1))
        lead = None if self._lead_tokens is None else self._framed(ids[: self._lead_tokens - _SPECIAL_TOKENS])
        return Chunked(chunks=chunks[:MAX_CHUNKS], cut=cut or len(chunks) > MAX_CHUNKS, lead=lead)

    def _parts(self, text: str) -> Iterator[Ids]:
        title, *body = paragraphs(text)
        if not body:
            yield from self._packed(self._ids(sentences(title)))
        else:
            yield from self._packed(self._ids([collapse(title)]))
            yield from self._packed(self._ids(sentences("\n\n".join(body))))

    def _packed(self, pieces: Sequence[Ids]) -> Iterator[Ids]:
        """Chunks of whole pieces up to the limit; a piece above it is cut."""
        limit = CHUNK_TOKENS - _SPECIAL_TOKENS
        held: Ids = ()
        for piece in pieces:
            if held and len(held) + len(piece) > limit:
                yield self._framed(held)
                held = ()
            held += piece
            while len(held) > limit:
                yield self._framed(held[:limit])
                held = held[limit:]
        if held:
            yield self._framed(held)

    def _ids(self, texts: Sequence[str]) -> list[Ids]:
        return [tuple(encoding.ids) for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def _framed(self, ids: Ids) -> Ids:
        return (self._begin, *ids, self._end)


def _frame(tokenizer: Tokenizer) -> tuple[int, int, int]:
    """The ids of begin, end and padding."""
    for tokens in _FRAMES:
        begin, end, pad = map(tokenizer.token_to_id, tokens)
        if begin is not None and end is not None and pad is not None:
            return begin, end, pad
    names = " nor ".join(", ".join(tokens) for tokens in _FRAMES)
    raise ModelError(f"the model's tokenizer has neither {names}; export the model again")


def combine(probabilities: Probabilities, weights: Probabilities) -> Probabilities:
    """A text's probabilities from its chunks': (chunks, labels) → (labels,), summing to 1.

    The first chunk, which is the title or the lead, counts half; the others share the other half by `weights` (chunks,). For
    sentiment a chunk's weight is its probability of not being neutral: the plain mean would make every long article neutral.
    On 2,000 articles put together from development headlines (the title and 2 of 8 sentences of one label, the rest neutral)
    macro-F1 was .90 by this rule, .87 by the title alone and .28 by the plain mean.

    >>> combine(np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]), np.array([1.0, 1.0, 0.0])).round(6).tolist()
    [0.5, 0.5]
    """
    first: Probabilities = probabilities[0]
    rest = probabilities[1:]
    if not len(rest):
        return first
    shares = weights[1:] + 1e-9  # so that chunks which are all surely neutral still share evenly
    result: Probabilities = (first + shares @ rest / shares.sum()) / 2
    return result


def agree(probabilities: Probabilities) -> Probabilities:
    """A text's topic probabilities from its chunks': (chunks, labels) → (labels,), summing to 1.

    The product of the first chunk's and the geometric mean of the others', to the power of ¾: what two parts say alike is surer than
    either alone, but less so than if they were independent. Of 652 Chinese news texts, a third of them long, the mean of the chunks is
    right for .854 with an ECE of .071, this rule for .857 with .019.

    >>> agree(np.array([[0.8, 0.2], [0.8, 0.2]])).round(2).tolist(), agree(np.array([[0.8, 0.2]])).tolist()
    ([0.89, 0.11], [0.8, 0.2])
    """
    if len(probabilities) == 1:
        first: Probabilities = probabilities[0]
        return first
    logs = np.log(np.maximum(probabilities, 1e-9))
    powered = np.exp(_TRUST * (logs[0] + logs[1:].mean(axis=0)))
    result: Probabilities = powered / powered.sum()
    return result
