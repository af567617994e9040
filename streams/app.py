"""READ FIRST. The worker: which agent reads which topic, and what it does with a batch.

    news.raw, social.raw ─► score_texts ─────────────────────────────────► text.scored ───────┬─► index
    transactions.raw ─► admit ───► meet_customer ─► score_transactions ──► transactions.scored ┴─► match ─► alerts.matches
    labels.raw ─────────► └─► join_labels ─┘                                                   evaluate ─► alerts.transitions ─► route

Every agent is `BatchRunner.run` over a `Stage`; what the stages do is in `texts.py`, `transactions.py`, `indexing.py`, `alerting.py`.
Payments and labels are worked off in event-time order (`merge.py`); `silence.py` speaks for partitions in which nothing arrives.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faust
from faust.types.enums import ProcessingGuarantee

from alerts.rules import RuleSet
from alerts.store import AlertStore
from core.clock import Clock
from core.errors import ConfigError
from core.settings import Settings
from core.topics import (
    LABELS_RAW,
    TEXT_SCORED,
    TRANSACTIONS_BY_CUSTOMER,
    TRANSACTIONS_BY_ID,
    TRANSACTIONS_BY_TERMINAL,
    TRANSACTIONS_RAW,
    TRANSACTIONS_SCORED,
    Topic,
)
from models.fraud.history import CUSTOMER, DAY_S, TERMINAL
from models.fraud.score import FraudScorer
from search.index import Index
from streams.alerting import EvaluateSeries, MatchRules, RouteTransitions
from streams.backlog import GROUP, READERS
from streams.batches import BatchRunner, Stage, Work
from streams.changelog import Changelogs
from streams.indexing import IndexEvents
from streams.kafka_client import MAX_REQUEST_BYTES
from streams.ledger import Ledger
from streams.merge import TABLES
from streams.merging import Merges
from streams.recovery import Tables
from streams.sender import MAX_BATCH_BYTES, Sender
from streams.silence import Silence, Tide, Watched, payment_promises, source_name, text_promises
from streams.stalls import TICK_S, StallWatch
from streams.tables import StateTable
from streams.texts import ScoreTexts, TextScoring
from streams.transactions import Admit, Histories, JoinLabels, MeetCustomer, ScoreTransactions
from streams.transport import Transport
from streams.watermarks import STEP_S

_ENDS_EVERY_S = 5.0
_RUNS_WAITING = 32  # runs of messages that an agent's queue holds before its partitions pause
_PARCELS = 32  # worked off in one go
_PARCEL_BYTES = 1_200_000  # some 3,000 payments, which hold the other stages up for a third of a second


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
    sender, tide = Sender(app, partitions=settings.partitions), Tide()
    fresh_broker = not settings.declare_topics
    runner = BatchRunner(app, deps.ledger, sender, max_dead_ratio=settings.max_dead_ratio, fresh_broker=fresh_broker)
    app.transport = Transport(app.conf.broker_consumer, app, fetch_wait_ms=settings.fetch_wait_ms, settled=runner.places.settled)
    app.tables.changelogs = Changelogs(sender, settings.broker.split(","), fetch_wait_ms=settings.fetch_wait_ms)
    payment_stages, learn = _payment_stages(app, settings, deps, tide)
    texts = Tide()
    for stage in (*_event_stages(app, settings, deps, texts), *payment_stages):
        _register(app, runner, stage)
    payments_raw, texts_raw = ([topic.name for topic in READERS[name]] for name in ("admit", "score_texts"))
    for watched in (
        Watched(payments_raw, "admit", tide, partial(payment_promises, partitions=settings.partitions), learn),
        Watched(texts_raw, "score_texts", texts, partial(text_promises, partitions=settings.partitions), step_s=STEP_S),
    ):
        app.task(Silence(app, runner, sender, watched, idle_s=settings.idle_s).watch)
    app.on_partitions_revoked.connect(runner.give_away)
    app.on_partitions_assigned.connect(runner.take_over)
    app.timer(_ENDS_EVERY_S)(runner.read_missing_ends)
    app.timer(TICK_S)(StallWatch(app, runner, limit_s=settings.stall_s).tick)
    return app


def _faust_app(settings: Settings) -> faust.App:
    """The app without agents; `ConfigError` where Faust's own environment asks for `exactly_once`."""
    app = faust.App(
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
        TableManager=Tables,
        worker_redirect_stdouts=False,
        producer_max_batch_size=MAX_BATCH_BYTES,
        stream_buffer_maxsize=_RUNS_WAITING,
        stream_wait_empty=False,  # what is unfinished when partitions move is worked off again, by id
    )
    if app.conf.processing_guarantee != ProcessingGuarantee.AT_LEAST_ONCE:
        raise ConfigError(
            "unset PROCESSING_GUARANTEE: Faust's exactly_once writes records twice after a kill. Groundswell works at least once, and ids "
            "from content make what comes twice one document and one alert",
            field="PROCESSING_GUARANTEE",
        )
    return app


