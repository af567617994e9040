"""What of an input a broker holds already, so that a replay goes on where it was and sends nothing twice, however it ended.

Every message that a replay sends names its file and line in a header. A checkpoint beside the data tells up to which line of each file
all was confirmed, and where the raw topics ended then; what they hold behind that is read from the broker itself.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from core.errors import ConfigError, Retryable
from core.settings import Settings
from core.topics import RAW
from streams.messages import Outgoing, Received
from streams.partition_reader import PartitionReader

HEADER = "replayed-from"


class Checkpoint(msgspec.Struct, frozen=True):
    """The last line of each file up to which all is confirmed, and the ends of the raw topics when that was so."""

    lines: dict[str, int] = {}
    ends: list[tuple[str, int, int]] = []


@dataclass(slots=True)
class Replayed:
    """The lines that were sent, by file; those after the checkpoint one by one, since partitions may have taken some and not others."""

    file: Path
    lines: dict[str, int] = field(default_factory=dict)
    beyond: set[tuple[str, int]] = field(default_factory=set)

    def has(self, source: str, line: int) -> bool:
        """Whether the line was sent before.

        >>> replayed = Replayed(Path("feed.json"), {"news": 2}, {("news", 4)})
        >>> [replayed.has("news", line) for line in (2, 3, 4)]
        [True, False, True]
        """
        return line <= self.lines.get(source, 0) or (source, line) in self.beyond

    def save(self, lines: Mapping[str, int], ends: Mapping[tuple[str, int], int]) -> None:
        """Write down that all up to `lines` is confirmed and lies before `ends`; the file is replaced in one step."""
        self.lines = {**self.lines, **lines}
        self.beyond = {(source, line) for source, line in self.beyond if line > self.lines.get(source, 0)}
        written = self.file.with_suffix(".new")
        checkpoint = Checkpoint(self.lines, [(topic, number, end) for (topic, number), end in ends.items()])
        with written.open("wb") as output:
            output.write(msgspec.json.encode(checkpoint))
            output.flush()
            os.fsync(output.fileno())
        written.replace(self.file)


def marked(message: Outgoing, source: str, line: int) -> Outgoing:
    """The message with a header that names its file and line.

    >>> marked(Outgoing("news.raw", b"{}"), "news.jsonl", 7).headers
    (('replayed-from', b'7 news.jsonl'),)
    """
    return msgspec.structs.replace(message, headers=(*message.headers, (HEADER, f"{line} {source}".encode())))


def open_replayed(settings: Settings, file: Path) -> Replayed:
    """What earlier replays have sent, from the checkpoint in `file` and from what the raw topics hold behind it."""
    try:
        checkpoint = msgspec.json.decode(file.read_bytes(), type=Checkpoint)
    except (OSError, msgspec.DecodeError):
        checkpoint = Checkpoint()
    starts = {(topic, number): end for topic, number, end in checkpoint.ends}
    beyond = {place for message in _tail(settings, starts) if (place := _place(message.headers)) is not None}
    return Replayed(file, dict(checkpoint.lines), beyond)


def _place(headers: Any) -> tuple[str, int] | None:
    """File and line that a message's headers name.

    >>> _place([("replayed-from", b"7 news.jsonl")]), _place([])
    (('news.jsonl', 7), None)
    """
    for name, value in headers:
        line, _, source = value.decode("utf-8", "replace").partition(" ")
        if name == HEADER and line.isdecimal():
            return source, int(line)
    return None


def _tail(settings: Settings, starts: Mapping[tuple[str, int], int]) -> Iterator[Received]:
    """The messages of the raw topics from `starts` on (0 where it names none) to their present ends."""
    try:
        reader = PartitionReader(settings)
    except ConfigError as error:
        raise Retryable(f"the raw topics cannot be read: {error}") from error
    with reader:
        for place, (_, end) in reader.bounds(topic.name for topic in RAW.values()).items():
            yield from reader.messages(place, starts.get(place, 0), end)
