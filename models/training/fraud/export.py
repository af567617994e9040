"""A trained encoder → a model folder: the ONNX graph, its manifest, its card, and the champion's entry."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from core.clock import Clock, rfc3339, utc_now
from core.errors import ModelError
from models.aliases import promote
from models.fraud.features import Inputs
from models.fraud.score import GRAPH, contract
from models.registry import DataSource, Manifest, write_manifest
from models.runtime import open_session
from models.training.fraud.network import Encoder
from models.training.fraud.train import tensors

NAME = "fraud-encoder"
OPSET = 17
EXPLAIN_FROM = 0.1  # ten times the base rate of fraud
_AGREEMENT = 1e-4  # of a logit: 64 rows through both runtimes differ by about 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What the manifest and the card say of a model."""

    version: str
    data: tuple[DataSource, ...]
    metrics: dict[str, float]
    card: str


def export(model: Encoder, sample: Inputs, release: Release, *, root: Path, clock: Clock = utc_now) -> Path:
    """The folder `root/fraud-encoder/<version>`, checked against the network on `sample`, now the champion of task "fraud"."""
    folder = root / NAME / release.version
    folder.mkdir(parents=True, exist_ok=True)
    _graph(model, sample, folder / GRAPH)
    _check(model, sample, folder / GRAPH)
    (folder / "CARD.md").write_text(release.card, encoding="utf-8")
    manifest = Manifest(
        name=NAME,
        version=release.version,
        task="fraud",
        created=rfc3339(clock().replace(microsecond=0)),
        licence="Apache-2.0",
        opset=OPSET,
        files={GRAPH: "", "CARD.md": ""},
        data=release.data,
        metrics=release.metrics,
        config={"explain_from": EXPLAIN_FROM, "shape": model.shape.as_config(), "contract": contract()},
    )
    write_manifest(folder, manifest)
    promote(manifest.reference, root=root)
    return folder


def _graph(model: Encoder, sample: Inputs, path: Path) -> None:
    """Write the graph with free batch and token axes."""
    rows, steps = {0: "rows"}, {0: "rows", 1: "steps"}
    torch.onnx.export(
        model.eval(),
        tensors(sample),
        str(path),
        dynamo=False,
        opset_version=OPSET,
        input_names=["tokens", "ids", "mask", "base"],
        output_names=["logit"],
        dynamic_axes={"tokens": steps, "ids": steps, "mask": steps, "base": rows, "logit": rows},
    )


def _check(model: Encoder, sample: Inputs, path: Path) -> None:
    """`ModelError` where the graph disagrees with the network."""
    (served,) = open_session(path, device="cpu").run(sample.feeds())
    with torch.inference_mode():
        trained = model(*tensors(sample)).numpy()
    gap = float(np.abs(served - trained).max())
    if gap > _AGREEMENT:
        raise ModelError(f"{path}: the graph's logits differ from the network's by {gap:.2g}; do not serve it")
