"""The composition root's parts: each function opens one piece of the product from the settings."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from alerts import database, migrate
from alerts.rules import RuleSet, load_rules
from alerts.store import AlertStore
from core import log
from core.clock import utc_now
from core.errors import ConfigError, Retryable
from core.settings import Settings, load_settings
from models import aliases
from models.fraud.score import FraudScorer
from models.registry import ARTIFACTS, Manifest
from models.text.entities import EntityLinker
from models.text.routing import TextModels
from models.text.watchlist import Watchlist, load_watchlist
from search.elastic_client import Cluster
from search.elastic_index import ElasticIndex
from search.index import Index
from search.kql import parse
from search.predicate import compile_predicate
from search.tantivy_index import TantivyIndex
from streams.backlog import TOPICS, in_flight
from streams.gate import Gate
from streams.kafka_client import EventProducer, Offsets
from streams.ledger import Ledger
from streams.texts import ScoresTexts, TextScoring

RUNNING = "run.json"
# The broker keeps 5 MB a partition. 2.5 MB of large texts grow by at most a tenth when scored; records that grow more are small, and
# bounded by max_in_flight: 2,000 payments that carry 64 past ones of their customer, 32 bytes each, are 4.6 MB.
_MAX_BYTES_IN_FLIGHT = 2_500_000
ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
_WATCHLISTS = ROOT / "models" / "watchlists"
_log = log.get(__name__)


class Running(msgspec.Struct, frozen=True):
    """How to reach the broker and the state of a `groundswell run`."""

    broker: str
    broker_version: str
    epoch: str
    declare_topics: bool = False
    database: str = ""
    index: Literal["embedded", "elasticsearch"] = "embedded"
    elasticsearch: str = ""


def own_settings(file: Path | None, **options: Any) -> Settings:
    """The settings from a file, the environment and the command's options; relative sample paths are found beside the code."""
    settings_file = file or (Path(os.environ["GROUNDSWELL_SETTINGS"]) if "GROUNDSWELL_SETTINGS" in os.environ else None)
    return load_settings(settings_file, environ=os.environ, options=options)


def settings_from(file: Path | None, **options: Any) -> Settings:
    """The same, and where they name no state, that of a `groundswell run` on the data folder."""
    settings = own_settings(file, **options)
    running = _running(settings)
    if running is None:
        return settings
    if not settings.database:
        settings = replace(settings, database=running.database)
    if running.index == "elasticsearch" and settings.elasticsearch == Settings().elasticsearch:
        settings = replace(settings, index=running.index, elasticsearch=running.elasticsearch)
    return settings


def attached(file: Path | None, **options: Any) -> Settings:
    """The settings for a command that talks to a broker: the named one, else that of a `groundswell run` on the data folder.

    Where neither is there but a run has left its state, the settings still say that the broker was the embedded one.
    """
    settings = settings_from(file, **options)
    if options.get("broker") is not None or "GROUNDSWELL_BROKER" in os.environ:
        return settings
    running = _running(settings)
    if running is None:
        return settings
    return replace(
        settings,
        broker=running.broker,
        broker_version=running.broker_version,
        epoch=running.epoch,
        declare_topics=running.declare_topics,
    )


def _running(settings: Settings) -> Running | None:
    """The run that has left word in the data folder, if any."""
    try:
        return msgspec.json.decode((settings.data / RUNNING).read_bytes(), type=Running)
    except (OSError, msgspec.DecodeError):
        return None


def announce(settings: Settings) -> None:
    """Leave word in the data folder of the broker and the state that run on it."""
    names = ("broker", "broker_version", "epoch", "declare_topics", "database", "index", "elasticsearch")
    running = Running(**{name: getattr(settings, name) for name in names})
    file = settings.data / RUNNING
    file.touch(mode=0o600)  # the database's address may hold a password
    file.chmod(0o600)
    file.write_bytes(msgspec.json.encode(running))


def dead_file(settings: Settings) -> Path:
    """Where the dead letters of the embedded broker are kept."""
    return settings.data / "dead.jsonl"


def threads(settings: Settings) -> int:
    """Threads for inference: as set, else one per core."""
    return settings.threads or os.cpu_count() or 1


def models(settings: Settings) -> Path:
    """The folder of model artifacts."""
    return ARTIFACTS if settings.models == Path("") else settings.models


def open_texts(settings: Settings, scorer: ScoresTexts | None = None) -> TextScoring:
    """The text models that serve, or `scorer` in their place, and the linker over the watchlists."""
    paths = settings.watchlists or sorted(_WATCHLISTS.glob("*.json")) + sorted(_WATCHLISTS.glob("*.yaml"))
    linker = EntityLinker(reduce(Watchlist.merged, map(load_watchlist, paths)))
    return TextScoring(scorer or open_text_models(settings), linker)


