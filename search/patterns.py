"""Wildcard patterns, held as their literal parts: `a*b` is `("a", "b")`."""

from collections.abc import Callable

from search.nodes import Operator, Pattern

_REGEX_META = frozenset("\\.+*?()|[]{}^$")


def pattern(text: str) -> Pattern:
    """The pattern of `text`, in which every `*` is a wildcard.

    >>> pattern("extra.*")
    ('extra.', '')
    """
    return tuple(text.split("*"))


def matches(parts: Pattern, text: str) -> bool:
    """Whether the whole of `text` matches; linear in its length, whatever the number of wildcards.

    >>> matches(("neg", ""), "negative"), matches(("", "it", "e"), "negative"), matches(("neg",), "negative")
    (True, False, False)
    """
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return text == first
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in parts[1:-1]:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def spelled(parts: Pattern) -> str:
    r"""The pattern as one types it, a literal `*` written `\*`.

    >>> print(spelled(("5*3", "")))
    5\*3*
    """
    return "*".join(part.replace("\\", "\\\\").replace("*", "\\*") for part in parts)


def regex(parts: Pattern, *, anything: str = "(?s:.)*") -> str:
    r"""A regular expression of the Rust `regex` crate for the whole text; `anything` is what a wildcard stands for.

    >>> print(regex(("a.b", "c")))
    a\.b(?s:.)*c
    """
    return anything.join(escaped(part) for part in parts)


def escaped(text: str) -> str:
    r"""`text` as a regular expression that matches just it.

    >>> print(escaped("3.5 (net)"))
    3\.5 \(net\)
    """
    return "".join(f"\\{char}" if char in _REGEX_META else char for char in text)


def beyond(operator: Operator, bound: str) -> Callable[[str], bool]:
    """A function that tells whether a text compares so to `bound`, by code points.

    >>> beyond(">", "9")("10")
    False
    """
    match operator:
        case ">=":
            return lambda value: value >= bound
        case ">":
            return lambda value: value > bound
        case "<=":
            return lambda value: value <= bound
        case "<":
            return lambda value: value < bound
