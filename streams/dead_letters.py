"""Dead letters on a topic: the bytes untouched as the value, everything else in headers, so that a 900 kB record still fits.

Kafka Connect keeps its dead letters in the same way (`__connect.errors.*` headers).
"""

from collections import deque
from collections.abc import Iterable
from datetime import datetime

from core.clock import from_epoch_s, rfc3339
from core.errors import GroundswellError, InvalidRecord
from core.records import DeadLetter
from core.topics import DEAD_SUFFIX
from streams.messages import Outgoing, Received

_PREFIX = "groundswell."
_MAX_REASON_CHARS = 2_000
_WINDOW = 1_000


class TooManyDeadLetters(GroundswellError):
    """Most records fail: a wrong topic, a wrong format or a broken release, not a few bad records."""


def to_message(letter: DeadLetter) -> Outgoing:
    """The message that carries a dead letter to `<topic>.dead`."""
    fields = {
        "reason": letter.reason[:_MAX_REASON_CHARS],
        "stage": letter.stage,
        "topic": letter.topic,
        "partition": str(letter.partition),
        "offset": str(letter.offset),
        "time": rfc3339(letter.time),
    }
    headers = tuple((_PREFIX + name, value.encode("utf-8", "backslashreplace")) for name, value in fields.items())
    return Outgoing(letter.topic + DEAD_SUFFIX, letter.raw, key=letter.key, headers=headers)


def dead_letter_of(message: Received, reason: str, *, stage: str, now_s: float) -> Outgoing:
    """The dead letter of a message that failed in `stage`, ready to send."""
    letter = DeadLetter(
        raw=message.value,
        reason=reason,
        stage=stage,
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        time=from_epoch_s(now_s),
        key=message.key,
    )
    return to_message(letter)


def from_message(value: bytes, key: bytes | None, headers: Iterable[tuple[str, bytes]]) -> DeadLetter:
    """The dead letter that a message carries; `InvalidRecord` where a header is missing."""
    fields = {name.removeprefix(_PREFIX): content.decode("utf-8", "replace") for name, content in headers}
    try:
        return DeadLetter(
            raw=value,
            reason=fields["reason"],
            stage=fields["stage"],
            topic=fields["topic"],
            partition=int(fields["partition"]),
            offset=int(fields["offset"]),
            time=datetime.fromisoformat(fields["time"]),
            key=key,
        )
    except (KeyError, ValueError) as error:
        raise InvalidRecord(f"not a dead letter of Groundswell: {error}") from error


class DeadRatio:
    """Raises `TooManyDeadLetters` once more than `limit` of the last 1,000 records of a stage were dead letters.

    Without it a misconfiguration sends everything to the dead-letter topic unnoticed.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._recent: deque[bool] = deque(maxlen=_WINDOW)
        self._dead = 0

    def count(self, good: int, dead: int) -> None:
        """Take in one batch's outcome."""
        for was_dead in [False] * good + [True] * dead:
            if len(self._recent) == _WINDOW:
                self._dead -= self._recent[0]
            self._recent.append(was_dead)
            self._dead += was_dead
        if len(self._recent) == _WINDOW and self._dead > self._limit * _WINDOW:
            raise TooManyDeadLetters(
                f"{self._dead} of the last {_WINDOW} records went to the dead-letter topic; look at `groundswell dead list`, "
                "mend the source or the mapping, or raise max_dead_ratio; nothing is lost: offsets of these records stay uncommitted"
            )
