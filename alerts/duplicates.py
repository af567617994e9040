"""Near-duplicate texts: retweets and reposted headlines are one voice, not many."""

import re
import unicodedata

from alerts.series import hash63

_REPOST = re.compile(r"^\s*(?:(?:rt|mt|via)\s+@\w+\s*:?\s*)+")
_URL = re.compile(r"(?:https?://|www\.)\S*")
_MENTION = re.compile(r"@\w+")
_NOT_WORD = re.compile(r"[\W_]+")


def normalise(summary: str) -> str:
    """The text without case, addresses, mentions, "RT @x:" and punctuation: equal for reposts of one text.

    >>> normalise("RT @ann: Bank run in #Ruritania!! https://t.co/x1…") == normalise("bank run in Ruritania")
    True
    """
    folded = unicodedata.normalize("NFKC", summary).casefold()
    bare = _MENTION.sub(" ", _URL.sub(" ", _REPOST.sub("", folded)))
    return _NOT_WORD.sub(" ", bare).strip()


def text_key(summary: str, match_id: str) -> int:
    """63 bits that near-duplicate texts share; the match's own where nothing but addresses and signs is left.

    >>> text_key("Bank run", "m1") == text_key("RT @ann: bank run", "m2")
    True
    >>> text_key("https://t.co/1", "m1") == text_key("https://t.co/2", "m2")
    False
    """
    return hash63(normalise(summary) or match_id)
