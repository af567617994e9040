"""Ids derived from content, so that a replay overwrites and never duplicates."""

import hashlib

_DIGEST_BYTES = 16  # 128 bits: a collision among 10^12 events has a probability below 10^-14


def content_id(kind: str, *parts: str) -> str:
    """A stable id for `parts`: the kind and 32 hex digits of BLAKE2b; parts are length-prefixed, so they cannot run together.

    >>> len(content_id("news", "reuters", "42"))
    37
    >>> content_id("news", "a", "bc") == content_id("news", "ab", "c")
    False
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in (kind, *parts):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    return f"{kind}-{digest.hexdigest()}"
