"""The texts that speed is measured on: headlines as they are, and longer posts, both of the bundled samples."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from bench.peers import MAX_TOKENS
from commands.wiring import SAMPLES
from models.text.normalize import normalize

_FILES = {"en": ("news-sentfin.jsonl", "social-stocknet.jsonl"), "zh": ("news-hotlist-zh.jsonl",)}
LANGUAGES = tuple(_FILES)
_HEADLINES = 64  # as many as the worker scores in one go
_POSTS = 32  # as many as fill a batch of the pipeline
_POST_TOKENS = 90  # a post of several texts ends at the first that reaches this: at about 100 on the average


def chosen(lang: str, tokenizer: Any) -> dict[str, list[str]]:
    """`headlines`, which are the titles and the short posts of a language, and `posts`, each of which is several of them."""
    texts = sampled(lang)
    joined = join(texts, lengths(tokenizer, texts))
    return {
        name: evenly(found, lengths(tokenizer, found), count)
        for name, found, count in (("headlines", texts, _HEADLINES), ("posts", joined, _POSTS))
    }


def lengths(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """How many tokens each text has."""
    return [len(ids) for ids in tokenizer(list(texts))["input_ids"]]


def sampled(lang: str) -> list[str]:
    """The bundled texts of a language in random order, normalised beforehand: peers would read the links that we cut out."""
    lines = [line for name in _FILES[lang] for line in (SAMPLES / name).read_bytes().splitlines()]
    records = [msgspec.json.decode(line) for line in lines]
    texts = [text for record in records if (text := normalize(record.get("text") or record["title"]))]
    random.Random(0).shuffle(texts)
    return texts


def join(texts: Sequence[str], tokens_of: Sequence[int]) -> list[str]:
    """Texts joined to ones of about 100 tokens; those that peers would cut are left out.

    >>> join(["a", "b", "c", "d", "e"], [50, 40, 70, 70, 90])
    ['a b', 'e']
    """
    found = []
    held: list[str] = []
    tokens = 0
    for text, length in zip(texts, tokens_of, strict=True):
        held.append(text)
        tokens += length
        if tokens >= _POST_TOKENS:
            if tokens <= MAX_TOKENS:
                found.append(" ".join(held))
            held, tokens = [], 0
    return found


def evenly(texts: Sequence[str], tokens_of: Sequence[int], count: int) -> list[str]:
    """So many of the texts, in their order, whose lengths are spread as those of all.

    >>> evenly(["d", "c", "a", "b"], [40, 30, 10, 20], 2)
    ['d', 'b']
    """
    by_length = sorted(range(len(texts)), key=lambda row: tokens_of[row])
    chosen = {by_length[(2 * place + 1) * len(texts) // (2 * count)] for place in range(count)}
    return [text for row, text in enumerate(texts) if row in chosen]
