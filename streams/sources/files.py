"""JSON Lines and CSV files as raw records, with the line each came from."""

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import msgspec

from core.errors import ConfigError, InvalidRecord
from core.topics import RAW
from streams.messages import Outgoing
from streams.sources.formats import Format


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One record of a file: its kind (news, social, transactions, labels), bytes, event time if it tells one, and its line.

    `source` names the file, where a replay must know it again.
    """

    kind: str
    raw: bytes
    time: datetime | None
    line: int
    reason: str | None = None
    source: str = ""

    def message(self) -> Outgoing:
        """The message for the raw topic, keyed so that what belongs together meets: a label's key is its transaction."""
        head = _head(self.raw)
        key = head.transaction_id if self.kind == "labels" else head.id
        return Outgoing(RAW[self.kind].name, self.raw, key=key.encode("utf-8", "replace") if isinstance(key, str) else None)


class _Head(msgspec.Struct, frozen=True):
    """The few fields that a source must know; of any type, since checking is the worker's task."""

    id: Any = None
    transaction_id: Any = None
    published: Any = None
    time: Any = None


_head_decoder = msgspec.json.Decoder(_Head)


def _head(raw: bytes) -> _Head:
    try:
        return _head_decoder.decode(raw)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError):
        return _Head()


def event_time(raw: bytes) -> datetime | None:
    """The aware event time that a JSON record states, if any.

    >>> event_time(b'{"published": "2022-11-08T13:58:33Z"}').year
    2022
    """
    head = _head(raw)
    stamp = head.published if head.published is not None else head.time
    if not isinstance(stamp, str):
        return None
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def read_file(path: Path, kind: str, record_format: Format | None = None) -> Iterator[SourceRecord]:
    """The records of a file (`-` = standard input): CSV where a format is given, else JSON Lines; blank lines are skipped.

    A CSV row that the format cannot map comes out with `reason` set, so that it can be sent to the dead-letter topic.
    """
    with _open(path) as stream:
        if record_format is None:
            yield from _read_lines(stream, kind)
        else:
            yield from _read_csv(stream, kind, record_format, path)


def _read_lines(stream: IO[bytes], kind: str) -> Iterator[SourceRecord]:
    for number, line in enumerate(stream, start=1):
        raw = line.strip()
        if raw:
            yield SourceRecord(kind, raw, event_time(raw), number)


def _read_csv(stream: IO[bytes], kind: str, record_format: Format, path: Path) -> Iterator[SourceRecord]:
    rows = csv.DictReader(line.decode("utf-8-sig" if number == 0 else "utf-8", "replace") for number, line in enumerate(stream))
    record_format.check_columns(rows.fieldnames or (), file=str(path))
    for row in rows:
        try:
            record = record_format.label(row) if kind == "labels" else record_format.transaction(row)
        except InvalidRecord as error:
            yield SourceRecord(kind, msgspec.json.encode(row), None, rows.line_num, reason=str(error))
            continue
        raw = msgspec.json.encode(record)
        yield SourceRecord(kind, raw, record.time, rows.line_num)


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        raise ConfigError(f"cannot read the input: {error.strerror}", file=str(path)) from error


def input_files(folder: Path) -> list[tuple[str, Path]]:
    """The replayable files of a folder, `<kind>*.jsonl`, as (kind, path)."""
    if not folder.is_dir():
        raise ConfigError("no such folder; give --input a folder with news*.jsonl, social*.jsonl, …", file=str(folder))
    found = [(kind, path) for kind in RAW for path in sorted(folder.glob(f"{kind}*.jsonl"))]
    if not found:
        raise ConfigError(f"holds no file named {', '.join(f'{kind}*.jsonl' for kind in RAW)}", file=str(folder))
    return found
