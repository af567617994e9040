"""Narrow error types that steer a record's way.

    bytes ─► decode ─► score ─► send ─► index ─► ack
               │         │       │        │
               │         │       └────────┴── Retryable: back off with jitter, do not commit the offset
               └─────────┴─────────────────── InvalidRecord: to <topic>.dead with the reason, go on
    anything else is a bug: it is logged, and the process ends for its supervisor to restart

`ConfigError`, `QueryError` and `ModelError` are for people at a prompt: they end a command with status 2 and one line.
"""


class GroundswellError(Exception):
    """Base of every error that Groundswell raises on purpose."""


class InvalidRecord(GroundswellError):
    """A record that cannot be decoded, validated, scored or indexed, however often it is tried."""

    def __init__(self, reason: str, *, field: str | None = None) -> None:
        super().__init__(reason if field is None else f"{field}: {reason}")
        self.reason = reason
        self.field = field


class Retryable(GroundswellError):
    """A failure of something outside the record; the same call may succeed later."""


class ConfigError(GroundswellError):
    """A setting or file that the user must change; the message says what to do."""

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None, field: str | None = None) -> None:
        where = ":".join(str(part) for part in (file, line) if part is not None)
        parts = [part for part in (where, field, message) if part]
        super().__init__(": ".join(parts))
        self.message = message
        self.file = file
        self.line = line
        self.field = field


class QueryError(GroundswellError):
    """A query that does not parse; `position` counts characters from 0."""

    def __init__(self, message: str, *, query: str, position: int) -> None:
        super().__init__(f"{message}\n  {query}\n  {' ' * position}^")
        self.message = message
        self.query = query
        self.position = position


class ModelError(GroundswellError):
    """A model folder that must not be served: missing, altered, or built for something else."""
