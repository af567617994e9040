"""Documents per second and search times of the embedded index, and the cost of one predicate.

`python -m bench.search_embedded [documents]`
"""

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from core.clock import rfc3339, utc_now
from search.documents import Document
from search.index import SearchRequest
from search.kql import parse
from search.predicate import compile_predicate
from search.tantivy_index import TantivyIndex

BATCH = 500
SEARCHES = 60
BEGIN = datetime(2022, 11, 1, tzinfo=UTC)
QUERIES = (
    "default",
    '"word17 word3"',
    "恒大",
    "sentiment.label:negative and entities.id:e7",
    "sentiment.label:negative and default and sentiment.score < -0.5",
    "title:wor* and not source:s1",
    "*",
)
AGGREGATIONS: dict[str, Any] = {
    "over_time": {
        "date_histogram": {"field": "time", "fixed_interval": "6h"},
        "aggs": {"labels": {"terms": {"field": "sentiment.label"}}, "mean": {"avg": {"field": "sentiment.score"}}},
    },
    "entities": {"terms": {"field": "entities.name", "size": 20}},
}
PREDICATES = (
    "sentiment.label:negative",
    "sentiment.label:negative and amount > 3",
    "default",
    "entities.id:e7",
    "time >= now-2w",
)


def made(number: int, random_source: random.Random) -> Document:
    """A scored text of about 900 bytes; words follow Zipf's law over 20,000."""
    words = [
        "default" if rank == 41 else f"word{rank}" for rank in (int(random_source.paretovariate(0.6)) % 20_000 for _ in range(60))
    ]
    score = random_source.uniform(-1, 1)
    moment = BEGIN + timedelta(seconds=number * 12 + random_source.random())
    entity = random_source.randrange(200)
    return {
        "id": f"news-{number:032x}",
        "kind": "news",
        "time": rfc3339(moment),
        "ingested": rfc3339(moment + timedelta(seconds=2)),
        "published": rfc3339(moment),
        "source": f"s{number % 20}",
        "title": " ".join(words[:10]) + (" 恒大集团违约" if number % 50 == 0 else ""),
        "body": " ".join(words[10:]),
        "lang": "en",
        "sentiment": {
            "label": "negative" if score < -0.3 else "neutral",
            "negative": 0.5 - score / 2,
            "neutral": 0.0,
            "positive": 0.5 + score / 2,
            "score": score,
        },
        "topic": {"label": f"t{number % 8}", "score": 0.7},
        "entities": [{"id": f"e{entity}", "name": f"Company {entity}", "mention": f"C{entity}", "start": 3, "end": 9}],
        "model": {"name": "sentiment-en", "version": "1"},
        "extra": {},
    }


async def timed(count: int, call: Callable[[], Any]) -> str:
    """p50 and p95 in milliseconds of `count` calls."""
    took: list[float] = []
    for _ in range(count):
        begun = time.perf_counter()
        await call()
        took.append((time.perf_counter() - begun) * 1000)
    cuts = statistics.quantiles(took, n=20)
    return f"p50 {cuts[9]:6.2f} ms  p95 {cuts[18]:6.2f} ms"


async def write(index: TantivyIndex, documents: Sequence[Document]) -> list[float]:
    """Seconds of each batch."""
    took: list[float] = []
    for start in range(0, len(documents), BATCH):
        begun = time.perf_counter()
        await index.write(documents[start : start + BATCH])
        took.append(time.perf_counter() - begun)
    return took


def size_mb(folder: Path) -> float:
    """Megabytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e6


async def measure(count: int) -> None:
    """Prints the measurements."""
    random_source = random.Random(7)
    documents = [made(number, random_source) for number in range(count)]
    size = statistics.mean(len(msgspec.json.encode(document)) for document in documents[:1000])
    with tempfile.TemporaryDirectory() as folder:
        index = TantivyIndex.open(Path(folder), writable=True)
        cpu = time.process_time()
        took = await write(index, documents)
        cpu = (time.process_time() - cpu) / count
        print(f"write: {count / sum(took):.0f} documents/s of {size:.0f} bytes, slowest batch {max(took) * 1000:.0f} ms")
        print(f"write: {cpu * 1e6:.0f} µs of processor time per document, merges included")
        again = await write(index, documents[: count // 5])
        print(f"upsert of known ids: {count // 5 / sum(again):.0f} documents/s")
        print(f"on disk: {size_mb(Path(folder)):.1f} MB")
        for query in QUERIES:
            request = SearchRequest(parse(query))
            total = (await index.search(request)).total
            print(f"search {query:64} {total:7} hits  {await timed(SEARCHES, partial(index.search, request))}")
        print(f"aggregate {await timed(SEARCHES, lambda: index.aggregate(parse('default'), AGGREGATIONS))}")
        print(f"aggregate all {await timed(SEARCHES, lambda: index.aggregate(parse(''), AGGREGATIONS))}")
        await index.close()
    for query in PREDICATES:
        admits = compile_predicate(parse(query), clock=utc_now)
        begun = time.perf_counter()
        for document in documents[:5000]:
            admits(document)
        print(f"predicate {query:44} {(time.perf_counter() - begun) / min(count, 5000) * 1e6:6.2f} µs")


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
