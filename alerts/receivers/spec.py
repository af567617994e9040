"""Receivers as the rule file names them."""

import base64
import binascii
from dataclasses import dataclass, field

_SECRET_PREFIX = "whsec_"  # noqa: S105  (the public prefix of the Standard Webhooks specification, not a secret)


@dataclass(frozen=True, slots=True)
class ConsoleSpec:
    """One line per transition on the worker's output."""

    name: str


@dataclass(frozen=True, slots=True)
class WebhookSpec:
    """A Standard Webhooks endpoint. `url` and `secrets` are kept out of the repr: chat webhooks carry their token in the path.

    Several secrets sign side by side while a key is being rotated.
    """

    name: str
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    allow_private: bool = False


ReceiverSpec = ConsoleSpec | WebhookSpec


def check_secret(secret: str) -> None:
    """Nothing where `secret` is `whsec_` and base64 of 24 to 64 bytes; else ValueError that never quotes it.

    >>> check_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    """
    advice = "a webhook secret is whsec_ followed by base64 of 24 to 64 random bytes"
    if not secret.startswith(_SECRET_PREFIX):
        raise ValueError(advice)
    try:
        size = len(base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True))
    except binascii.Error:
        raise ValueError(advice) from None  # the cause would quote the secret
    if not 24 <= size <= 64:
        raise ValueError(f"{advice}; this one has {size} bytes")
