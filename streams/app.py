"""READ FIRST. The worker: which agent reads which topic, and what it does with a batch.

    news.raw, social.raw ─► score_texts ──────────────────────────────► text.scored ────────┬─► index
    transactions.raw ─► admit ─► meet_terminal ─► score_transactions ─► transactions.scored ┴─► match ─► alerts.matches
    labels.raw ─► join_labels ─┘                                                             evaluate ─► alerts.transitions ─► route

Every agent is `BatchRunner.run` over a `Stage`; what the stages do is in `texts.py`, `transactions.py`, `indexing.py`, `alerting.py`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faust

from alerts.rules import RuleSet
from alerts.store import AlertStore
from core.clock import Clock
from core.settings import Settings
from models.fraud.score import FraudScorer
from search.index import Index
from streams.alerting import EvaluateSeries, MatchRules, RouteTransitions
from streams.backlog import READERS
from streams.batches import BatchRunner, Stage
from streams.indexing import IndexEvents
from streams.kafka_client import MAX_REQUEST_BYTES
from streams.ledger import Ledger
from streams.messages import Received, Worked
from streams.tables import RecordedTable, StateTable
from streams.texts import TextScoring, work_texts
from streams.transactions import Admit, JoinLabels, MeetTerminal, ScoreTransactions
from streams.transport import Transport

GROUP = "groundswell"
_ENDS_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Deps:
    """What the agents work with."""

    texts: TextScoring
    fraud: FraudScorer
    index: Index
    rules: RuleSet
    store: AlertStore
    ledger: Ledger
    clock: Clock


def build_app(settings: Settings, deps: Deps) -> faust.App:
    """The Faust app with all agents registered; nothing runs yet."""
    app = _faust_app(settings)
    runner = BatchRunner(app, deps.ledger, max_dead_ratio=settings.max_dead_ratio, fresh_broker=not settings.declare_topics)
    app.transport = Transport(app.conf.broker_consumer, app, fetch_wait_ms=settings.fetch_wait_ms, settled=runner.settled)
    for stage in _stages(app, settings, deps):
        _register(app, runner, stage)
    app.timer(_ENDS_EVERY_S)(runner.read_missing_ends)
    return app


def _faust_app(settings: Settings) -> faust.App:
    return faust.App(
        GROUP,
        broker=f"kafka://{settings.broker.replace(',', ';kafka://')}",
        datadir=str(Path(settings.data) / "faust"),
        store="rocksdb://",
        topic_partitions=settings.partitions,
        topic_replication_factor=settings.replication,
        topic_allow_declare=settings.declare_topics,
        topic_disable_leader=True,
        web_enabled=False,
        broker_session_timeout=10.0,
        broker_request_timeout=20.0,
        broker_heartbeat_interval=1.0,
        broker_rebalance_timeout=20.0,
        broker_commit_interval=0.5,
        broker_max_poll_records=1000,
        consumer_auto_offset_reset="earliest",
        producer_max_request_size=MAX_REQUEST_BYTES,
        table_standby_replicas=0,
        worker_redirect_stdouts=False,
        Table=RecordedTable,
        stream_wait_empty=False,  # what is unfinished when partitions move is worked off again, by id
    )


def _register(app: faust.App, runner: BatchRunner, stage: Stage) -> None:
    """Make an agent of a stage. Its topics carry raw bytes: records are decoded, and refused, by our own code."""
    source = app.topic(
        *(topic.name for topic in READERS[stage.name]),
        value_serializer="raw",
        value_type=bytes,
        key_serializer="raw",
        key_type=bytes,
    )

    async def agent(stream: Any) -> None:
        await runner.run(stage, stream)

    app.agent(source, name=stage.name)(agent)


def _stages(app: faust.App, settings: Settings, deps: Deps) -> list[Stage]:
    table = partial(StateTable, app, partitions=settings.partitions)
    payments, clock = settings.transaction_batch, deps.clock

    async def score_texts(batch: Sequence[Received]) -> Worked:
        return await asyncio.to_thread(work_texts, batch, deps.texts, clock)

    labels, terminals, customers, series = (table(name) for name in ("labels", "terminals", "customers", "series"))
    score = ScoreTransactions(customers, deps.fraud, clock)
    return [
        Stage("score_texts", score_texts, settings.text_batch),
        Stage("admit", Admit(clock), payments),
        Stage("join_labels", JoinLabels(labels, clock), payments, table=labels),
        Stage("meet_terminal", MeetTerminal(terminals), payments, table=terminals),
        Stage("score_transactions", score, payments, table=customers),
        Stage("index", IndexEvents(deps.index), settings.index_batch, within_s=settings.index_within_s),
        Stage("match", MatchRules(deps.rules, settings.partitions, clock), settings.index_batch),
        Stage("evaluate", EvaluateSeries(deps.rules, series, clock), payments, table=series),
        Stage("route", RouteTransitions(deps.rules, deps.store), payments),
    ]
