"""Indices of another version's mapping, built anew from the documents that they keep."""

from collections.abc import AsyncIterator
from typing import Any

from elasticsearch import AsyncElasticsearch

from core import log
from core.errors import ConfigError
from search.elastic_bulk import BulkWriter, Operation
from search.elastic_client import Cluster, call, connect, features
from search.elastic_indices import TAG, ElasticIndices, Place, tag_of
from search.elastic_layout import body, original

_PAGE = 1_000
_KEEP_ALIVE = "10m"  # for one page to be written
_log = log.get(__name__)


async def upgrade(cluster: Cluster, prefix: str) -> list[str]:
    """The indices that were built anew, one after another; each takes the old one's place in one step, so searches miss nothing.

    Workers must not write meanwhile. It may be stopped at any time and started again.
    """
    client = connect(cluster)
    try:
        indices = ElasticIndices(client, prefix)
        await indices.put_templates(await features(client))
        old = [name for name in await indices.names() if tag_of(name) != TAG]
        return [await _built_anew(client, indices, name) for name in old]
    finally:
        await client.close()


async def _built_anew(client: AsyncElasticsearch, indices: ElasticIndices, name: str) -> str:
    rest, _, number = name.rsplit("-", 2)
    alias = rest.removeprefix(f"{indices.prefix}-")
    place = Place(*alias.rsplit("-", 1))
    fresh = f"{rest}-{TAG}-{number}"
    await indices.make(place, fresh, {})
    await indices.hide(fresh)
    writer, count = BulkWriter(client), 0
    async for hits in _pages(client, name):
        rejected = await writer.send([Operation(hit["_id"], fresh, body(original(hit["_source"]))) for hit in hits])
        if rejected:
            raise ConfigError(f"{name} is kept as it is: document {rejected[0].id} {rejected[0].reason}", field="elasticsearch")
        count += len(hits)
    await indices.refresh({fresh})
    await indices.replace(name, fresh)
    _log.info("index_built_anew", old=name, new=fresh, documents=count)
    return fresh


async def _pages(client: AsyncElasticsearch, name: str) -> AsyncIterator[list[dict[str, Any]]]:
    """All documents of an index as it is now."""
    doing = f"reading {name}"
    opened = await call(client.open_point_in_time(index=name, keep_alive=_KEEP_ALIVE), doing=doing)
    pit, after = opened["id"], None
    try:
        while True:
            searched = client.search(
                pit={"id": pit, "keep_alive": _KEEP_ALIVE},
                size=_PAGE,
                sort=["_shard_doc"],
                search_after=after,
                track_total_hits=False,
            )
            answer = await call(searched, doing=doing)
            hits, pit = answer["hits"]["hits"], answer["pit_id"]
            if not hits:
                return
            yield hits
            after = hits[-1]["sort"]
    finally:
        await call(client.options(ignore_status=404).close_point_in_time(id=pit), doing=doing)
