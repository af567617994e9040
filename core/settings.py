"""Settings: rows with name, default and help; from a TOML file, then `GROUNDSWELL_<NAME>` in the environment, then options.

`GROUNDSWELL_<NAME>_FILE` names a file whose content is the setting, as container platforms hand secrets over; `GROUNDSWELL_<NAME>`
wins over it.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import msgspec

from core.errors import ConfigError

ENVIRONMENT_PREFIX = "GROUNDSWELL_"
_SEPARATORS = {"watchlists": ":", "web_names": ",", "feeds": None}  # None = white space


def _row(default: Any, help: str, *, secret: bool = False) -> Any:  # noqa: A002 — the field's own word
    return field(default=default, metadata={"help": help}, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, typed."""

    data: Path = _row(Path("data"), "Folder for state: index, SQLite file, tables. One process tree at a time uses it.")
    broker: str = _row("127.0.0.1:9092", "Kafka bootstrap servers, host:port, separated by commas.")
    broker_version: str = _row("", "Protocol version that kafka-python speaks, as in 2.3; empty = ask the broker.")
    declare_topics: bool = _row(True, "Create missing topics at start; off for a broker that cannot, such as the embedded one.")
    epoch: str = _row("", "Name of the broker's life in the ledger; `run` sets one for each embedded broker.")
    fetch_wait_ms: int = _row(500, "Longest wait of a fetch that finds nothing new; the embedded broker is given 10.")
    partitions: int = _row(4, "Partitions of each topic that Groundswell creates; the bound on workers that share the load.")
    replication: int = _row(1, "Replicas of each topic that Groundswell creates.")
    database: str = _row("", "SQLAlchemy URL of the state; empty = SQLite in the data folder.")
    database_password: str = _row("", "Password for the address in `database`, so that it need not stand there.", secret=True)
    index: Literal["embedded", "elasticsearch"] = _row(
        "embedded", "Where scored events are searched: a tantivy index in the data folder, or Elasticsearch 8."
    )
    elasticsearch: str = _row("http://127.0.0.1:9200", "Addresses of Elasticsearch's nodes, separated by commas.")
    elasticsearch_user: str = _row("", "User of Elasticsearch; empty = none, or an API key.")
    elasticsearch_password: str = _row("", "Password of that user.", secret=True)
    elasticsearch_api_key: str = _row("", "API key for Elasticsearch, in place of user and password.", secret=True)
    elasticsearch_ca: Path = _row(Path(""), "Certificate of the CA that signed Elasticsearch's; empty = the system's CAs.")
    elasticsearch_prefix: str = _row("groundswell", "What the names of indices, aliases and templates begin with.")
    elasticsearch_timeout_s: float = _row(30.0, "Longest wait for one answer of Elasticsearch.")
    elasticsearch_keep_days: int = _row(0, "Days after which a month's index is deleted, from the month's end; 0 = never.")
    rules: Path = _row(Path("samples/rules.yaml"), "Alert rules and receivers, YAML; see `groundswell rules check`.")
    watchlists: tuple[Path, ...] = _row((), "Watchlist files for entity linking; empty = the bundled ones.")
    models: Path = _row(Path(""), "Folder of model artifacts with aliases.json; empty = the bundled one.")
    text_models: str = _row("champion", "Alias whose models score texts: champion, candidate, permissive, student, or your own.")
    fraud_model: str = _row("champion", "Alias whose model scores payments: champion, candidate, permissive, or your own.")
    text_mode: Literal["exact", "fast"] = _row(
        "exact", "Arithmetic on a CPU: exact, or fast with int8 activations; CUDA has fp16."
    )
    device: Literal["auto", "cpu", "cuda"] = _row("auto", "Where models run: cuda fails at start where CUDA does not load.")
    threads: int = _row(0, "Threads for model inference; 0 = one per core.")
    web_host: str = _row("127.0.0.1", "Address that the web page is served on.")
    web_port: int = _row(8000, "Port that the web page is served on.")
    web_names: tuple[str, ...] = _row((), "Further host names that the page answers to, separated by commas; * = any.")
    metrics_host: str = _row("127.0.0.1", "Address of the worker's own Prometheus metrics.")
    metrics_port: int = _row(0, "Port of the worker's own Prometheus metrics; 0 = none.")
    feeds: tuple[str, ...] = _row((), "RSS and Atom feeds that the scheduler polls, separated by spaces.")
    feeds_every_s: float = _row(300.0, "Seconds between two polls of the feeds.")
    alerts_keep_days: int = _row(
        0,
        "Days after which the scheduler deletes a closed alert whose deliveries are over; 0 = never. More than Kafka keeps events.",
    )
    text_batch: int = _row(64, "Most texts that are scored in one go.")
    transaction_batch: int = _row(4000, "Most transactions that are scored in one go.")
    lateness_s: float = _row(
        2.0, "How far out of order payments and labels may come, in event time, and be scored as if in order."
    )
    idle_s: float = _row(0.4, "Silence after which a raw partition that was worked off no longer holds the others up.")
    label_wait_days: float = _row(30.0, "How long a label waits for a payment that is not there; then it is a dead letter.")
    index_batch: int = _row(4000, "Most documents written to the index in one commit.")
    index_within_s: float = _row(0.5, "Longest wait for an index batch to fill.")
    max_in_flight: int = _row(2000, "Embedded broker: most records between source and index; it keeps only 5 MB a partition.")
    max_dead_ratio: float = _row(0.9, "Share of the last 1,000 records that may be dead letters before the worker stops.")
    stall_s: float = _row(300.0, "Seconds without progress while input waits, after which a worker ends itself to be restarted.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _row("INFO", "Least severity that is logged.")

    @property
    def database_url(self) -> str:
        """The state's SQLAlchemy URL."""
        return self.database or f"sqlite:///{(self.data / 'state.sqlite').absolute()}"

    @property
    def index_folder(self) -> Path:
        """Where the embedded index lives."""
        return self.data / "index"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: what `GROUNDSWELL_<NAME>` and the key in the file set."""

    name: str
    default: str
    help: str


def rows() -> list[Setting]:
    """Every setting with its default, for the README's table.

    >>> rows()[1].name
    'broker'
    """
    return [Setting(f.name, "" if f.default == () else str(f.default), f.metadata["help"]) for f in fields(Settings)]


def load_settings(file: Path | None = None, *, environ: Mapping[str, str], options: Mapping[str, Any] | None = None) -> Settings:
    """Settings from defaults, then `file`, then `environ`, then `options` whose value is not None.

    >>> load_settings(environ={"GROUNDSWELL_WEB_PORT": "9000"}).web_port
    9000
    """
    values: dict[str, Any] = {}
    if file is not None:
        values.update(_from_file(file))
    values.update(_from_environment(environ))
    values.update({name: value for name, value in (options or {}).items() if value is not None})
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=_to_path)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{error}; see the settings table in README.md") from error


def as_environment(settings: Settings) -> dict[str, str]:
    """The variables from which `load_settings` reads the same settings.

    >>> as_environment(Settings(web_names=("a", "b")))["GROUNDSWELL_WEB_NAMES"]
    'a,b'
    """
    found = {}
    for name in (f.name for f in fields(Settings)):
        value = getattr(settings, name)
        text = (_SEPARATORS[name] or " ").join(map(str, value)) if name in _SEPARATORS else str(value)
        found[f"{ENVIRONMENT_PREFIX}{name.upper()}"] = "" if value == Path("") else text
    return found


def _from_file(file: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the settings: {error.strerror}", file=str(file)) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}", file=str(file)) from error
    _refuse_unknown(values, where=str(file))
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in (f.name for f in fields(Settings)):
        value = _variable(f"{ENVIRONMENT_PREFIX}{name.upper()}", environ)
        if value is not None:
            found[name] = value if name not in _SEPARATORS else value.split(_SEPARATORS[name]) if value else []
    return found


def _variable(variable: str, environ: Mapping[str, str]) -> str | None:
    """The value of a variable, or where it is empty the content of the file that `<variable>_FILE` names, less its last line's end."""
    file = environ.get(f"{variable}_FILE")
    is_a_setting = f"{variable}_FILE".removeprefix(ENVIRONMENT_PREFIX).lower() in {f.name for f in fields(Settings)}
    if environ.get(variable) or not file or is_a_setting:
        return environ.get(variable)
    try:
        return Path(file).read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"cannot read the file that {variable}_FILE names: {reason}", file=file) from error


def _refuse_unknown(values: Mapping[str, Any], *, where: str) -> None:
    unknown = sorted(set(values) - {f.name for f in fields(Settings)})
    if unknown:
        raise ConfigError(f"unknown setting; the names are in README.md's table: {', '.join(unknown)}", file=where)


def _to_path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    raise NotImplementedError
