"""Payments with their pasts → calibrated fraud probabilities with reasons, on ONNX Runtime.

A model folder may hold a cheap first stage beside the encoder. It then judges every payment, and the encoder only those that the
first stage finds worth a second look.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import msgspec
import numpy as np

from core.clock import from_epoch_s
from core.errors import ModelError
from core.records import ModelRef, Transaction
from models.fraud import reasons
from models.fraud.aggregates import NAMES, aggregates, usual_of
from models.fraud.arrays import Flags, Floats, Singles
from models.fraud.features import CONTINUOUS, SIZES, TOKENS, inputs
from models.fraud.history import KEEP, Keep, Ring
from models.fraud.windows import FeatureRow, Histories, features, stack
from models.registry import Artifact
from models.runtime import Array, Device, Session, open_session

GRAPH = "model.onnx"
FIRST_GRAPH = "first.onnx"
_PART = 512  # rows that one thread screens at once
_BATCH = 64  # rows of the encoder: 32 take a fifth longer, 128 are no faster beyond the noise


class Cascade(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest says of a first stage: payments whose first logit reaches `threshold` are judged by the encoder.

    `cost` says what that costs in detections, by measures that the training names.
    """

    first: str
    threshold: float
    cost: dict[str, float] = {}


class FraudScore(msgspec.Struct, frozen=True, gc=False):
    """A probability, 0..1, higher = riskier, and one to three reasons, the weightiest first."""

    fraud_score: float
    reasons: tuple[str, ...]
    model: ModelRef


@dataclass(frozen=True, slots=True)
class First:
    """An opened first stage."""

    session: Session
    threshold: float

    def logits(self, base: Singles) -> Floats:
        """(N,) float64."""
        return self.session.run({"base": base}, ["logit"])[0].astype(np.float64)


def contract(keep: Keep = KEEP) -> dict[str, Any]:
    """What an exported graph and this code must agree on: export writes it into the manifest, `FraudScorer.open` checks it."""
    return {
        "continuous": list(CONTINUOUS),
        "categories": dict(SIZES),
        "aggregates": list(NAMES),
        "customer_tokens": TOKENS.customer,
        "terminal_tokens": TOKENS.terminal,
        "customer_keep": keep.customer,
        "terminal_keep": keep.terminal,
    }


def keep_of(artifact: Artifact) -> Keep:
    """How much of both pasts the model reads; `ModelError` where it expects other features than this version computes."""
    stated = artifact.manifest.config.get("contract", {})
    keep = Keep(stated.get("customer_keep", 0), stated.get("terminal_keep", 0))
    if stated != contract(keep) or not (0 < keep.customer <= KEEP.customer and 0 < keep.terminal <= KEEP.terminal):
        raise ModelError(f"{artifact.folder} expects other features than this version computes; export the model again")
    return keep


class FraudScorer:
    """Scores rows on one model; may be called from several threads."""

    def __init__(self, artifact: Artifact, *, device: Device, threads: int) -> None:
        self.ref = artifact.manifest.ref
        self.keep = keep_of(artifact)
        self._encoder = _open(artifact, GRAPH, inputs(_first_payment()).feeds(), device)
        self.first = _open_first(artifact, device)
        self.explain_from = float(artifact.manifest.config["explain_from"])
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fraud") if threads > 1 else None

    @classmethod
    def open(cls, artifact: Artifact, *, device: Device = "auto", threads: int = 1) -> Self:
        """A scorer on `threads` threads, each with its own batches; `ModelError` where the model expects other features."""
        return cls(artifact, device=device, threads=threads)

    def score(self, rows: Sequence[FeatureRow]) -> list[FraudScore]:
        """A score per row, in the rows' order.

        A row's score does not depend on the others, but for a first logit within 1e-6 of the threshold: single precision
        differs by so much between batches.
        """
        order = np.argsort([len(row.customer) + len(row.terminal) for row in rows], kind="stable")
        parts = [part.tolist() for part in np.array_split(order, max(self._threads, -(-len(rows) // _PART))) if len(part)]
        batches = [[rows[place] for place in part] for part in parts]
        scored = map(self._part, batches) if self._pool is None else self._pool.map(self._part, batches)
        found: list[FraudScore | None] = [None] * len(rows)
        for part, scores in zip(parts, scored, strict=True):
            for place, score in zip(part, scores, strict=True):
                found[place] = score
        return [score for score in found if score is not None]

    def _part(self, rows: Sequence[FeatureRow]) -> list[FraudScore]:
        histories = stack(rows, self.keep)
        usual = usual_of(histories)
        logits, passed = self.logits(histories, usual)
        scores = 1.0 / (1.0 + np.exp(-logits))
        told = reasons.facts(rows, histories, usual)
        risky = np.flatnonzero(passed & (scores >= self.explain_from))
        if len(risky):
            explained = self.explain([rows[place] for place in risky.tolist()], histories.take(risky), logits[risky])
            for place, words in zip(risky.tolist(), explained, strict=True):
                told[place] = words
        return [FraudScore(score, words, self.ref) for score, words in zip(scores.tolist(), told, strict=True)]

    def logits(self, histories: Histories, usual: Floats) -> tuple[Floats, Flags]:
        """(N,) logits, and which of them are the encoder's."""
        if self.first is None:
            return self.encode(histories), np.ones(len(histories), np.bool_)
        logits = self.first.logits(aggregates(histories, usual))
        passed = logits >= self.first.threshold
        logits[passed] = self.encode(histories.take(np.flatnonzero(passed)))
        return logits, passed

    def encode(self, histories: Histories) -> Floats:
        """(N,) logits of the encoder."""
        logits = np.empty(len(histories))
        for start in range(0, len(logits), _BATCH):
            part = np.arange(start, min(start + _BATCH, len(logits)))
            feeds = inputs(histories.take(part).narrowed()).feeds()
            logits[part] = self._encoder.run(feeds, ["logit"])[0]
        return logits

    def explain(self, rows: Sequence[FeatureRow], histories: Histories, logits: Floats) -> list[tuple[str, ...]]:
        """The reasons of rows that the encoder gave `logits`, from what-if questions that it is asked in turn."""
        return reasons.explain(rows, histories, reasons.causes(histories, logits, self.encode))


def _open_first(artifact: Artifact, device: Device) -> First | None:
    """The first stage, if the model has one."""
    stated = artifact.manifest.config.get("cascade")
    if stated is None:
        return None
    try:
        cascade = msgspec.convert(stated, Cascade)
    except msgspec.ValidationError as error:
        raise ModelError(f"{artifact.folder}: config: cascade: {error}; export the model again") from error
    payment = _first_payment()
    return First(_open(artifact, cascade.first, {"base": aggregates(payment, usual_of(payment))}, device), cascade.threshold)


def _open(artifact: Artifact, graph: str, feeds: Mapping[str, Array], device: Device) -> Session:
    """A session that has given a logit to `feeds`."""
    session = open_session(artifact.path(graph), device=device)
    try:
        session.run(feeds, ["logit"])
    except Exception as error:  # onnxruntime raises its own untyped exceptions
        raise ModelError(f"{artifact.path(graph)} takes other inputs than {sorted(feeds)}: {error}") from error
    return session


def _first_payment() -> Histories:
    """A payment without a past."""
    payment = Transaction(id="0", time=from_epoch_s(0.0), customer_id="0", terminal_id="0", amount=1.0, currency="USD")
    return stack([features(payment, Ring(), Ring())])
