"""`groundswell score`: offline scoring with the worker's own code, JSON Lines in and out.

A line that cannot be scored is told on standard error with its number and left out; the command then ends with status 1.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec

from commands import wiring
from commands.output import open_output
from core.clock import utc_now
from core.codec import decode_label, decode_transaction
from core.errors import InvalidRecord
from core.records import Entity, ModelRef, Sentiment, Topic
from core.settings import Settings
from models.fraud.offline import score_stream
from streams.sources.files import read_file
from streams.texts import TextScoring

_BATCH = 512
T = TypeVar("T")


class TextLine(msgspec.Struct, frozen=True):
    """A text to score."""

    id: str | int
    text: str
    lang: str | None = None


class ScoredLine(msgspec.Struct, frozen=True):
    """A scored text; `reason` says why where sentiment and topic are null."""

    id: str | int
    lang: str
    sentiment: Sentiment | None
    topic: Topic | None
    entities: tuple[Entity, ...]
    model: ModelRef | None
    reason: str | None


class ScoredPayment(msgspec.Struct, frozen=True):
    """A scored payment."""

    id: str
    fraud_score: float
    reasons: tuple[str, ...]
    model: ModelRef


class Lines:
    """Decodes the lines of a file and keeps count of those that are bad."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path = path
        self._kind = kind
        self.bad = 0

    def decode(self, decoder: Callable[[bytes], T]) -> Iterator[T]:
        """The records of the good lines; each bad one is told."""
        for record in read_file(self._path, self._kind):
            try:
                yield decoder(record.raw)
            except (InvalidRecord, msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
                self.bad += 1
                sys.stderr.write(f"groundswell: {self._path}:{record.line}: {error}\n")

    def end(self) -> None:
        """End the command with status 1 if a line was bad."""
        if self.bad:
            sys.stderr.write(f"groundswell: {self.bad} lines of {self._path} were not scored\n")
            sys.exit(1)


def score_texts(settings: Settings, source: Path, target: Path) -> None:
    """Score the lines `{id, text, lang?}` of a file."""
    scoring = wiring.open_texts(settings)
    lines = Lines(source, "news")
    with open_output(target) as output:
        for batch in _batches(lines.decode(msgspec.json.Decoder(TextLine).decode)):
            for scored in _score(scoring, batch):
                output.write(msgspec.json.encode(scored) + b"\n")
    lines.end()


def _score(scoring: TextScoring, batch: list[TextLine]) -> Iterator[ScoredLine]:
    scores = scoring.score([line.text for line in batch], [line.lang for line in batch])
    for line, (score, entities) in zip(batch, scores, strict=True):
        yield ScoredLine(line.id, score.lang, score.sentiment, score.topic, entities, score.model, score.reason)


def score_payments(settings: Settings, source: Path, target: Path, labels: Path | None) -> None:
    """Score payments in time order, with labels that count from their own time on."""
    scorer = wiring.open_fraud(settings)
    now = utc_now()
    payments = Lines(source, "transactions")
    findings = Lines(labels, "labels") if labels is not None else None
    known = list(findings.decode(_with(decode_label, now))) if findings is not None else []
    with open_output(target) as output:
        for payment, score in score_stream(payments.decode(_with(decode_transaction, now)), known, scorer):
            line = ScoredPayment(payment.id, score.fraud_score, score.reasons, score.model)
            output.write(msgspec.json.encode(line) + b"\n")
    if findings is not None:
        findings.end()
    payments.end()


def _with(decode: Callable[[bytes, datetime], T], now: datetime) -> Callable[[bytes], T]:
    return lambda raw: decode(raw, now)


def _batches(lines: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(lines)
    while batch := list(islice(rest, _BATCH)):
        yield batch
