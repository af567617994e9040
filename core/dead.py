"""Dead letters as people see them: in a list, with what became of each since, and which of them are asked for."""

from datetime import datetime

from msgspec import Struct

from core.records import DeadLetter

BEGINS_BYTES = 200


class Replay(Struct, frozen=True):
    """When a letter's record was sent again, and whether with other bytes."""

    time: datetime
    mended: bool


class DeadSummary(Struct, frozen=True, kw_only=True):
    """A letter without its bytes but for how they begin; `replayed` is None while it is open."""

    place: str
    topic: str
    partition: int
    offset: int
    stage: str
    reason: str
    time: datetime
    bytes: int
    begins: str
    replayed: Replay | None = None


class DeadQuery(Struct, frozen=True, kw_only=True):
    """Which letters are asked for; `words` must all be in the reason, in any case, and `open` leaves out those that were replayed."""

    topic: str | None = None
    stage: str | None = None
    words: str = ""
    open: bool = False

    def admits(self, letter: DeadSummary) -> bool:
        """Whether a letter is among them."""
        reason = letter.reason.casefold()
        return (
            self.topic in (None, letter.topic)
            and self.stage in (None, letter.stage)
            and all(word in reason for word in self.words.casefold().split())
            and not (self.open and letter.replayed is not None)
        )


class DeadPage(Struct, frozen=True, kw_only=True):
    """Letters that were asked for, newest first: `letters` of `total`. `open` and `kept` are of all topics.

    `stages` are those that have letters. Where `older` is true there are letters before those that are kept for browsing.
    """

    letters: list[DeadSummary]
    total: int
    open: int
    kept: int
    stages: list[str]
    older: bool


def begins(raw: bytes) -> str:
    r"""How a letter's bytes begin, as text; what is not UTF-8 as escapes.

    >>> begins(b"caf\xe9")
    'caf\\xe9'
    """
    return raw[:BEGINS_BYTES].decode("utf-8", "backslashreplace")


def summary(place: str, letter: DeadLetter) -> DeadSummary:
    """A letter at its place, open."""
    return DeadSummary(
        place=place,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        stage=letter.stage,
        reason=letter.reason,
        time=letter.time,
        bytes=len(letter.raw),
        begins=begins(letter.raw),
    )


def hex_dump(raw: bytes) -> str:
    r"""Offset, bytes and characters, 16 a line.

    >>> hex_dump(b"caf\xe9")
    '00000000  63 61 66 e9                                      |caf.|'
    """
    lines = []
    for begin in range(0, len(raw), 16):
        part = raw[begin : begin + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{begin:08x}  {part.hex(' '):<47}  |{shown}|")
    return "\n".join(lines)
