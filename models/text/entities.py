"""The entities of a watchlist that a text names, found by one Aho-Corasick pass and one pass for tickers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ahocorasick_rs import AhoCorasick, Implementation

from core.records import Entity
from models.text.normalize import URL
from models.text.watchlist import Watchlist, WatchlistEntry

COMMON_WORDS = Path(__file__).parent.parent / "watchlists" / "common_words.txt"

_BARE_LETTERS = 3  # two-letter tickers are words or states far more often than companies
_CAPITALS = 4  # a name of so few letters, all capitals (KLA, RTX), is not looked for in lower case
_WORD = re.compile(r"[^\W\d_]+")
_CASHTAG = re.compile(r"(?<![\w$])\$([A-Za-z]{1,6}(?:[.\-][A-Za-z]{1,2})?|[0-9]{4,6}\.[A-Za-z]{2})(?!\w)")
_BARE_TICKER = re.compile(r"(?<![\w$@#&.'’\-])[A-Z]{3,5}(?![\w&'’]|[.\-]\w)")
_FOLDED = str.maketrans({"’": "'", "‘": "'", "‐": "-", "‑": "-", "–": "-", "\u00a0": " ", "\n": " ", "\t": " "})
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A phrase as it is looked for: `exact` is its only allowed spelling, None where case does not matter.

    `entry` is None for a phrase that hides the names within it.
    """

    entry: WatchlistEntry | None
    exact: str | None
    bounded: tuple[bool, bool]


@dataclass(frozen=True, slots=True)
class _Mention:
    start: int
    end: int
    entry: WatchlistEntry | None


class EntityLinker:
    """Finds a watchlist's entities in texts.

    A name is found whole: between letters or digits of an alphabet it is not, while Chinese needs no boundary. Case is ignored
    but for names of common English words alone (Apple, Best Buy) or of few capitals (RTX), which must be written as in the
    list. `$AAPL` always counts, `AAPL` in capitals if it has three letters and is no common word or acronym. Of overlapping
    names the earliest and longest counts. Names inside a URL do not count.
    """

    def __init__(self, watchlist: Watchlist, *, common_words: frozenset[str] | None = None) -> None:
        words = load_common_words() if common_words is None else common_words
        folded: dict[str, _Pattern] = {}
        for entry in watchlist.entries:
            for surface in entry.surfaces:
                for spelling in _spellings(surface):
                    folded.setdefault(_fold(spelling), _pattern(entry, spelling, words))
            for phrase in entry.excludes:
                folded[_fold(phrase)] = _Pattern(entry=None, exact=None, bounded=(_joins(phrase[0]), _joins(phrase[-1])))
        self._patterns = tuple(folded.values())
        self._automaton = AhoCorasick(list(folded), implementation=Implementation.ContiguousNFA) if folded else None
        self._cashtags = {ticker: entry for entry in watchlist.entries for ticker in entry.tickers}
        self._bare = {ticker: entry for ticker, entry in self._cashtags.items() if ticker.lower() not in words}

    def link(self, text: str) -> tuple[Entity, ...]:
        """Every mention, in order and without overlap; `start` and `end` index `text` as it was given."""
        hidden = [match.span() for match in URL.finditer(text)] if "http" in text or "www." in text else []
        found = [
            mention
            for mention in (*self._named(text), *self._tickers(text))
            if not any(start < mention.end and mention.start < end for start, end in hidden)
        ]
        found.sort(key=lambda mention: (mention.start, -mention.end))
        return tuple(_entities(text, found))

    def _named(self, text: str) -> Iterator[_Mention]:
        if self._automaton is None:
            return
        for index, start, end in self._automaton.find_matches_as_indexes(_fold(text), overlapping=True):
            pattern = self._patterns[index]
            if pattern.exact is not None and text[start:end] != pattern.exact:
                continue
            before, after = pattern.bounded
            if (before and start > 0 and _joins(text[start - 1])) or (after and end < len(text) and _joins(text[end])):
                continue
            yield _Mention(start=start, end=end, entry=pattern.entry)

    def _tickers(self, text: str) -> Iterator[_Mention]:
        for match in _CASHTAG.finditer(text):
            entry = self._cashtags.get(match[1].upper())
            if entry is not None:
                yield _Mention(start=match.start(), end=match.end(), entry=entry)
        for match in _BARE_TICKER.finditer(text):
            entry = self._bare.get(match[0])
            if entry is not None:
                yield _Mention(start=match.start(), end=match.end(), entry=entry)


@cache
def load_common_words(path: Path = COMMON_WORDS) -> frozenset[str]:
    """English words and acronyms in lower case that are no company unless written as one."""
    return frozenset(path.read_text(encoding="utf-8").split())


def _spellings(surface: str) -> tuple[str, ...]:
    """The name, and where it has an ampersand the ways that feeds write it.

    >>> _spellings("AT&T")
    ('AT&T', 'AT&amp;T')
    """
    if "&" not in surface:
        return (surface,)
    return (surface, surface.replace("&", "&amp;"), *([surface.replace(" & ", " and ")] if " & " in surface else []))


def _pattern(entry: WatchlistEntry, surface: str, words: frozenset[str]) -> _Pattern:
    common = all(word in words for word in _WORD.findall(surface.lower()))
    exact = surface if common or (surface.isupper() and len(surface) <= _CAPITALS) else None
    return _Pattern(entry=entry, exact=exact, bounded=(_joins(surface[0]), _joins(surface[-1])))


def _joins(character: str) -> bool:
    """Whether a character would run a word on: letters and digits, but not those of scripts written without blanks.

    >>> [_joins(character) for character in "a5恒ア'"]
    [True, True, False, False, False]
    """
    return character.isalnum() and not ("\u0e00" <= character <= "\u0eff" or "\u2e80" <= character <= "\u9fff")


def _fold(text: str) -> str:
    """Lower case, plain apostrophes and blanks, and no lone surrogates; as long as the text, so that offsets hold.

    >>> _fold("McDonald’s İŞ"), len(_fold("İŞ"))
    ("mcdonald's İş", 2)
    """
    lowered = text.lower()
    if len(lowered) != len(text):
        lowered = "".join(lower if len(lower := character.lower()) == 1 else character for character in text)
    return _SURROGATE.sub("\ufffd", lowered.translate(_FOLDED))


def _entities(text: str, mentions: list[_Mention]) -> Iterator[Entity]:
    """The mentions that overlap none before them."""
    free_from = 0
    for mention in mentions:
        if mention.start < free_from:
            continue
        free_from = mention.end
        if (entry := mention.entry) is not None:
            words = text[mention.start : mention.end]
            yield Entity(id=entry.id, name=entry.name, mention=words, start=mention.start, end=mention.end)
