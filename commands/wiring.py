"""The composition root's parts: each function opens one piece of the product from the settings."""

import os
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from alerts import database
from alerts.rules import RuleSet, load_rules
from alerts.store import AlertStore
from core.clock import utc_now
from core.errors import ConfigError
from core.settings import Settings, load_settings
from models.fraud.score import FraudScorer
from models.registry import ARTIFACTS, champion
from models.text.entities import EntityLinker
from models.text.score import TextScorer
from models.text.watchlist import Watchlist, load_watchlist
from search.kql import parse
from search.predicate import compile_predicate
from search.tantivy_index import TantivyIndex
from streams.ledger import Ledger
from streams.texts import TextScoring

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
_WATCHLISTS = ROOT / "models" / "watchlists"


def settings_from(file: Path | None, **options: Any) -> Settings:
    """The settings from a file, the environment and the command's options; relative sample paths are found beside the code."""
    settings_file = file or (Path(os.environ["GROUNDSWELL_SETTINGS"]) if "GROUNDSWELL_SETTINGS" in os.environ else None)
    return load_settings(settings_file, environ=os.environ, options=options)


def threads(settings: Settings) -> int:
    """Threads for inference: as set, else one per core."""
    return settings.threads or os.cpu_count() or 1


def models(settings: Settings) -> Path:
    """The folder of model artifacts."""
    return ARTIFACTS if settings.models == Path("") else settings.models


def open_texts(settings: Settings) -> TextScoring:
    """The text model that serves, and the linker over the watchlists."""
    paths = settings.watchlists or sorted(_WATCHLISTS.glob("*.json")) + sorted(_WATCHLISTS.glob("*.yaml"))
    linker = EntityLinker(reduce(Watchlist.merged, map(load_watchlist, paths)))
    return TextScoring(TextScorer.open(champion("text", models(settings)), device=settings.device, threads=threads(settings)), linker)


def open_fraud(settings: Settings) -> FraudScorer:
    """The fraud model that serves."""
    return FraudScorer.open(champion("fraud", models(settings)), device=settings.device, threads=threads(settings))


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
    """The SQL database, its tables made."""
    _make_data(settings)
    engine = database.open_engine(settings.database_url, durable=durable)
    database.create_schema(engine)
    return engine


def open_index(settings: Settings, *, writable: bool = False) -> TantivyIndex:
    """The embedded index; one process at a time may write it."""
    _make_data(settings)
    return TantivyIndex.open(settings.index_folder, writable=writable)


def _make_data(settings: Settings) -> None:
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make the data folder: {error.strerror}; name another with --data", file=str(settings.data)
        ) from error
