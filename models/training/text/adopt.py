"""A user's own Hugging Face classifier → a model folder: exported, held against the original, calibrated where texts have labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np

from core.clock import rfc3339
from core.errors import ConfigError
from models.registry import DataSource, Licence, Manifest, load, sha256_of, write_manifest
from models.text.config import Head, Question
from models.text.normalize import normalize
from models.text.score import GRAPH, TOKENIZER
from models.training.text import variants
from models.training.text.batches import encode
from models.training.text.hugging_face import head_of, longest, open_classifier
from models.training.text.judge import module_logits
from models.training.text.measure import Labels, Logits, accuracy, fit_temperature, macro_f1
from models.training.text.network import pad_token
from models.training.text.onnx_export import OPSET
from models.training.text.release import MAX_TOKENS
from models.training.text.report.parity import Parity


class LabelledText(msgspec.Struct, frozen=True):
    """A line of the file that a model is held against; with labels it is calibrated and judged too."""

    text: str
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Adoption:
    """How a classifier is to be served. `labels` names its labels by number where its own names do not tell."""

    task: Question
    language: str
    labels: Mapping[int, str]
    licence: Licence


def adopt(source: str, texts: Path, out: Path, adoption: Adoption, *, now: datetime) -> tuple[Manifest, list[Parity]]:
    """The manifest of the model written to `out` (…/NAME/VERSION), and how its variants keep the classifier's answers on `texts`.

    `source` is a folder or a name on the hub; `texts` is JSON Lines {text, label?}. `ConfigError` where parity is poor.
    """
    module, tokenizer = open_classifier(source)
    config = module.model.config
    head = head_of(config, adoption.task, adoption.language, adoption.labels)
    lines = read_texts(texts)
    tokenizer.enable_truncation(longest(config, MAX_TOKENS))
    chunks, pad = encode(tokenizer, [normalize(line.text) for line in lines]), pad_token(tokenizer)
    truth = _truth(lines, head)
    reference = variants.Reference(
        chunks=chunks,
        logits=module_logits(module, chunks, pad=pad),
        pad=pad,
        questions=[(range(len(chunks)), head.columns)],
        figure=lambda logits: 0.0 if truth is None else macro_f1(truth, logits.argmax(1)),
    )
    found, _ = variants.export(module, tokenizer, out, reference)
    if truth is not None:
        head = msgspec.structs.replace(head, temperature=fit_temperature(reference.logits, truth))
    manifest = Manifest(
        name=out.parent.name,
        version=out.name,
        task="text",
        created=rfc3339(now),
        licence=adoption.licence,
        opset=OPSET,
        files={GRAPH: "", TOKENIZER: ""},
        data=(DataSource(name=texts.name, licence="the user's", rows=len(lines), sha256=sha256_of(texts)),),
        metrics=_metrics(found, reference.logits, truth),
        config={
            "languages": [head.languages[0]],
            "max_tokens": longest(config, MAX_TOKENS),
            "heads": [msgspec.to_builtins(head)],
        },
    )
    write_manifest(out, manifest)
    return load(out).manifest, found


def read_texts(path: Path) -> list[LabelledText]:
    """The lines of a JSON Lines file; `ConfigError` names a bad one."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigError(f"cannot read the texts: {error.strerror}", file=str(path)) from error
    found = [_decoded(line, path, number) for number, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise ConfigError("no texts to hold the model against", file=str(path))
    return found


def _decoded(line: bytes, path: Path, number: int) -> LabelledText:
    try:
        return msgspec.json.decode(line, type=LabelledText)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"a line must be {{text, label?}}: {error}", file=str(path), line=number) from error


def _truth(lines: Sequence[LabelledText], head: Head) -> Labels | None:
    """The texts' labels as columns; None where they have none."""
    if all(line.label is None for line in lines):
        return None
    unknown = {str(line.label) for line in lines} - set(head.labels)
    if unknown:
        raise ConfigError(f"labels {', '.join(sorted(unknown))} in the texts are none of the model's {', '.join(head.labels)}")
    return np.array([head.labels.index(str(line.label)) for line in lines])


def _metrics(parities: Sequence[Parity], logits: Logits, truth: Labels | None) -> dict[str, float]:
    shipped = variants.shipped(parities)
    found = {"parity.same_label": shipped.same_label, "parity.max_change_by_batch": shipped.max_change_by_batch}
    if truth is not None:
        guesses = logits.argmax(1)
        found |= {"texts.accuracy": accuracy(truth, guesses), "texts.macro_f1": macro_f1(truth, guesses)}
    return {name: round(value, 9) for name, value in found.items()}