def open_text_models(settings: Settings) -> TextModels:
    """The models that the setting `text_models` names; the log tells which they are and on what they run."""
    opened = TextModels.open(
        settings.text_models, models(settings), device=settings.device, mode=settings.text_mode, threads=threads(settings)
    )
    for scorer in opened.scorers:
        manifest, languages = scorer.manifest, scorer.config.languages
        runs = {"languages": languages, "device": scorer.device, "mode": scorer.mode}
        _log.info("text_model_opened", model=manifest.reference, licence=manifest.licence, **runs)
        _warn_of_licence(manifest, "text_models")
    return opened


def _warn_of_licence(manifest: Manifest, setting: str) -> None:
    if manifest.licence == "research-use":
        remedy = f"set {setting}=permissive to use only models that permit any use"
        _log.warning("model_for_research_only", model=manifest.reference, remedy=remedy)


def open_fraud(settings: Settings) -> FraudScorer:
    """The fraud model that the setting `fraud_model` names; the log tells which it is."""
    artifact = aliases.resolve(settings.fraud_model, "fraud", models(settings))
    _log.info("fraud_model_opened", model=artifact.manifest.reference, licence=artifact.manifest.licence)
    _warn_of_licence(artifact.manifest, "fraud_model")
    return FraudScorer.open(artifact, device=settings.device, threads=threads(settings))


def open_rules(settings: Settings) -> RuleSet:
    """The alert rules, checked."""
    return load_rules(find_rules(settings.rules), compile_filter)


def find_rules(path: Path) -> Path:
    """The rules file: as named from here, or the bundled one from anywhere."""
    beside = ROOT / path
    return beside if not path.exists() and beside.exists() else path


def compile_filter(query: str) -> Callable[[dict[str, Any]], bool]:
    """The predicate of a KQL query over one document."""
    return compile_predicate(parse(query), clock=utc_now)


def open_alerts(settings: Settings) -> AlertStore:
    """The store of alerts and deliveries."""
    return AlertStore(open_engine(settings))


def open_ledger(settings: Settings) -> Ledger:
    """The ledger, in the same database."""
    return Ledger(open_engine(settings, durable=False), epoch=settings.epoch or settings.broker)


def open_engine(settings: Settings, *, durable: bool = True) -> sa.Engine:
    """The SQL database with this version's schema: SQLite's is brought there, a server's must be."""
    engine = connect(settings, durable=durable)
    migrate.prepare(engine)
    return engine


def connect(settings: Settings, *, durable: bool = True) -> sa.Engine:
    """The SQL database with whatever schema it has."""
    _make_data(settings)
    return database.open_engine(settings.database_url, password=settings.database_password, durable=durable)


def open_index(settings: Settings, *, writable: bool = False) -> Index:
    """The index of scored events. The embedded one takes one writing process at a time."""
    if settings.index == "elasticsearch":
        prefix, keep_days = settings.elasticsearch_prefix, settings.elasticsearch_keep_days
        return ElasticIndex(elastic_cluster(settings), prefix, writable=writable, keep_days=keep_days)
    _make_data(settings)
    return TantivyIndex.open(settings.index_folder, writable=writable)


def check_index(settings: Settings) -> None:
    """Readies Elasticsearch before any event is taken; raises ConfigError where it cannot be used. One that is away is waited for later."""
    if settings.index == "embedded":
        return
    index = open_index(settings, writable=True)
    assert isinstance(index, ElasticIndex)

    async def prepared() -> None:
        try:
            await index.prepare()
        except Retryable as error:
            _log.warning("index_is_away", error=str(error), remedy="events wait in Kafka until it answers")
        finally:
            await index.close()

    with ThreadPoolExecutor(1) as thread:  # `asyncio.run` would leave this thread without the event loop that Faust looks for
        thread.submit(asyncio.run, prepared()).result()


def elastic_cluster(settings: Settings) -> Cluster:
    """Where Elasticsearch is and who we are there."""
    return Cluster(
        urls=tuple(url.strip() for url in settings.elasticsearch.split(",")),
        user=settings.elasticsearch_user,
        secret=settings.elasticsearch_password,
        api_key=settings.elasticsearch_api_key,
        ca=None if settings.elasticsearch_ca == Path("") else settings.elasticsearch_ca,
        timeout_s=settings.elasticsearch_timeout_s,
    )


def _make_data(settings: Settings) -> None:
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make the data folder: {error.strerror}; name another with --data", file=str(settings.data)
        ) from error


def open_gate(settings: Settings, producer: EventProducer, should_stop: Callable[[], bool] = lambda: False) -> Gate | None:
    """The gate before an embedded broker, which forgets what is not read in time; None before any other."""
    if settings.declare_topics:
        return None
    offsets, ledger = Offsets(settings), open_ledger(settings)
    return Gate(
        backlog=lambda: in_flight(offsets.ends(TOPICS), ledger.entries()),
        max_records=settings.max_in_flight,
        max_bytes=_MAX_BYTES_IN_FLIGHT,
        on_wait=producer.flush,
        should_stop=should_stop,
    )
