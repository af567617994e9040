"""The index of scored events, as its users see it: tantivy on one machine, a twin in memory for tests, Elasticsearch on servers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from search.documents import Document
from search.nodes import MatchAll, Node

MAX_HITS = 10_000  # offset + size, as Elasticsearch's index.max_result_window

Sort = tuple[tuple[str, Literal["asc", "desc"]], ...]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A document that this index will never take, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A page of hits: `start` <= time < `end`; ties in `sort` fall in the order of ids, and missing values come last.

    `sort` names date, number or keyword fields; `offset + size` is at most 10,000.
    """

    node: Node = MatchAll()
    start: datetime | None = None
    end: datetime | None = None
    size: int = 50
    offset: int = 0
    sort: Sort = (("time", "desc"),)


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Whole documents, and how many match in all."""

    total: int
    hits: list[Document]
    took_ms: float


class Index(Protocol):
    """Documents by id, searchable. Failures of the store raise Retryable; a request that cannot be served raises QueryError."""

    async def write(self, documents: Sequence[Document]) -> list[Rejected]:
        """Those documents that can never be indexed; on return the others are durable and visible to any new search.

        A document replaces the one with its id; of several in one call the last counts. On servers, a search during a write that moves
        a document to another month may see both.
        """
        ...

    async def search(self, request: SearchRequest) -> SearchPage:
        """One page of the documents that match."""
        ...

    async def count(self, node: Node, *, start: datetime | None = None, end: datetime | None = None) -> int:
        """How many documents match."""
        ...

    async def aggregate(
        self, node: Node, aggregations: dict[str, Any], *, start: datetime | None = None, end: datetime | None = None
    ) -> dict[str, Any]:
        """Elasticsearch's answer to the aggregations over the documents that match; see aggregations.py for those it takes."""
        ...

    async def get(self, id: str) -> Document | None:  # noqa: A002 - the field's name
        """The document with this id."""
        ...

    async def close(self) -> None:
        """Releases files and threads; what was written stays."""
        ...
