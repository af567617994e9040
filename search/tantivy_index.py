"""The embedded index: a folder that one process writes and any number of processes read.

A commit is durable when `write` returns: after a kill, exactly the committed documents are there. A reader sees a commit by the change of
`meta.json`, which tantivy replaces in one step, and opens the new segments on its next search.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import tantivy

from core.clock import Clock, utc_now
from core.errors import ConfigError, Retryable
from search.aggregations import checked, over
from search.documents import Document
from search.index import Rejected, SearchPage, SearchRequest
from search.mapping import BY_NAME
from search.nodes import MatchAll, Node
from search.ordering import checked_sort
from search.plan import plan
from search.tantivy_query import QueryBuilder, all_of
from search.tantivy_results import TantivyResults
from search.tantivy_schema import schema
from search.tantivy_writer import META, TantivyWriter, check_mapping
from search.timespan import span_ms

T = TypeVar("T")


class TantivyIndex:
    """An index in a folder. Calls run in threads; writes follow one another."""

    def __init__(self, folder: Path, *, clock: Clock, writer: TantivyWriter | None) -> None:
        self._folder = folder
        self._clock = clock
        self._writer = writer
        self._closed = False
        self._reader = _Reader(folder)
        self._writes = ThreadPoolExecutor(1, thread_name_prefix="tantivy-write")

    @classmethod
    def open(cls, folder: Path, *, writable: bool, clock: Clock = utc_now) -> Self:
        """The index of this folder; a reader may come before the writer has made it.

        Raises ConfigError where another process writes the folder, or where the folder was built under another mapping.
        """
        check_mapping(folder)
        return cls(folder, clock=clock, writer=TantivyWriter(folder) if writable else None)

    async def write(self, documents: Sequence[Document]) -> list[Rejected]:
        if self._closed:
            raise ConfigError("this index was closed; open it again", file=str(self._folder))
        if self._writer is None:
            raise ConfigError("this index was opened for reading; open it with writable=True", file=str(self._folder))
        return await asyncio.get_running_loop().run_in_executor(self._writes, self._writer.write, documents)

    async def search(self, request: SearchRequest) -> SearchPage:
        ordering = checked_sort(request)

        def page(results: TantivyResults) -> tuple[int, list[Document]]:
            return results.count(), results.page(ordering, offset=request.offset, size=request.size)

        begun = time.perf_counter()
        nothing: tuple[int, list[Document]] = (0, [])
        total, hits = await self._read(request.node, page, nothing, span_ms(request.start, request.end))
        return SearchPage(total, hits, (time.perf_counter() - begun) * 1000)

    async def count(self, node: Node, *, start: datetime | None = None, end: datetime | None = None) -> int:
        return await self._read(node, TantivyResults.count, 0, span_ms(start, end))

    async def aggregate(
        self, node: Node, aggregations: dict[str, Any], *, start: datetime | None = None, end: datetime | None = None
    ) -> dict[str, Any]:
        asked = checked(aggregations)
        return await self._read(node, lambda results: results.aggregate(asked), over([], asked), span_ms(start, end))

    async def get(self, id: str) -> Document | None:  # noqa: A002 - the field's name
        return await self._read(MatchAll(), lambda results: results.get(id), None, (None, None))

    async def close(self) -> None:
        self._closed = True
        if self._writer is not None:
            await asyncio.to_thread(self._writer.close)
        self._writes.shutdown(wait=False)

    async def _read(self, node: Node, ask: Callable[[TantivyResults], T], nothing: T, span: tuple[int | None, int | None]) -> T:
        """The answer of `ask`, in a thread; `nothing` where the index is not made yet."""

        def answer() -> T:
            searcher = self._reader.searcher()
            if searcher is None:
                return nothing
            builder = QueryBuilder(schema(), searcher, self._clock())
            query = builder.build(plan(node))
            if span != (None, None):
                query = all_of([query, builder.between_ms(BY_NAME["time"].name, *span)])
            try:
                return ask(TantivyResults(searcher, builder, query))
            except (ValueError, OSError) as error:
                raise Retryable(f"reading the index in {self._folder} failed: {error}") from error

        return await asyncio.to_thread(answer)


class _Reader:
    """Opens the folder's index once it is there, and again what each commit changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index: tantivy.Index | None = None
        self._seen: tuple[int, int, int] | None = None
        self._turn = threading.Lock()

    def searcher(self) -> tantivy.Searcher | None:
        """A searcher over the latest commit; None where nothing was made yet."""
        with self._turn:
            seen = self._version()
            if seen is None:
                return None
            if seen != self._seen:
                self._reload()
                self._seen = seen
            return None if self._index is None else self._index.searcher()

    def _reload(self) -> None:
        try:
            if self._index is None:
                check_mapping(self._folder)
                self._index = tantivy.Index.open(str(self._folder))
                self._index.config_reader("manual")
            self._index.reload()
        except (ValueError, OSError) as error:
            self._index = self._seen = None
            raise Retryable(f"the index in {self._folder} cannot be opened: {error}") from error

    def _version(self) -> tuple[int, int, int] | None:
        try:
            found = (self._folder / META).stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Retryable(f"the index in {self._folder} cannot be read: {error}") from error
        return found.st_ino, found.st_mtime_ns, found.st_size
