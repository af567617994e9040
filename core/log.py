"""Structured logs: one JSON object or one coloured line per event, secrets redacted."""

import logging
import sys
import time
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET_PARTS = ("secret", "password", "token", "authorization", "api_key")


def configure(*, json: bool | None = None, level: str = "INFO") -> None:
    """Send structlog and the standard library's loggers to stderr: JSON where `json` (default: where stderr is no terminal)."""
    as_json = not sys.stderr.isatty() if json is None else json
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    stream.addFilter(RateLimit(per_s=5.0, burst=50, prefixes=("aiokafka", "kafka", "faust", "mode")))
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(level)
    for noisy in ("httpx", "httpcore", "faust", "mode", "aiokafka", "apscheduler", "uvicorn", "alembic", "elastic_transport"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for chatty in ("kafka", "faust.transport.producer", "mode.timers"):  # warn of every slow poll, full buffer and late tick
        logging.getLogger(chatty).setLevel(logging.ERROR)
    for own in ("transport", "tables", "recovery"):  # subclasses of Faust's services log their comings and goings
        logging.getLogger(f"streams.{own}").setLevel(logging.WARNING)


def silence(name: str) -> None:
    """Let nothing below CRITICAL of a library's logger through from now on."""
    logging.getLogger(name).setLevel(logging.CRITICAL)


def get(name: str) -> Any:
    """The structured logger of a module: `log.info("batch_indexed", documents=500)`."""
    return structlog.stdlib.get_logger(name)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Values whose key names a secret, replaced.

    >>> redact(None, "info", {"event": "x", "webhook_secret": "whsec_1"})
    {'event': 'x', 'webhook_secret': '[redacted]'}
    """
    for key in event:
        if any(part in key.lower() for part in _SECRET_PARTS):
            event[key] = "[redacted]"
    return event


class RateLimit(logging.Filter):
    """Lets `burst` records of the named loggers through, then `per_s` (an 18 s broker restart logs 2,000 errors)."""

    def __init__(self, *, per_s: float, burst: int, prefixes: tuple[str, ...]) -> None:
        super().__init__()
        self._per_s = per_s
        self._burst = burst
        self._prefixes = prefixes
        self._tokens = float(burst)
        self._last = time.monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(self._prefixes):
            return True
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._last) * self._per_s)
        self._last = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
