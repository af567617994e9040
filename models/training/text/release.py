"""A finished run → a model folder that the registry accepts: ONNX, tokenizer, manifest and card, all measured as served."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np

from core.clock import rfc3339
from core.errors import ConfigError
from models.registry import CHAMPIONS, Artifact, Manifest, load, write_manifest
from models.runtime import open_session
from models.text.score import TextScorer
from models.training.text.batches import encode
from models.training.text.card import Findings, card
from models.training.text.data import LABELS, TASKS, Example, Split, Task, data_sources
from models.training.text.evaluate import baseline_labels, by_group, labels, of_task, predicted_labels
from models.training.text.finetune import Recipe, read_recipe
from models.training.text.measure import Logits, calibration_error, fit_temperature, log_softmax
from models.training.text.network import MAX_TOKENS, open_tokenizer
from models.training.text.onnx_export import OPSET, Parity, export_onnx, load_network, parity, session_logits

_LEAST_SAME_LABEL = 0.995
_MOST_CHANGE_BY_BATCH = 1e-5


def release(run: Path, parts: Split, out: Path, *, data: Path, now: datetime) -> Manifest:
    """The manifest of the model written to `out` (…/NAME/VERSION); `ConfigError` where the export falls short of parity."""
    recipe = read_recipe(run)
    network = load_network(run)
    out.mkdir(parents=True, exist_ok=True)
    export_onnx(network, out / "model.onnx")
    tokenizer = open_tokenizer(run)
    encoded = encode(tokenizer, parts.dev)
    tokenizer.no_truncation()
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    session = open_session(out / "model.onnx", device="cpu")
    measured = parity(session, network, encoded)
    _refuse_poor(measured)
    logits = dict(zip(TASKS, session_logits(session, [each.ids for each in encoded]), strict=True))
    manifest = _manifest(out, recipe, now=now, temperatures=_temperatures(parts.dev, logits))
    manifest = msgspec.structs.replace(manifest, data=data_sources(data, (*parts.train, *parts.dev)))
    write_manifest(out, manifest)
    findings = _findings(load(out), parts, logits, measured)
    manifest = msgspec.structs.replace(manifest, metrics=_metrics(findings))
    (out / "CARD.md").write_text(card(manifest, recipe, findings), encoding="utf-8")
    write_manifest(out, manifest)
    return load(out).manifest


def crown(out: Path) -> None:
    """Let the model in `out` serve its task, leaving the other tasks' champions as they are."""
    path = out.parent.parent / CHAMPIONS
    champions = msgspec.json.decode(path.read_bytes(), type=dict[str, str]) if path.exists() else {}
    champions[load(out).manifest.task] = f"{out.parent.name}/{out.name}"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(dict(sorted(champions.items()))), indent=2) + b"\n")


def score_dev(artifact: Artifact, dev: Sequence[Example]) -> dict[Task, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """The labels that serving gives the development part, for each task."""
    scorer = TextScorer.open(artifact, device="cpu")
    found = {}
    for task in TASKS:
        texts = [example.text for example in of_task(dev, task)]
        found[task] = predicted_labels(scorer.score(texts, ["en"] * len(texts)), task)
    return found


def _refuse_poor(measured: Parity) -> None:
    if measured.same_label < _LEAST_SAME_LABEL or measured.max_change_by_batch > _MOST_CHANGE_BY_BATCH:
        raise ConfigError(
            f"the exported model strays too far from the trained one: {measured}; train longer, or keep float weights"
        )


def _temperatures(dev: Sequence[Example], logits: Mapping[Task, Logits]) -> dict[str, float]:
    return {task: fit_temperature(_rows(dev, logits[task], task), labels(of_task(dev, task))) for task in TASKS}


def _rows(dev: Sequence[Example], table: Logits, task: Task) -> Logits:
    """The rows of the task's own examples."""
    return table[[example.task == task for example in dev]]


def _manifest(out: Path, recipe: Recipe, *, now: datetime, temperatures: dict[str, float]) -> Manifest:
    return Manifest(
        name=out.parent.name,
        version=out.name,
        task="text",
        created=rfc3339(now),
        licence="Apache-2.0",
        opset=OPSET,
        files={"model.onnx": "", "tokenizer.json": ""},
        data=(),
        metrics={},
        config={
            "languages": ["en"],
            "labels": {task: list(names) for task, names in LABELS.items()},
            "temperature": temperatures,
            "max_tokens": MAX_TOKENS,
            "seed": recipe.seed,
        },
    )


def _findings(artifact: Artifact, parts: Split, logits: Mapping[Task, Logits], measured: Parity) -> Findings:
    temperatures = artifact.manifest.config["temperature"]
    calibration: dict[str, tuple[float, float]] = {}
    for task in TASKS:
        rows, truth = _rows(parts.dev, logits[task], task), labels(of_task(parts.dev, task))
        before, after = (calibration_error(np.exp(log_softmax(rows / each)), truth) for each in (1.0, temperatures[task]))
        calibration[task] = (before, after)
    return Findings(
        model=by_group(parts.dev, score_dev(artifact, parts.dev)),
        baseline=by_group(parts.dev, baseline_labels(parts)),
        calibration=calibration,
        parity=measured,
    )


def _metrics(findings: Findings) -> dict[str, float]:
    metrics: dict[str, float] = dict(asdict(findings.parity))
    for task in TASKS:
        for prefix, groups in (("dev", findings.model), ("baseline_dev", findings.baseline)):
            figure = groups[task]
            metrics[f"{prefix}_{task}_accuracy"] = figure.accuracy.value
            metrics[f"{prefix}_{task}_macro_f1"] = figure.macro_f1.value
            metrics[f"{prefix}_{task}_macro_f1_low"] = figure.macro_f1.low
            metrics[f"{prefix}_{task}_macro_f1_high"] = figure.macro_f1.high
        metrics[f"dev_{task}_calibration_error"] = findings.calibration[task][1]
    return {name: round(value, 9) for name, value in metrics.items()}
