"""Listed securities' names → the names that news gives their companies."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_NOT_COMMON_STOCK = re.compile(
    r"\b(?:ETF|ETN|Funds?|Warrants?|Rights?|Notes?|Debentures?|Preferred|Preference|Acquisitions?|Bonds?|iShares|ProShares|SPDR|"
    r"Subordinated|Municipal|When.Issued|Perpetual|Cumulative|Capital Pool|Blank Check|due 20\d\d)\b|%|"
    r"(?<!common )\bunits?\b|(?<!American )\bDepositary Shares",
    re.IGNORECASE,
)
_SHARES = re.compile(
    r"(?:\s*-\s+|,?\s+|\s*\()(?:(?:Class|Series) [A-Z]\b|New Common|Common ?(?:Stock|Shares?|Units?)|Ordinary Shares?|Capital Stock|"
    r"(?:Sponsored )?American Deposit[ao]ry|ADS\b|ADRs?\b|New York Registry|Registered Shares|Subordinate|Limited Voting|Voting|"
    r"Shares of Beneficial|Depositary Receipts).*$",
    re.IGNORECASE,
)
_LEGAL = re.compile(
    r"(?:,?\s+(?:Inc|Incorporated|Corp|Corporation|Co|Company|Companies|Ltd|Limited|LLC|L\.L\.C|plc|p\.l\.c|N\.?V|S\.?A|S\.?A\.?B|S\.?E|AG|A/S|"
    r"ASA|AB|S\.p\.A|L\.?P|de C\.V|Co\., Ltd|& Co|and Company)\b\.?"
    r"|\s+\((?:The|NV|DE|Delaware|Canada|Ireland|[A-Z][a-z]+)\)|,? \(The\))\s*$",
    re.IGNORECASE,
)
_GENERIC_COUNT = 12  # a word that ends so many companies' names (Holdings, Therapeutics) says nothing of which company it is
_SHORT_LETTERS = 4


@dataclass(frozen=True, slots=True)
class Names:
    """What a company is called: `legal` with its form (Root Inc), `plain` without (Root)."""

    legal: str
    plain: str


def company_names(security: str) -> Names | None:
    """The company behind a listed security; None for funds, notes, warrants, preferred stock and blank-check shells.

    >>> company_names("Agilent Technologies, Inc. Common Stock")
    Names(legal='Agilent Technologies Inc', plain='Agilent Technologies')
    >>> company_names("Gap, Inc. (The) Common Stock").plain, company_names("Arbor Realty Trust 6.375% Series D Preferred Stock")
    ('Gap', None)
    """
    if _NOT_COMMON_STOCK.search(security):
        return None
    named = _SHARES.sub("", f"{security} ").strip(" ,-")
    plain = strip_legal_form(named)
    if named == security.strip() and plain == named:
        return None  # neither a class of shares nor a legal form: a fund, or a name that the exchange cut off
    legal = re.sub(r"[.,]", "", re.sub(r"\s*\([^)]*\)", "", named)).strip()
    return Names(legal=legal, plain=plain) if re.search(r"[^\W\d_]", plain) and len(plain) > 1 else None


def strip_legal_form(name: str) -> str:
    """The name without Inc., Corp. and their like, however many follow each other.

    >>> strip_legal_form("Alibaba Group Holding Limited"), strip_legal_form("Merck & Company, Inc.")
    ('Alibaba Group Holding', 'Merck')
    """
    while (shorter := _LEGAL.sub("", name).rstrip(" ,.&")) != name and shorter:
        name = shorter
    return re.sub(r"^The\s+(?=\S\S)", "", name)


def generic_endings(names: Iterable[str]) -> frozenset[str]:
    """Words that end many of the names."""
    counts = Counter(name.split()[-1] for name in names if " " in name)
    return frozenset(word for word, count in counts.items() if count >= _GENERIC_COUNT)


def short_forms(names: Sequence[str], *, vocabulary: frozenset[str]) -> dict[str, str]:
    """Name → its short form, for names that end in generic words; only unique ones with a word that is no English word or name.

    >>> names = ["Coinbase Global", "Lincoln Global", *(f"Firm{i} Global" for i in range(12))]
    >>> short = short_forms(names, vocabulary=frozenset({"lincoln"}))
    >>> short["Coinbase Global"], "Lincoln Global" in short
    ('Coinbase', False)
    """
    generic = generic_endings(names)
    shortened = {name: _without_endings(name, generic) for name in names}
    uses = Counter(short.lower() for short in shortened.values())
    uses.update(name.lower() for name in names if shortened[name] != name)
    return {
        name: short
        for name, short in shortened.items()
        if short != name and uses[short.lower()] == 1 and _is_distinctive(short, vocabulary)
    }


def _without_endings(name: str, generic: frozenset[str]) -> str:
    words = name.split()
    while len(words) > 1 and words[-1] in generic:
        words.pop()
    return " ".join(words)


def _is_distinctive(short: str, vocabulary: frozenset[str]) -> bool:
    """Whether some word of four letters or more is in no dictionary."""
    return any(len(word) >= _SHORT_LETTERS and word.lower() not in vocabulary for word in re.findall(r"[^\W\d_]+", short))
