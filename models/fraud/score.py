"""Payments with their pasts → calibrated fraud probabilities with reasons, on ONNX Runtime."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from core.errors import ModelError
from core.records import ModelRef
from models.fraud import reasons
from models.fraud.aggregates import NAMES, spending
from models.fraud.arrays import Floats, Ints
from models.fraud.features import CONTINUOUS, SIZES, inputs
from models.fraud.history import CUSTOMER, TERMINAL
from models.fraud.windows import FeatureRow, Histories, stack
from models.registry import Artifact
from models.runtime import Device, Session, open_session

GRAPH = "model.onnx"
_BATCH = 64  # rows at 250 µs of CPU each; 256 take 228 µs each, but leave a second thread idle on short batches


@dataclass(frozen=True, slots=True)
class FraudScore:
    """A probability, 0..1, higher = riskier, and one to three reasons, the weightiest first."""

    fraud_score: float
    reasons: tuple[str, ...]
    model: ModelRef


def contract() -> dict[str, Any]:
    """What an exported graph and this code must agree on: export writes it into the manifest, `FraudScorer.open` checks it."""
    return {
        "continuous": list(CONTINUOUS),
        "categories": dict(SIZES),
        "aggregates": list(NAMES),
        "customer_keep": CUSTOMER.keep,
        "terminal_keep": TERMINAL.keep,
    }


class FraudScorer:
    """Scores rows on one model; may be called from several threads."""

    def __init__(self, session: Session, ref: ModelRef, *, explain_from: float, threads: int) -> None:
        self._session = session
        self._explain_from = explain_from
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fraud") if threads > 1 else None
        self.ref = ref

    @classmethod
    def open(cls, artifact: Artifact, *, device: Device = "auto", threads: int = 1) -> Self:
        """A scorer on `threads` threads, each with its own batches; `ModelError` where the model expects other features."""
        config = artifact.manifest.config
        if config.get("contract") != contract():
            raise ModelError(f"{artifact.folder} expects other features than this version computes; export the model again")
        session = open_session(artifact.path(GRAPH), device=device)
        return cls(session, artifact.manifest.ref, explain_from=float(config["explain_from"]), threads=threads)

    def score(self, rows: Sequence[FeatureRow]) -> list[FraudScore]:
        """A score per row, in the rows' order; a row's score does not depend on the others."""
        lengths = np.array([len(row.customer) + len(row.terminal) for row in rows])
        order = np.argsort(lengths, kind="stable").tolist()
        parts = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
        batches = [[rows[place] for place in part] for part in parts]
        scored = map(self._batch, batches) if self._pool is None else self._pool.map(self._batch, batches)
        found: list[FraudScore | None] = [None] * len(rows)
        for part, scores in zip(parts, scored, strict=True):
            for place, score in zip(part, scores, strict=True):
                found[place] = score
        return [score for score in found if score is not None]

    def _batch(self, rows: Sequence[FeatureRow]) -> list[FraudScore]:
        histories = stack(rows)
        logits = self._logits(histories)
        scores = 1.0 / (1.0 + np.exp(-logits))
        means = spending(histories).mean
        risky = np.flatnonzero(scores >= self._explain_from)
        explained = dict(zip(risky.tolist(), self._explain(rows, histories, logits, risky), strict=True)) if len(risky) else {}
        return [
            FraudScore(score, explained.get(place) or reasons.facts(row, mean), self.ref)
            for place, (row, score, mean) in enumerate(zip(rows, scores.tolist(), means.tolist(), strict=True))
        ]

    def _explain(self, rows: Sequence[FeatureRow], histories: Histories, logits: Floats, risky: Ints) -> list[tuple[str, ...]]:
        """The reasons of the rows in `risky`, from what-if questions scored like any other payment."""
        chosen = histories.take(risky)
        asked, changed = reasons.ask(chosen)
        answers = np.concatenate([self._logits(histories) for histories in changed])
        places = np.array([what_if.row for what_if in asked], dtype=np.int64)
        drops = logits[risky][places] - answers
        return reasons.explain([rows[place] for place in risky.tolist()], spending(chosen).mean, asked, drops)

    def _logits(self, histories: Histories) -> Floats:
        """(N,) float64."""
        (logits,) = self._session.run(inputs(histories).feeds(), ["logit"])
        return logits.astype(np.float64)
