"""`groundswell search`: KQL over the scored events."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from commands import wiring
from commands.output import print_json, print_table
from core.clock import from_epoch_s, utc_now
from core.errors import ConfigError
from core.settings import Settings
from search.advice import warnings
from search.dates import period
from search.index import SearchRequest, Sort
from search.kql import parse


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for, as typed."""

    query: str
    start: str | None
    end: str | None
    size: int
    sort: str


async def print_search(settings: Settings, search: Search, *, json: bool) -> None:
    """Print the hits: with `json` one object with total and hits, else a table."""
    node = parse(search.query)
    for warning in warnings(node):
        sys.stderr.write(f"groundswell: {warning}\n")
    request = SearchRequest(
        node=node,
        start=_moment(search.start, "--from"),
        end=_moment(search.end, "--to"),
        size=search.size,
        sort=_sort(search.sort),
    )
    index = wiring.open_index(settings)
    try:
        page = await index.search(request)
    finally:
        await index.close()
    if json:
        print_json({"total": page.total, "took_ms": round(page.took_ms, 1), "hits": page.hits})
        return
    print_table(("time", "kind", "score", "topic", "entities", "text"), (_row(hit) for hit in page.hits))
    sys.stdout.write(f"{page.total} events match; {len(page.hits)} shown; {page.took_ms:.0f} ms\n")


def _row(hit: Mapping[str, Any]) -> tuple[str, ...]:
    if hit["kind"] == "transaction":
        told = (
            f"{hit['amount']:.2f} {hit['currency']} by {hit['customer_id']} at {hit['terminal_id']}: {'; '.join(hit['reasons'])}"
        )
        return hit["time"], hit["kind"], f"{hit['fraud_score']:.3f}", "", "", told
    sentiment, topic = hit["sentiment"], hit["topic"]
    score = f"{sentiment['label']} {sentiment['score']:+.2f}" if sentiment else "–"
    entities = ", ".join(dict.fromkeys(entity["id"] for entity in hit["entities"]))
    return hit["time"], hit["kind"], score, topic["label"] if topic else "–", entities, (hit["title"] or hit["text"] or "")[:160]


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    named = period(text, utc_now())
    if named is None:
        raise ConfigError(f"{text!r} is no time: write 2022-11-08, 2022-11-08T09:30:00Z or now-2w", field=option)
    return from_epoch_s(named.start / 1000)


def _sort(text: str) -> Sort:
    field, _, direction = text.rpartition(":")
    if not field or direction not in ("asc", "desc"):
        raise ConfigError(f"{text!r} is no sort order: write FIELD:asc or FIELD:desc", field="--sort")
    return ((field, "desc" if direction == "desc" else "asc"),)
