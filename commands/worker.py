"""`groundswell worker`: the Faust agents and the delivery of alerts, in one process."""

import asyncio
import gc
import sys
import threading

import faust
from prometheus_client import start_http_server

from alerts.deliver import run_deliveries
from alerts.receivers import open_receivers
from commands import wiring
from commands.supervise import end_when_input_ends
from core import log, metrics
from core.clock import utc_now
from core.settings import Settings
from streams.app import Deps, build_app
from streams.kafka_client import Offsets
from streams.texts import ScoresTexts

_log = log.get(__name__)


def run_worker(settings: Settings, *, end_with_parent: bool = False, scorer: ScoresTexts | None = None) -> None:
    """Run until told to stop by SIGTERM or SIGINT; what is in hand is finished or stays uncommitted.

    `scorer` takes the place of the text models.
    """
    if end_with_parent:
        threading.Thread(target=end_when_input_ends, daemon=True).start()
    if settings.declare_topics:
        offsets = Offsets(settings)
        offsets.create()
        offsets.close()
    wiring.check_index(settings)
    app = _assemble(settings, scorer)
    if settings.metrics_port:
        start_http_server(settings.metrics_port, addr=settings.metrics_host, registry=metrics.REGISTRY)
    gc.freeze()  # models and libraries live as long as the process: 0.3 million objects that collections need not look at
    gc.set_threshold(10_000, 20, 20)  # the default of 700 collects several times a batch: 7 % of the payment stages' time
    worker = faust.Worker(app, override_logging=False, loglevel=None, redirect_stdouts=False, quiet=True, daemon=True)
    worker.execute_from_commandline()


def _assemble(settings: Settings, scorer: ScoresTexts | None) -> faust.App:
    store = wiring.open_alerts(settings)
    if not settings.declare_topics:  # the embedded tier has one worker: what a dead one had claimed is free
        store.release_all()
    rules = wiring.open_rules(settings)
    deps = Deps(
        texts=wiring.open_texts(settings, scorer),
        fraud=wiring.open_fraud(settings),
        index=wiring.open_index(settings, writable=True),
        rules=rules,
        store=store,
        ledger=wiring.open_ledger(settings),
        clock=utc_now,
    )
    app = build_app(settings, deps)
    receivers = open_receivers(rules.receivers, console=sys.stdout)

    async def deliver() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(run_deliveries(store, receivers, clock=utc_now, stop=stop))
        await app.wait_for_stopped(task)
        stop.set()
        await task

    app.task(deliver)
    return app
