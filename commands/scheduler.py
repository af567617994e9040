"""`groundswell scheduler`: what runs by the clock. Feeds are polled, and what is older than is kept is deleted."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from functools import partial

import httpx
from prometheus_client import start_http_server

from alerts.store import AlertStore
from commands import wiring
from commands.clockwork import run_jobs
from commands.ingest import poll_feeds
from commands.supervise import end_when_input_ends
from core import log, metrics
from core.clock import utc_now
from core.settings import Settings
from search.elastic_index import ElasticIndex
from streams.kafka_client import EventProducer
from streams.sources.rss import Feed

_CLEAN_EVERY_S = 3600.0
_log = log.get(__name__)


def run_scheduler(settings: Settings, *, end_with_parent: bool = False) -> None:
    """Run until told to stop by SIGTERM or SIGINT; a poll that runs then is finished. One scheduler is enough, two do no harm."""
    if end_with_parent:
        threading.Thread(target=end_when_input_ends, daemon=True).start()
    if settings.metrics_port:
        start_http_server(settings.metrics_port, addr=settings.metrics_host, registry=metrics.REGISTRY)
    with ExitStack() as stack:
        jobs: dict[Callable[[], None], float] = {partial(clean, settings, wiring.open_alerts(settings)): _CLEAN_EVERY_S}
        if settings.feeds:
            feeds = [Feed(url) for url in settings.feeds]
            client, producer = stack.enter_context(httpx.Client()), stack.enter_context(EventProducer(settings))
            jobs[partial(poll_feeds, feeds, client, producer)] = settings.feeds_every_s
        _log.info("scheduler_runs", feeds=len(settings.feeds), alerts_keep_days=settings.alerts_keep_days)
        run_jobs(jobs)


def clean(settings: Settings, store: AlertStore) -> None:
    """Delete what is older than is kept: closed alerts, and whole indices of Elasticsearch."""
    if settings.alerts_keep_days:
        count = store.forget(utc_now() - timedelta(days=settings.alerts_keep_days))
        metrics.DELETED.labels("alerts").inc(count)
        _log.info("alerts_deleted", count=count, keep_days=settings.alerts_keep_days)
    if settings.index == "elasticsearch" and settings.elasticsearch_keep_days:
        names = asyncio.run(_old_indices(settings))
        metrics.DELETED.labels("indices").inc(len(names))


async def _old_indices(settings: Settings) -> list[str]:
    index = wiring.open_index(settings, writable=True)
    assert isinstance(index, ElasticIndex)
    try:
        return await index.maintain()
    finally:
        await index.close()
