"""An index that lives in memory: the twin of the durable ones, held to the same conformance suite. It forgets when its process ends."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from core.clock import Clock, utc_now
from search.aggregations import checked, over
from search.documents import Document, fault
from search.index import Rejected, SearchPage, SearchRequest
from search.nodes import Node
from search.ordering import checked_sort, in_order
from search.predicate import compile_predicate
from search.timespan import admits_time


class MemoryIndex:
    """Every document in a dict, each search a pass over all of them."""

    def __init__(self, *, clock: Clock = utc_now) -> None:
        self._documents: dict[str, bytes] = {}
        self._clock = clock

    async def write(self, documents: Sequence[Document]) -> list[Rejected]:
        rejected: list[Rejected] = []
        for document in documents:
            reason = fault(document)
            if reason is None:
                self._documents[document["id"]] = msgspec.json.encode(document)
            else:
                rejected.append(Rejected(str(document.get("id", "")), reason))
        return rejected

    async def search(self, request: SearchRequest) -> SearchPage:
        begun = time.perf_counter()
        sort = checked_sort(request)
        found = in_order(self._matching(request.node, request.start, request.end), sort)
        hits = found[request.offset : request.offset + request.size]
        return SearchPage(len(found), hits, (time.perf_counter() - begun) * 1000)

    async def count(self, node: Node, *, start: datetime | None = None, end: datetime | None = None) -> int:
        return len(self._matching(node, start, end))

    async def aggregate(
        self, node: Node, aggregations: dict[str, Any], *, start: datetime | None = None, end: datetime | None = None
    ) -> dict[str, Any]:
        return over(self._matching(node, start, end), checked(aggregations))

    async def get(self, id: str) -> Document | None:  # noqa: A002 - the field's name
        stored = self._documents.get(id)
        return None if stored is None else _decoded(stored)

    async def close(self) -> None:
        return None

    def _matching(self, node: Node, start: datetime | None, end: datetime | None) -> list[Document]:
        admits = compile_predicate(node, clock=self._clock)
        in_span = admits_time(start, end)
        documents = (_decoded(stored) for stored in self._documents.values())
        return [document for document in documents if in_span(document) and admits(document)]


def _decoded(stored: bytes) -> Document:
    document: Document = msgspec.json.decode(stored)
    return document
