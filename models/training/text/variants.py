"""A module in torch → the model file, and every variant that it is served in, held against the module."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from core.errors import ConfigError
from models.runtime import Mode, Session, open_session
from models.text.batching import plan
from models.text.score import GRAPH, TOKENIZER, softmax
from models.training.text.measure import Logits
from models.training.text.onnx_export import export_onnx, quantize_file
from models.training.text.report.parity import Parity

DEFAULT = "int8 weights (default)"
_LEAST_SAME_LABEL = 0.995
_MOST_MACRO_F1_LOSS = 0.005
_MOST_CHANGE_BY_BATCH = 1e-5
_ALONE_EVERY = 8  # of the texts are also scored alone

Question = tuple[Sequence[int], Sequence[int]]
"""Texts (rows) and the columns of the head that they are asked about."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What variants are held against: the module's `logits` (chunks, columns) of token `chunks`, padded with `pad`, and the questions.

    `figure` tells the quality of logits in one number, higher = better.
    """

    chunks: Sequence[Sequence[int]]
    logits: Logits
    pad: int
    questions: Sequence[Question]
    figure: Callable[[Logits], float]


def export(module: Any, tokenizer: Tokenizer, out: Path, reference: Reference) -> tuple[list[Parity], Logits]:
    """Write the module and its tokenizer to `out`; the variants' parity, and the default variant's logits of the reference's chunks.

    `ConfigError` where the default strays from the module further than a model that is served may.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / GRAPH
        export_onnx(module, exact)
        quantize_file(exact, out / GRAPH)
        opened = {name: (open_session(path, device="cpu", mode=mode), path) for name, path, mode in _modes(exact, out / GRAPH)}
        logits = {name: session_logits(session, reference.chunks, pad=reference.pad) for name, (session, _) in opened.items()}
        found = [_parity(name, session, path.stat().st_size, logits[name], reference) for name, (session, path) in opened.items()]
    refuse_poor(found)
    tokenizer.no_truncation()
    tokenizer.save(str(out / TOKENIZER), pretty=False)
    return found, logits[DEFAULT]


def shipped(parities: Sequence[Parity]) -> Parity:
    """The default variant's."""
    return next(each for each in parities if each.variant == DEFAULT)


def _modes(exact: Path, quantized: Path) -> tuple[tuple[str, Path, Mode], ...]:
    """The variants; `exact` is the graph before its weights were made int8."""
    return (
        ("float32", exact, "exact"),
        (DEFAULT, quantized, "exact"),
        ("int8 activations (fast)", quantized, "fast"),
        ("float16 (CUDA), run on the CPU", quantized, "half"),
    )


def session_logits(session: Session, chunks: Sequence[Sequence[int]], *, pad: int) -> Logits:
    """The logits of each chunk, computed in the batches that serving would make: (chunks, columns)."""
    batches = plan(chunks, mode=session.mode, pad=pad)
    results = [session.run({"input_ids": each.input_ids, "attention_mask": each.attention_mask})[0] for each in batches]
    order = np.argsort([row for batch in batches for row in batch.rows])
    logits: Logits = np.concatenate(results)[order].astype(np.float64)
    return logits


def _parity(name: str, session: Session, size: int, ours: Logits, reference: Reference) -> Parity:
    alone = list(range(0, len(reference.chunks), _ALONE_EVERY))
    single = np.concatenate([session_logits(session, [reference.chunks[row]], pad=reference.pad) for row in alone])
    same, change = _held(ours, reference.logits, reference.questions)
    everywhere = [(range(len(alone)), columns) for _, columns in reference.questions]
    return Parity(
        variant=name,
        megabytes=round(size / 1e6, 1),
        same_label=same,
        max_change=change,
        macro_f1_loss=reference.figure(reference.logits) - reference.figure(ours),
        max_change_by_batch=_held(ours[alone], single, everywhere)[1],
    )


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
    default = shipped(parities)
    if (
        default.same_label < _LEAST_SAME_LABEL
        or default.macro_f1_loss > _MOST_MACRO_F1_LOSS
        or default.max_change_by_batch > _MOST_CHANGE_BY_BATCH
    ):
        raise ConfigError(
            f"the exported model strays too far from the trained one: {default}; train longer, or keep float weights"
        )
