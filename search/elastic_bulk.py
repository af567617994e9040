"""Bulk writes: each operation is confirmed, refused for good, or tried again; the pace follows what the cluster takes.

operations ─► chunks ─► _bulk ─► each item ─► done: written, or already there (409), or already gone
                ▲                   ├─► 429, 5xx: again, in chunks of half the size
                └───────────────────┘
                                    ├─► 400: Rejected; the document is never taken
                                    └─► its index is missing or blocked, the cluster is away, or is busy for too long: Retryable
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from elasticsearch import ApiError, AsyncElasticsearch

from core import metrics
from core.errors import Retryable
from search.elastic_client import reason, translated
from search.index import Rejected

_LEAST, _MOST = 25, 2_000  # operations a request; beyond 2,000 of 900 bytes nothing is gained
_MOST_BYTES = 8_000_000  # a request is refused from 100 MB on, and held in memory whole
_MOST_STREAMS = 4
_GROW_AFTER = 4  # requests that were taken whole
_TRIES = 7  # with pauses of 0.1 to 6.4 s: longer than that, the caller waits, with its own pauses
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Operation:
    """Writes `body` under the id, or deletes what is there where there is no body."""

    id: str
    index: str
    body: bytes | None

    def lines(self) -> list[bytes]:
        """Its lines in a bulk request.

        >>> Operation("a", "i", b"{}").lines()
        [b'{"index":{"_index":"i","_id":"a"}}', b'{}']
        """
        head = msgspec.json.encode({"delete" if self.body is None else "index": {"_index": self.index, "_id": self.id}})
        return [head] if self.body is None else [head, self.body]


@dataclass(slots=True)
class Pace:
    """How much is sent at once: halved when the cluster has enough, then grown slowly.

    >>> pace = Pace(chunk=1000, streams=2)
    >>> pace.slower(); (pace.chunk, pace.streams)
    (500, 1)
    """

    chunk: int = 1_000
    streams: int = 2
    _taken: int = 0

    def slower(self) -> None:
        """The cluster has enough."""
        self.chunk, self.streams, self._taken = max(_LEAST, self.chunk // 2), max(1, self.streams // 2), 0

    def faster(self) -> None:
        """A round was taken whole."""
        self._taken += 1
        if self._taken >= _GROW_AFTER:
            self._taken = 0
            if self.chunk < _MOST:
                self.chunk = min(_MOST, self.chunk + max(_LEAST, self.chunk // 10))
            else:
                self.streams = min(_MOST_STREAMS, self.streams + 1)


@dataclass(slots=True)
class _Outcome:
    """What became of one request's operations."""

    again: list[Operation] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    too_large: bool = False


class BulkWriter:
    """Sends operations; what it learns of the cluster's pace stays for the next call."""

    def __init__(self, client: AsyncElasticsearch) -> None:
        self._client = client
        self.pace = Pace()

    async def send(self, operations: Sequence[Operation]) -> list[Rejected]:
        """Those that the cluster will never take; the others are durable. The operations have distinct ids or indices.

        Raises Retryable where not all were; some may be durable then, and a repeat overwrites them.
        """
        waiting, rejected, failures = list(operations), list[Rejected](), 0
        while waiting:
            chunks, waiting = _cut(waiting, self.pace)
            outcomes = await asyncio.gather(*map(self._request, chunks), return_exceptions=True)
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
                rejected += outcome.rejected
                waiting += outcome.again
            if any(outcome.again for outcome in outcomes if isinstance(outcome, _Outcome)):
                self.pace.slower()
                busy = not any(outcome.too_large for outcome in outcomes if isinstance(outcome, _Outcome))
                failures += busy
                await self._pause(failures, len(waiting)) if busy else None
            else:
                self.pace.faster()
                failures = 0
        return rejected

    async def _pause(self, failures: int, waiting: int) -> None:
        if failures >= _TRIES:
            raise Retryable(f"Elasticsearch is too busy: {waiting} documents were turned away {failures} times")
        metrics.INDEX_BUSY.inc()
        await asyncio.sleep(_PAUSE_S * 2 ** (failures - 1) * random.uniform(0.5, 1.0))  # noqa: S311 - spreads workers

    async def _request(self, chunk: list[Operation]) -> _Outcome:
        lines = [line for operation in chunk for line in operation.lines()]
        with translated("writing documents"):
            try:
                answer = await self._client.bulk(operations=lines)
            except ApiError as error:
                if error.meta.status == 429:
                    return _Outcome(again=chunk)
                if error.meta.status == 413:
                    return _too_large(chunk)
                raise
        return _sorted(chunk, answer["items"])


def _too_large(chunk: list[Operation]) -> _Outcome:
    if len(chunk) > 1:
        return _Outcome(again=chunk, too_large=True)
    return _Outcome(
        rejected=[Rejected(chunk[0].id, "is larger than Elasticsearch takes in one request (http.max_content_length)")]
    )


def _sorted(chunk: list[Operation], items: list[dict[str, Any]]) -> _Outcome:
    """Each operation by what its item says; raises Retryable where its index is missing or blocked."""
    outcome = _Outcome()
    for operation, item in zip(chunk, items, strict=True):
        ((kind, answer),) = item.items()
        status, error = answer["status"], answer.get("error")
        if status < 300 or status == 409 or (kind == "delete" and error is None):
            continue
        if status == 429 or status >= 500:
            outcome.again.append(operation)
        elif status == 400:
            outcome.rejected.append(Rejected(operation.id, f"Elasticsearch refuses it: {_causes(error)}"))
        else:  # no index, no right to write it, a block: nothing that the document could be blamed for
            raise Retryable(f"writing to {operation.index}: {reason({'error': error})}")
    return outcome


def _causes(error: Any) -> str:
    """The reasons from the outermost to the innermost.

    >>> _causes({"reason": "failed to parse", "caused_by": {"reason": "For input string"}})
    'failed to parse: For input string'
    """
    causes: list[str] = []
    while isinstance(error, dict):
        causes.append(str(error.get("reason")))
        error = error.get("caused_by")
    return ": ".join(causes)[:500]


def _cut(waiting: list[Operation], pace: Pace) -> tuple[list[list[Operation]], list[Operation]]:
    """As many chunks as are sent side by side, and the rest.

    >>> chunks, rest = _cut([Operation(str(i), "i", b"{}") for i in range(5)], Pace(chunk=2, streams=2))
    >>> [len(chunk) for chunk in chunks], len(rest)
    ([2, 2], 1)
    """
    chunks: list[list[Operation]] = []
    at = 0
    while at < len(waiting) and len(chunks) < pace.streams:
        size, end = 0, at
        while end < len(waiting) and end - at < pace.chunk and (end == at or size < _MOST_BYTES):
            size += len(waiting[end].body or b"")
            end += 1
        chunks.append(waiting[at:end])
        at = end
    return chunks, waiting[at:]
