"""The variants that a model is served in, held against the trained network in torch."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from core.errors import ConfigError
from models.runtime import Mode, Session, open_session
from models.text.batching import plan
from models.training.text.measure import Logits, softmax
from models.training.text.report.parity import Parity

DEFAULT = "int8 weights (default)"
_LEAST_SAME_LABEL = 0.995
_MOST_MACRO_F1_LOSS = 0.005
_MOST_CHANGE_BY_BATCH = 1e-5
_ALONE_EVERY = 8  # of the texts are also scored alone

Figure = Callable[[Logits], float]
"""A figure of quality of the logits of all texts."""

Question = tuple[Sequence[int], Sequence[int]]
"""Texts (rows) and the columns of the head that they are asked about."""


def open_variants(folder: Path, exact: Path) -> dict[str, tuple[Session, float]]:
    """The variants of the model in `folder` with their sizes in MB; `exact` is the graph before its weights were made int8."""
    shipped = folder / "model.onnx"
    modes: tuple[tuple[str, Path, Mode, float], ...] = (
        ("float32", exact, "exact", 1.0),
        (DEFAULT, shipped, "exact", 1.0),
        ("int8 activations (fast)", shipped, "fast", 1.0),
        ("float16 (CUDA), run on the CPU", shipped, "half", 1.0),
    )
    return {
        name: (open_session(path, device="cpu", mode=mode), path.stat().st_size / 1e6 * share)
        for name, path, mode, share in modes
    }


def session_logits(session: Session, chunks: Sequence[Sequence[int]], *, pad: int) -> Logits:
    """The logits of each chunk, computed in the batches that serving would make: (chunks, columns)."""
    batches = plan(chunks, mode=session.mode, pad=pad)
    results = [session.run({"input_ids": each.input_ids, "attention_mask": each.attention_mask})[0] for each in batches]
    order = np.argsort([row for batch in batches for row in batch.rows])
    logits: Logits = np.concatenate(results)[order].astype(np.float64)
    return logits


def measure(
    variants: dict[str, tuple[Session, float]],
    chunks: Sequence[Sequence[int]],
    theirs: Logits,
    questions: Sequence[Question],
    *,
    pad: int,
    figure: Figure,
) -> list[Parity]:
    """Each variant's parity with the network's logits `theirs`; `figure` is what a loss of quality is told in."""
    alone = list(range(0, len(chunks), _ALONE_EVERY))
    found = []
    for name, (session, megabytes) in variants.items():
        ours = session_logits(session, chunks, pad=pad)
        single = np.concatenate([session_logits(session, [chunks[row]], pad=pad) for row in alone])
        same, change = _held(ours, theirs, questions)
        everywhere = [(range(len(alone)), columns) for _, columns in questions]
        found.append(
            Parity(
                variant=name,
                megabytes=round(megabytes, 1),
                same_label=same,
                max_change=change,
                macro_f1_loss=figure(theirs) - figure(ours),
                max_change_by_batch=_held(ours[alone], single, everywhere)[1],
            )
        )
    return found


def _held(ours: Logits, theirs: Logits, questions: Sequence[Question]) -> tuple[float, float]:
    """The share of equal labels and the largest change of a probability, each text on its own questions."""
    same: list[np.ndarray[tuple[int], np.dtype[np.bool_]]] = []
    change = 0.0
    for rows, columns in questions:
        one, other = (softmax(logits[np.ix_(list(rows), list(columns))]) for logits in (ours, theirs))
        same.append(one.argmax(1) == other.argmax(1))
        change = max(change, float(np.abs(one - other).max()))
    return float(np.concatenate(same).mean()), change


def refuse_poor(parities: Sequence[Parity]) -> None:
    """`ConfigError` where the default variant strays from the network further than a model that is served may."""
    shipped = next(each for each in parities if each.variant == DEFAULT)
    if (
        shipped.same_label < _LEAST_SAME_LABEL
        or shipped.macro_f1_loss > _MOST_MACRO_F1_LOSS
        or shipped.max_change_by_batch > _MOST_CHANGE_BY_BATCH
    ):
        raise ConfigError(
            f"the exported model strays too far from the trained one: {shipped}; train longer, or keep float weights"
        )
