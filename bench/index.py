"""Documents a second and search times of tantivy and Elasticsearch, side by side on one machine.

`python -m bench.index [documents]`; Elasticsearch is a node of our own, on Java, with 512 MB of heap.
"""

import asyncio
import random
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from bench.search_embedded import AGGREGATIONS, QUERIES, made, timed
from core.settings import Settings
from search.documents import Document
from search.elastic_client import Cluster
from search.elastic_index import ElasticIndex
from search.index import Index, SearchRequest
from search.kql import parse
from search.tantivy_index import TantivyIndex
from servers.elasticsearch import ElasticsearchServer

_BATCH = Settings().index_batch
_SEARCHES = 40


async def write(index: Index, documents: list[Document]) -> float:
    """Documents a second; each batch is durable and visible before the next."""
    begun = time.perf_counter()
    for at in range(0, len(documents), _BATCH):
        await index.write(documents[at : at + _BATCH])
    return len(documents) / (time.perf_counter() - begun)


async def measure(count: int) -> None:
    """Prints the measurements."""
    random_source = random.Random(7)
    documents = [made(number, random_source) for number in range(count)]
    with tempfile.TemporaryDirectory() as folder, ElasticsearchServer(Path(folder) / "server") as server:
        opened: dict[str, Index] = {
            "tantivy": TantivyIndex.open(Path(folder) / "tantivy", writable=True),
            "elasticsearch": ElasticIndex(Cluster((server.address,), timeout_s=120.0), "bench", writable=True),
        }
        for name, index in opened.items():
            print(f"{name:14} new documents   {await write(index, documents):7.0f}/s")
            print(f"{name:14} known documents {await write(index, documents[: count // 5]):7.0f}/s")
        for query in QUERIES:
            request = SearchRequest(parse(query))
            for name, index in opened.items():
                total = (await index.search(request)).total
                print(f"{name:14} {query:64} {total:7} hits  {await timed(_SEARCHES, partial(index.search, request))}")
        for name, index in opened.items():
            print(f"{name:14} aggregations  {await timed(_SEARCHES, partial(index.aggregate, parse(''), AGGREGATIONS))}")
            await index.close()


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000))
