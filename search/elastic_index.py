"""The index on servers: Elasticsearch 8, written and searched by any number of processes.

A document lies once: in the index of its kind and month, or wherever a copy of the same month lies already. A write looks for older
copies first, and deletes those of another month after the new one is confirmed; a search in between may see both.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from core import log
from core.clock import Clock, utc_now
from core.errors import ConfigError, Retryable
from search.aggregations import checked
from search.documents import Document, fault
from search.elastic_bulk import BulkWriter, Operation, Pace
from search.elastic_client import Cluster, call, connect, features
from search.elastic_indices import ElasticIndices, Place, place_of
from search.elastic_layout import body, original
from search.elastic_query import Dsl, all_of, between_ms, dsl, unindexed
from search.elastic_results import answers, requests, sort
from search.index import MAX_HITS, Rejected, SearchPage, SearchRequest
from search.nodes import Node
from search.ordering import checked_sort
from search.plan import plan
from search.timespan import span_ms

_MAINTAIN_EVERY = timedelta(hours=1)
_IDS_AT_ONCE = 2_000
_PREFIX = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
_log = log.get(__name__)


class ElasticIndex:
    """The events under one prefix of a cluster. Nothing is sent before the first call; the client belongs to that call's event loop."""

    def __init__(self, cluster: Cluster, prefix: str, *, writable: bool, keep_days: int = 0, clock: Clock = utc_now) -> None:
        if not _PREFIX.fullmatch(prefix):
            message = f"{prefix!r} cannot begin the name of an index: take lower-case letters, digits, - and _"
            raise ConfigError(message, field="elasticsearch_prefix")
        self._client = connect(cluster)
        self._indices = ElasticIndices(self._client, prefix, keep_days=keep_days)
        self._bulk = BulkWriter(self._client)
        self._writable = writable
        self._clock = clock
        self._ready = self._closed = False
        self._maintained: datetime | None = None
        self._turn = asyncio.Lock()

    @property
    def pace(self) -> Pace:
        """How much is written at once just now."""
        return self._bulk.pace

    async def prepare(self) -> None:
        """Makes templates and policy where this index is written; raises ConfigError where the cluster holds another mapping."""
        async with self._turn:
            await self._prepare()

    async def write(self, documents: Sequence[Document]) -> list[Rejected]:
        if not self._writable or self._closed:
            why = "was closed; open it again" if self._closed else "was opened for reading; open it with writable=True"
            raise ConfigError(f"this index {why}", field="elasticsearch")
        faults = [(one, fault(one)) for one in documents]
        rejected = [Rejected(str(one.get("id", "")), why) for one, why in faults if why is not None]
        latest = {one["id"]: one for one, why in faults if why is None}
        if not latest:
            return rejected
        async with self._turn:
            try:
                await self._prepare()
                return rejected + await self._put(latest)
            except ConfigError as error:  # no document's fault: it waits until someone has mended it
                raise Retryable(str(error)) from error
            except Retryable:
                self._indices.forget()  # one of them may have been deleted or rolled over
                raise

    async def search(self, request: SearchRequest) -> SearchPage:
        ordering = checked_sort(request)
        begun = time.perf_counter()
        answer = await self._ask(
            request.node,
            (request.start, request.end),
            size=request.size,
            from_=request.offset,
            sort=sort(ordering),
            track_total_hits=True,
        )
        hits = [original(hit["_source"]) for hit in answer["hits"]["hits"]]
        return SearchPage(answer["hits"]["total"]["value"], hits, (time.perf_counter() - begun) * 1000)

    async def count(self, node: Node, *, start: datetime | None = None, end: datetime | None = None) -> int:
        answer = await self._ask(node, (start, end), size=0, track_total_hits=True)
        return int(answer["hits"]["total"]["value"])

    async def aggregate(
        self, node: Node, aggregations: dict[str, Any], *, start: datetime | None = None, end: datetime | None = None
    ) -> dict[str, Any]:
        asked = checked(aggregations)
        if not asked:
            return {}
        answer = await self._ask(node, (start, end), size=0, aggregations=requests(asked))
        return answers(asked, answer.get("aggregations", {}))

    async def get(self, id: str) -> Document | None:  # noqa: A002 - the field's name
        hits = (await self._found({"ids": {"values": [id]}}, size=1))["hits"]["hits"]
        return original(hits[0]["_source"]) if hits else None

    async def close(self) -> None:
        self._closed = True
        await self._client.close()

    async def _ask(self, node: Node, span: tuple[datetime | None, datetime | None], **options: Any) -> dict[str, Any]:
        planned = plan(node)
        query, bounds = dsl(planned, self._clock()), span_ms(*span)
        if bounds != (None, None):
            query = all_of([query, between_ms("time", *bounds)])
        if from_source := unindexed(planned):
            options["runtime_mappings"] = {name: {"type": "keyword"} for name in from_source}
        return await self._found(query, **options)

    async def _found(self, query: Dsl, **options: Any) -> dict[str, Any]:
        if not self._ready:
            await self.prepare()
        searched = self._client.search(index=self._indices.prefix, ignore_unavailable=True, query=query, **options)
        answer = (await call(searched, doing="searching", query=str(query))).body
        if answer["_shards"].get("failed"):  # half of the hits would pass for all of them
            raise Retryable(f"searching: {answer['_shards']['failed']} shards of Elasticsearch do not answer")
        return dict(answer)

    async def _prepare(self) -> None:
        if self._ready:
            return
        if self._writable:
            await self._indices.prepare(await features(self._client))
        else:
            await self._indices.check()
        self._ready = True

    async def _put(self, latest: dict[str, Document]) -> list[Rejected]:
        await self._maintain()
        copies = await self._copies(list(latest))
        places = {id: place_of(document) for id, document in latest.items()}  # noqa: A001 - the field's name
        targets = {id: await self._target(places[id], copies.get(id, [])) for id in latest}  # noqa: A001
        rejected = await self._bulk.send([Operation(id, targets[id], body(latest[id])) for id in latest])  # noqa: A001
        refused = {one.id for one in rejected}
        stale = [
            Operation(id, index, None)
            for id, found in copies.items()  # noqa: A001
            for index in found
            if index != targets[id] and id not in refused
        ]
        await self._bulk.send(stale)
        await self._indices.refresh({*targets.values(), *(operation.index for operation in stale)})
        return rejected

    async def _target(self, place: Place, copies: list[str]) -> str:
        """Where a document is written: over its copy of the same kind and month, which may lie in an index that was rolled over."""
        alias = place.alias(self._indices.prefix)
        return next((index for index in copies if index.startswith(f"{alias}-")), None) or await self._indices.to_write(place)

    async def _copies(self, ids: list[str]) -> dict[str, list[str]]:
        """The indices that hold each id already."""
        found: dict[str, list[str]] = {}
        for at in range(0, len(ids), _IDS_AT_ONCE):
            query = {"ids": {"values": ids[at : at + _IDS_AT_ONCE]}}
            answer = await self._found(query, size=MAX_HITS, source=False, track_total_hits=False)
            for hit in answer["hits"]["hits"]:
                found.setdefault(hit["_id"], []).append(hit["_index"])
        return found

    async def maintain(self) -> list[str]:
        """Deletes the indices that are older than is kept, and returns their names; writing does so too, once an hour."""
        return await self._indices.maintain(self._clock())

    async def _maintain(self) -> None:
        now = self._clock()
        if self._maintained is not None and now - self._maintained < _MAINTAIN_EVERY:
            return
        self._maintained = now
        try:
            await self._indices.maintain(now)
        except (Retryable, ConfigError) as error:
            _log.warning("index_maintenance_failed", error=str(error), remedy="it is tried again in an hour")
