"""What travels between the transaction stages: payments and labels on their way to a terminal's and a customer's history."""

import msgspec

from core.errors import InvalidRecord
from core.records import Label, Transaction


class Place(msgspec.Struct, frozen=True, tag="place"):
    """Which customer and terminal a payment belongs to."""

    transaction_id: str
    customer_id: str
    terminal_id: str


class Payment(msgspec.Struct, frozen=True, tag="payment"):
    """A payment; past the terminal's stage with the terminal's history as `models.fraud.history.Ring.encode` gives it."""

    transaction: Transaction
    terminal_ring: bytes | None = None


class PlacedLabel(msgspec.Struct, frozen=True, tag="label"):
    """A label that knows where it belongs."""

    label: Label
    place: Place


class Joining(msgspec.Struct, frozen=True):
    """What is known so far of one transaction id: its place, its label, or both."""

    place: Place | None = None
    label: Label | None = None


Step = Payment | PlacedLabel
_encoder = msgspec.msgpack.Encoder()
_step_decoder = msgspec.msgpack.Decoder(Step)
_place_decoder = msgspec.msgpack.Decoder(Place)
_joining_decoder = msgspec.msgpack.Decoder(Joining)


def encode_step(step: Step | Place | Joining) -> bytes:
    """MessagePack of a step."""
    return _encoder.encode(step)


def decode_step(raw: bytes) -> Step:
    """The payment or label in a message; `InvalidRecord` where there is none."""
    try:
        step: Step = _step_decoder.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidRecord(f"not a step between transaction stages: {error}") from error
    return step


def decode_place(raw: bytes) -> Place:
    """The place in a message of `transactions.places`; `InvalidRecord` where there is none."""
    try:
        return _place_decoder.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidRecord(f"not the place of a transaction: {error}") from error


def decode_joining(raw: bytes | None) -> Joining:
    """The state of one transaction id; empty where there is none yet."""
    return Joining() if raw is None else _joining_decoder.decode(raw)
