"""What is known of a transaction's id: where its payment went, or the label that waits for it."""

import msgspec

from core.clock import epoch_s
from core.records import Label


class Joining(msgspec.Struct, frozen=True, array_like=True):
    """`place` is customer, terminal and time of the payment; `partition` and `offset` tell which message of labels.raw waits."""

    place: tuple[str, str, float] | None = None
    waiting: Label | None = None
    partition: int = 0
    offset: int = 0

    def until_s(self, wait_s: float, keep_s: float) -> float:
        """Until which event time it is of use: a label for `wait_s`, a place for as long as a history may hold its payment.

        >>> Joining(("C", "T", 5.0)).until_s(1.0, 10.0)
        15.0
        """
        if self.place is not None:
            return self.place[2] + keep_s
        return epoch_s(self.waiting.time) + wait_s if self.waiting is not None else 0.0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Joining)


def encode_joining(joining: Joining) -> bytes:
    """MessagePack of what is known."""
    return _encoder.encode(joining)


def decode_joining(raw: bytes | None) -> Joining:
    """What `encode_joining` wrote; nothing known where there is none."""
    return Joining() if raw is None else _decoder.decode(raw)
