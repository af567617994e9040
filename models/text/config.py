"""What a text model's manifest says of its answers: heads, each reading its columns of the one output for some languages."""

from collections import Counter
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from core.errors import ModelError
from models.registry import Artifact, Manifest

Question = Literal["sentiment", "topic", "region"]
SENTIMENTS = ("negative", "neutral", "positive")


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """One question, answered for `languages` by softmax(logits[:, columns] / temperature), a label for each column.

    A topic head lists, beside the most probable label, every label that is at least `also` probable.
    """

    task: Question
    languages: tuple[str, ...]
    labels: tuple[str, ...]
    columns: tuple[Annotated[int, Meta(ge=0)], ...]
    temperature: Annotated[float, Meta(gt=0)]
    also: Annotated[float, Meta(gt=0, le=1)] | None = None


class TextConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a text model's manifest that scoring needs."""

    languages: tuple[str, ...]
    max_tokens: Annotated[int, Meta(ge=64)]  # the parts of a longer text have up to 64
    heads: tuple[Head, ...]
    lead_tokens: Annotated[int, Meta(ge=64)] | None = None
    """Of a text above `max_tokens` tokens the topic is asked of so many of its first ones in one piece, in place of its parts."""

    def heads_of(self, lang: str) -> dict[Question, Head]:
        """The heads that answer for a language."""
        return {head.task: head for head in self.heads if lang in head.languages}

    @property
    def columns(self) -> int:
        """How many columns the output has: up to the last that a head reads."""
        return 1 + max(column for head in self.heads for column in head.columns)


def read_config(artifact: Artifact) -> TextConfig:
    """The checked configuration of a text model; `ModelError` where its parts disagree or the folder holds another kind of model."""
    return config_of(artifact.manifest)


def config_of(manifest: Manifest) -> TextConfig:
    """As `read_config`, of a manifest alone."""
    if manifest.task != "text":
        raise ModelError(f"{manifest.reference} is a model for task {manifest.task!r}; a text model is needed")
    try:
        config = msgspec.convert(manifest.config, TextConfig)
    except msgspec.ValidationError as error:
        raise ModelError(f"{manifest.reference}: manifest config: {error}; export the model again") from error
    fault = _fault(config)
    if fault is not None:
        raise ModelError(f"{manifest.reference}: manifest config: {fault}; export the model again")
    return config


def _fault(config: TextConfig) -> str | None:
    if config.lead_tokens is not None and config.lead_tokens <= config.max_tokens:
        return f"lead_tokens is {config.lead_tokens}, but texts of up to {config.max_tokens} are read whole anyway"
    for place, head in enumerate(config.heads):
        if fault := _head_fault(head, config.languages):
            return f"heads[{place}]: {fault}"
    for lang in config.languages:
        tasks = Counter(head.task for head in config.heads if lang in head.languages)
        if twice := [task for task, count in tasks.items() if count > 1]:
            return f"language {lang!r} has more than one head for {', '.join(twice)}"
        if not tasks:
            return f"language {lang!r} has no head"
        if "region" in tasks and "topic" not in tasks:
            return f"language {lang!r} has a region head but no topic head, whose labels the region ends"
    return None if config.heads and config.languages else "there is no head or no language"


def _head_fault(head: Head, languages: tuple[str, ...]) -> str | None:
    if len(head.labels) != len(head.columns) or not head.labels:
        return f"{len(head.labels)} labels for {len(head.columns)} columns"
    if len(set(head.labels)) < len(head.labels) or len(set(head.columns)) < len(head.columns):
        return "a label or a column comes twice"
    if head.task == "sentiment" and sorted(head.labels) != sorted(SENTIMENTS):
        return f"the labels of sentiment are {', '.join(SENTIMENTS)}"
    if unknown := sorted(set(head.languages) - set(languages)):
        return f"languages that the model does not list: {', '.join(unknown)}"
    return None
