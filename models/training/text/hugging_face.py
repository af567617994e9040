"""A fine-tuned Hugging Face classifier of texts → a model folder that the registry accepts."""

from collections.abc import Mapping
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from core.errors import ConfigError
from models.text.config import SENTIMENTS, Head, Question

_MEANINGS = {
    "negative": ("negative", "neg", "bearish", "-1"),
    "neutral": ("neutral", "neu", "none", "0"),
    "positive": ("positive", "pos", "bullish", "1"),
}
_FALLBACK_TOKENS = 128


class Classifier(torch.nn.Module):
    """The classifier as a module of ids and mask alone: (batch, length) → logits (batch, labels)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def open_classifier(source: str) -> tuple[Classifier, Tokenizer]:
    """The classifier of a folder or a name on the hub, with its tokenizer; `ConfigError` where it is no classifier of whole texts."""
    try:
        config = AutoConfig.from_pretrained(source)
        model = AutoModelForSequenceClassification.from_pretrained(source, attn_implementation="eager")
        tokenizer = AutoTokenizer.from_pretrained(source, use_fast=True).backend_tokenizer
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"no classifier with a fast tokenizer in {source}: {error}") from error
    if config.problem_type == "multi_label_classification" or config.num_labels < 2:
        raise ConfigError(f"{source} does not choose one label among several: it cannot be served")
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return Classifier(model.eval()), tokenizer


def head_of(config: Any, task: Question, language: str, given: Mapping[int, str]) -> Head:
    """The head that the classifier's labels make; `given` names labels by number where the model's own names do not tell.

    >>> class Config:
    ...     num_labels, id2label = 3, {0: "bearish", 1: "Bullish", 2: "LABEL_2"}
    >>> head_of(Config, "sentiment", "en", {2: "neutral"}).labels
    ('negative', 'positive', 'neutral')
    """
    names = {at: given.get(at, config.id2label[at]) for at in range(config.num_labels)}
    if task == "sentiment":
        names = {at: _sentiment(name) for at, name in names.items()}
        if sorted(names.values()) != sorted(SENTIMENTS):
            raise ConfigError(
                f"the labels {config.id2label} are not negative, neutral and positive; say which is which, as in --label 0=negative"
            )
    labels = tuple(names[at] for at in range(config.num_labels))
    return Head(task=task, languages=(language,), labels=labels, columns=tuple(range(config.num_labels)), temperature=1.0)


def _sentiment(name: str) -> str:
    return next((meaning for meaning, names in _MEANINGS.items() if name.lower() in names), name)


def longest(config: Any, wanted: int = _FALLBACK_TOKENS) -> int:
    """The tokens of a text that is scored whole: `wanted`, or fewer where the classifier has fewer positions."""
    return int(min(wanted, config.max_position_embeddings))
