"""A small BERT encoder over payments: field embeddings summed per token, transformer layers, a head over [current] and the sums.

The last layer asks from the current payment only: nothing else of its output is read, which saves two fifths of the work. A first
stage's logit may be given beside the inputs: then the encoder learns what to add to it.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.fraud.aggregates import NAMES
from models.fraud.features import CONTINUOUS, SIZES

AMOUNT_FIELD = list(SIZES).index("amount")
HIDDEN = (CONTINUOUS.index("log_amount"), CONTINUOUS.index("ratio"), CONTINUOUS.index("ratio_to_current"))  # tell the amount


@dataclass(frozen=True, slots=True)
class Shape:
    """The network's sizes."""

    width: int = 48
    layers: int = 2
    heads: int = 4
    inner: int = 128
    dropout: float = 0.0

    def as_config(self) -> dict[str, Any]:
        return asdict(self)


class Layer(nn.Module):
    """A transformer layer, normalised after each sum as in BERT; `queries` first tokens are computed, all are attended to."""

    def __init__(self, shape: Shape, queries: int | None) -> None:
        super().__init__()
        self.heads, self.queries = shape.heads, queries
        self.head_width = shape.width // shape.heads
        self.query = nn.Linear(shape.width, shape.width)
        self.key_value = nn.Linear(shape.width, 2 * shape.width)
        self.merge = nn.Linear(shape.width, shape.width)
        self.after_attention = nn.LayerNorm(shape.width)
        self.grow = nn.Linear(shape.width, shape.inner)
        self.shrink = nn.Linear(shape.inner, shape.width)
        self.after_inner = nn.LayerNorm(shape.width)
        self.drop = nn.Dropout(shape.dropout)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        """(N, queries, width); `bias` is (N, 1, 1, T), −10,000 at padding."""
        asking = hidden if self.queries is None else hidden[:, : self.queries]
        key, value = self.key_value(hidden).chunk(2, dim=-1)
        scores = self._split(self.query(asking)) @ self._split(key).transpose(-1, -2) / math.sqrt(self.head_width)
        mixed = torch.softmax(scores + bias, dim=-1) @ self._split(value)
        merged = self.merge(mixed.transpose(1, 2).flatten(2))
        hidden = self.after_attention(asking + self.drop(merged))
        inner = self.shrink(nn.functional.gelu(self.grow(hidden)))
        return self.after_inner(hidden + self.drop(inner))

    def _split(self, values: Tensor) -> Tensor:
        """(N, T, width) → (N, heads, T, head width)."""
        return values.unflatten(-1, (self.heads, self.head_width)).transpose(1, 2)


class Encoder(nn.Module):
    """Payments → fraud logits; `base_mean` and `base_scale` standardise the sums, `offset` and `slope` calibrate the logit."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embeddings = nn.ModuleList(nn.Embedding(size, shape.width) for size in SIZES.values())
        self.continuous = nn.Linear(len(CONTINUOUS), shape.width)
        self.after_embedding = nn.LayerNorm(shape.width)
        self.layers = nn.ModuleList(Layer(shape, 1 if last else None) for last in _last(shape.layers))
        self.base = nn.Sequential(nn.Linear(len(NAMES), 96), nn.GELU(), nn.Linear(96, shape.width), nn.GELU())
        self.head = nn.Sequential(nn.Linear(2 * shape.width, shape.width), nn.GELU(), nn.Linear(shape.width, 1))
        self.drop = nn.Dropout(shape.dropout)
        self.register_buffer("base_mean", torch.zeros(len(NAMES)))
        self.register_buffer("base_scale", torch.ones(len(NAMES)))
        self.register_buffer("slope", torch.ones(1))
        self.register_buffer("offset", torch.zeros(1))
        for embedding in self.embeddings:
            nn.init.normal_(embedding.weight, std=0.1)

    def forward(self, tokens: Tensor, ids: Tensor, mask: Tensor, base: Tensor, first: Tensor | None = None) -> Tensor:
        """(N,) calibrated logits; `first` (N,) is a first stage's logit."""
        return self.judge(self.context(self.embed(tokens, ids), mask), mask, base, first)

    def embed(self, tokens: Tensor, ids: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(N, T, width) of the tokens; `hidden` (N, T) bool hides the amounts of those flagged."""
        if hidden is not None:
            tokens = tokens.clone()
            tokens[:, :, list(HIDDEN)] *= ~hidden[:, :, None]
        summed = self.continuous(tokens)
        for field, embedding in enumerate(self.embeddings):
            part = embedding(ids[:, :, field])
            if hidden is not None and field == AMOUNT_FIELD:
                part = part * ~hidden[:, :, None]
            summed = summed + part
        return self.after_embedding(summed)

    def judge(self, context: Tensor, mask: Tensor, base: Tensor, first: Tensor | None = None) -> Tensor:
        """(N,) calibrated logits, from what `context` gave."""
        hidden = self.layers[-1](context, _bias(mask))
        sums = self.base((base - self.base_mean) / self.base_scale)
        logit = self.head(torch.cat([self.drop(hidden[:, 0]), self.drop(sums)], dim=-1))[:, 0]
        if first is not None:
            logit = logit + first
        return logit * self.slope + self.offset

    def context(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """(N, T, width) after all layers but the last."""
        for layer in self.layers[:-1]:
            embedded = layer(embedded, _bias(mask))
        return embedded


class Guess(nn.Module):
    """Which amount a hidden past token had, as a bin, from what the encoder makes of the others: used in training alone."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.amount = nn.Linear(shape.width, SIZES["amount"])

    def forward(self, context: Tensor, hidden: Tensor) -> Tensor:
        """(number of hidden tokens, bins)."""
        return self.amount(context[hidden])


def _bias(mask: Tensor) -> Tensor:
    return (mask[:, None, None, :] - 1.0) * 10_000.0


def _last(layers: int) -> list[bool]:
    return [place == layers - 1 for place in range(layers)]
