"""The one normalisation that training and serving share: a model must see at run time what it saw in training."""

import html
import re

# A URL ends at the first character that is not visible ASCII, so that Chinese text right after it survives.
URL = re.compile(r"(?:https?:|www\.|pic\.twitter\.com/)[!-~]*[…]?", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u2060\ufeff\ud800-\udfff]")
_NOT_WORD = re.compile(r"[\W_]+")


def clean(text: str) -> str:
    """The text with HTML entities decoded, URLs removed, and control characters and lone surrogates as spaces; line breaks stay.

    URLs go because 47 % of the sentiment tweets and 89 % of the topic tweets carry one, and short links are unique: they make
    duplicates look new and teach nothing.

    >>> clean("Exxon &amp; Chevron rise https://t.co/bd0xbFGjkT\\nOil up\\x00")
    'Exxon & Chevron rise \\nOil up '
    """
    return _CONTROL.sub(" ", URL.sub("", html.unescape(text)))


def collapse(text: str) -> str:
    """The text on one line, with single spaces and no blanks at its ends.

    >>> collapse(" Oil\\n up ")
    'Oil up'
    """
    return " ".join(text.split())


def normalize(text: str) -> str:
    """What the tokenizer is given: `clean` text on one line.

    >>> normalize("AT&amp;T  cut to sell\\nhttps://t.co/x")
    'AT&T cut to sell'
    """
    return collapse(clean(text))


def duplicate_key(text: str) -> str:
    """Equal for texts that differ only in URLs, case, punctuation or blanks; what a leak-free split is made by.

    >>> duplicate_key("Oil UP! https://t.co/a") == duplicate_key("oil up www.example.com")
    True
    """
    return _NOT_WORD.sub(" ", normalize(text).lower()).strip()