def _register(app: faust.App, runner: BatchRunner, stage: Stage) -> None:
    """Make an agent of a stage, and have its table recovered. Topics carry raw bytes: our own code decodes records, and refuses them."""
    source = app.topic(
        *(topic.name for topic in READERS[stage.name]),
        value_serializer="raw",
        value_type=bytes,
        key_serializer="raw",
        key_type=bytes,
    )

    async def agent(stream: Any) -> None:
        await runner.run(stage, stream)

    if stage.table is not None:
        app.tables.states[stage.table.topic] = stage.table
    app.agent(source, name=stage.name)(agent)


def _event_stages(app: faust.App, settings: Settings, deps: Deps, tide: Tide) -> list[Stage]:
    """What works texts and scored events off, message by message."""
    partitions = settings.partitions
    series = StateTable(app, app.tables.changelogs, "series", partitions=partitions)
    sources = {
        scored.name: [source_name(topic.name, number) for topic in topics for number in range(partitions)]
        for scored, topics in ((TEXT_SCORED, READERS["score_texts"]), (TRANSACTIONS_SCORED, READERS["score_transactions"]))
    }
    return [
        Stage("score_texts", ScoreTexts(deps.texts, deps.clock, partitions, tide), settings.text_batch),
        Stage("index", IndexEvents(deps.index), settings.index_batch, settings.index_within_s, others_go_on=True),
        Stage("match", MatchRules(deps.rules, partitions, deps.clock, sources, {TEXT_SCORED.name: tide}), settings.index_batch),
        Stage("evaluate", EvaluateSeries(deps.rules, series, deps.clock, partitions), settings.index_batch, table=series),
        Stage("route", RouteTransitions(deps.rules, deps.store), settings.index_batch),
    ]


def _payment_stages(
    app: faust.App, settings: Settings, deps: Deps, tide: Tide
) -> tuple[list[Stage], dict[str, Callable[[Iterable[int]], None]]]:
    """What brings payments to their score; all but the first merge their sources by event time. And how the tide learns from them."""
    partitions, clock = settings.partitions, deps.clock
    learn: dict[str, Callable[[Iterable[int]], None]] = {}

    def merging(
        name: str, topic: Topic, sources: Sequence[Topic], make: Callable[[Merges, StateTable], Work], hold: bool
    ) -> Stage:
        table = StateTable(app, app.tables.changelogs, TABLES[name], partitions=partitions)
        merges = Merges(topic, sources, table, tide, partitions, hold)
        learn[topic.name] = merges.learn
        work = make(merges, table)
        return Stage(name, work, _PARCELS, 0.0, _PARCEL_BYTES, table, merges.settled, merges.forget)

    def join(merges: Merges, table: StateTable) -> Work:
        return JoinLabels(merges, table, settings.label_wait_days * DAY_S, partitions)

    def meet(merges: Merges, table: StateTable) -> Work:
        return MeetCustomer(merges, Histories(table, CUSTOMER), partitions)

    def score(merges: Merges, table: StateTable) -> Work:
        return ScoreTransactions(merges, Histories(table, TERMINAL), deps.fraud, clock, partitions)

    stages = [
        Stage("admit", Admit(partitions, settings.lateness_s, tide, clock), settings.transaction_batch),
        merging("join_labels", TRANSACTIONS_BY_ID, (TRANSACTIONS_RAW, LABELS_RAW), join, False),
        merging("meet_customer", TRANSACTIONS_BY_CUSTOMER, (TRANSACTIONS_RAW, TRANSACTIONS_BY_ID), meet, True),
        merging("score_transactions", TRANSACTIONS_BY_TERMINAL, (TRANSACTIONS_BY_CUSTOMER,), score, True),
    ]
    return stages, learn
