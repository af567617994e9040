"""Text to tokens: the one analyzer of the embedded index and the predicate, so that they agree by construction.

Chinese has no spaces. A run of Han characters or kana becomes overlapping bigrams (恒大集团: 恒大, 大集, 集团), and a query's run is
looked up as a phrase of them: that finds exactly the texts that hold the run, as a substring.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache

from search.nodes import Pattern

MAX_TOKEN_CHARS = 255  # as Elasticsearch's standard tokenizer; longer ones are base64 and the like

Phrase = tuple[Pattern, ...]
"""Consecutive tokens, each a pattern; a pattern of one part is the token itself."""
Clause = tuple[Phrase, ...]
"""Phrases that must all be in the field."""

_HAN = "\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # with kana
_RUN = re.compile(f"[{_HAN}]+")
_ASCII_WORDS = re.compile(r"\d+(?:[.,]\d+)+|\w+(?:'\w+)*", re.ASCII)
_WORDS = re.compile(rf"\d+(?:[.,]\d+)+|[{_HAN}]+|[^\W{_HAN}]+(?:'[^\W{_HAN}]+)*")
_WILD = "\ue000"  # stands for `*` while a pattern is cut into tokens; of the private use area, so that no text means it


def analyze(text: str) -> list[str]:
    """The tokens of `text`: NFKC, lower case, without a possessive `'s`; words, numbers, and bigrams of Han runs.

    >>> analyze("Evergrande's $EGRNF fell 3.5%")
    ['evergrande', 'egrnf', 'fell', '3.5']
    >>> analyze("A股:恒大集团 涨")
    ['a', '股', '恒大', '大集', '集团', '涨']
    """
    if text.isascii():
        words: list[str] = _ASCII_WORDS.findall(text.lower())
        return words if "'" not in text and len(text) <= MAX_TOKEN_CHARS else _shortened(words)
    normal = _normal(text)
    words = _words(normal).findall(normal)
    if not _RUN.search(normal):
        return _shortened(words)
    return [token for word in words for token in (_bigrams(word) if _RUN.match(word) else _shortened([word]))]


@lru_cache(maxsize=64)  # the rules of an alert engine look at the fields of one event one after another
def joined(text: str) -> str:
    """The tokens of `text`, each between spaces, so that a phrase is a substring.

    >>> joined("Default risk")
    ' default risk '
    """
    return f" {' '.join(analyze(text))} "


def any_word(text: str) -> tuple[Clause, ...]:
    """What a bare value asks of a text field: any of its words; a group of letters that holds Han is one phrase.

    >>> any_word("default 恒大集团")
    (((('default',),),), ((('恒大',), ('大集',), ('集团',)),))
    """
    return tuple((phrase,) for group in _groups(text) for phrase in _phrases(group))


def phrase(text: str) -> tuple[Clause, ...]:
    """What a quoted value asks of a text field: all its tokens, in this order.

    >>> phrase("debt default")
    (((('debt',), ('default',)),),)
    """
    tokens = analyze(text)
    return ((_opened(tokens),),) if tokens else ()


def any_pattern(parts: Pattern) -> tuple[Clause, ...]:
    """What a bare value with wildcards asks of a text field: any of its words, where a wildcard stays within a token.

    >>> any_pattern(("bond", " soon"))
    (((('bond', ''),),), ((('soon',),),))
    >>> any_pattern(("恒大", "债务"))
    (((('恒大',),), (('债务',),)),)
    """
    return tuple(clause for word in _WILD.join(parts).split() if (clause := _pattern_clause(word)))


def _pattern_clause(word: str) -> Clause:
    if _RUN.search(word):  # a phrase of bigrams is a substring already: a wildcard only parts it
        return tuple(_opened(group) for group in _groups(word.replace(_WILD, " ")))
    if len(word) > MAX_TOKEN_CHARS:
        return ()
    tokens = tuple(tuple(token.split(_WILD)) for group in _groups(word) for token in group if token.strip(_WILD))
    return (tokens,) if tokens else ()


def _phrases(group: list[str]) -> Iterator[Phrase]:
    if any(_RUN.match(token) for token in group):
        yield _opened(group)
    else:
        yield from (((token,),) for token in group)


def _opened(tokens: list[str]) -> Phrase:
    """The tokens as patterns; a single Han character at an end may be half of a bigram in the text."""
    patterns: list[Pattern] = [(token,) for token in tokens]
    if len(tokens) == 1 and _lone(tokens[0]):
        return (("", tokens[0], ""),)
    if tokens and _lone(tokens[0]):
        patterns[0] = ("", tokens[0])
    if tokens and _lone(tokens[-1]):
        patterns[-1] = (tokens[-1], "")
    return tuple(patterns)


def _lone(token: str) -> bool:
    return len(token) == 1 and _RUN.match(token) is not None


def _groups(text: str) -> list[list[str]]:
    """The tokens of `text`, those together between which nothing stands."""
    normal = _normal(text)
    groups: list[list[str]] = []
    end = -1
    for found in _words(normal).finditer(normal):
        word = found[0]
        tokens = _bigrams(word) if _RUN.match(word) else _shortened([word])
        if found.start() == end:
            groups[-1] += tokens
        else:
            groups.append(tokens)
        end = found.end()
    return groups


def _bigrams(run: str) -> list[str]:
    return [run[i : i + 2] for i in range(max(1, len(run) - 1))]


def _shortened(words: list[str]) -> list[str]:
    """The words, cut to their longest, without a possessive `'s`."""
    if max(map(len, words), default=0) > MAX_TOKEN_CHARS:
        words = [word[:MAX_TOKEN_CHARS] for word in words]
    return [word.removesuffix("'s") for word in words]


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")


def _words(normal: str) -> re.Pattern[str]:
    """What finds numbers with their separators, runs of Han, and words in this text."""
    return _marked_words() if _marks().search(normal) else _WORDS  # one class a letter: 3 times as fast as a choice of two


@cache
def _marks() -> re.Pattern[str]:
    """Letters that Python's `\\w` lacks: the combining marks that Hindi and Thai words hold, and the wildcard."""
    marks = (chr(code) for code in range(0x300, 0x11000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
    return re.compile(f"[{_WILD}{''.join(marks)}]")


@cache
def _marked_words() -> re.Pattern[str]:
    letter = rf"(?:[^\W{_HAN}]|{_marks().pattern})"
    return re.compile(rf"{_WILD}*\d+(?:[.,]\d+)+{_WILD}*|[{_HAN}]+|{letter}+(?:'{letter}+)*")
