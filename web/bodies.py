"""A request body split into raw records, each with the number that its sender knows it by."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from starlette.requests import Request

from core.codec import MAX_RECORD_BYTES
from web.responses import BadRequest

__all__ = ["JSON", "MAX_BODY_BYTES", "MAX_RECORDS", "MAX_RECORD_BYTES", "RawRecord", "media_type", "read_body", "split_body"]

MAX_BODY_BYTES = 5_000_000
MAX_RECORDS = 20_000  # at 250 bytes each, a small transaction, the body limit is reached first

JSON = "application/json"
_LINES = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "application/json-lines"}
)
_EXPECTED = "send application/json (one object or an array of objects) or application/x-ndjson (one object a line)"


@dataclass(frozen=True, slots=True)
class RawRecord:
    """The bytes of one record; `line` counts from 1: the line of a JSONL body, or the place in an array."""

    line: int
    raw: bytes


async def read_body(request: Request) -> bytes:
    """The whole body; raises BadRequest (413) as soon as it is known to be over the limit, without reading on."""
    too_large = BadRequest(f"the body is over {MAX_BODY_BYTES:,} bytes; send it in parts", status=413)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise too_large
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise BadRequest("compressed bodies are not accepted; send the body without Content-Encoding", field="Content-Encoding")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


def media_type(content_type: str) -> str:
    """The media type of a Content-Type header, without its parameters.

    >>> media_type("Application/JSON; charset=utf-8")
    'application/json'
    """
    return content_type.partition(";")[0].strip().lower()


def split_body(content_type: str, body: bytes) -> list[RawRecord]:
    r"""The records of `body` as they came, byte for byte; a line of JSONL is not checked here, so that bad lines can be kept.

    >>> [(record.line, record.raw) for record in split_body("application/json", b'[{"a": 1}, {"a": 2}]')]
    [(1, b'{"a": 1}'), (2, b'{"a": 2}')]
    >>> [record.line for record in split_body("application/x-ndjson", b'{"a": 1}\r\n\n{"a":')]
    [1, 3]
    """
    kind = media_type(content_type)
    body = body.removeprefix(b"\xef\xbb\xbf")
    if kind != JSON and kind not in _LINES:
        raise BadRequest(f"the content type {kind or '(none)'} is not taken here; {_EXPECTED}", field="Content-Type")
    if not body.strip():
        raise BadRequest(f"the body is empty; {_EXPECTED}")
    records = _json_records(body.strip()) if kind == JSON else list(_json_lines(body))
    if len(records) > MAX_RECORDS:
        raise BadRequest(
            f"{len(records):,} records are over the limit of {MAX_RECORDS:,} a request; send them in parts", status=413
        )
    return records


def _json_records(body: bytes) -> list[RawRecord]:
    if body[:1] not in b"[{":
        raise BadRequest(f"the body is neither a JSON object nor an array; {_EXPECTED}")
    try:
        if body.startswith(b"{"):
            msgspec.json.decode(body, type=msgspec.Raw)
            return [RawRecord(1, body)]
        items = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        hint = " (several objects, one a line, are application/x-ndjson)" if b"\n{" in body else ""
        raise BadRequest(f"the body is not valid JSON: {error}{hint}") from error
    return [RawRecord(line, bytes(item)) for line, item in enumerate(items, start=1)]


def _json_lines(body: bytes) -> Iterator[RawRecord]:
    for number, line in enumerate(body.split(b"\n"), start=1):
        if raw := line.strip():
            yield RawRecord(number, raw)
