"""A trained encoder → a model folder: the ONNX graphs, the manifest, the card, and the report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from core.clock import Clock, rfc3339, utc_now
from core.errors import ModelError
from models.fraud.features import Inputs
from models.fraud.score import FIRST_GRAPH, GRAPH, Cascade, contract
from models.registry import DataSource, Licence, Manifest, write_manifest
from models.runtime import open_session
from models.training.fraud.network import Encoder
from models.training.report.document import Report
from models.training.report.pages import PAGES, write_pages

OPSET = 17
EXPLAIN_FROM = 0.1  # ten times the base rate of fraud
_AGREEMENT = 1e-4  # of a logit: 64 rows through both runtimes differ by about 1e-6
_ROWS, _STEPS = {0: "rows"}, {0: "rows", 1: "steps"}
_AXES = {"tokens": _STEPS, "ids": _STEPS, "mask": _STEPS, "base": _ROWS, "first": _ROWS, "logit": _ROWS}

Feeds = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStage:
    """A cheap graph `base` (N, sums) → `logit` (N,), the least logit that goes on to the encoder, and what that costs.

    `cost` is told in the manifest: measures of what the cascade loses in detections against the encoder alone. Without a threshold
    the encoder judges every payment.
    """

    graph: Path
    threshold: float | None = None
    cost: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What the manifest and the card say of a model.

    With `first`, the network adds to that stage's logit, and the stage is part of the encoder's graph; with a threshold the model is
    served as a cascade too.
    """

    reference: str
    data: tuple[DataSource, ...]
    licence: Licence
    metrics: dict[str, float]
    card: str
    first: FirstStage | None = None
    report: Report | None = None


def export(model: Encoder, sample: Inputs, release: Release, *, root: Path, clock: Clock = utc_now) -> Path:
    """The folder `root/<reference>`, checked against the network on `sample`; `models promote` lets it serve."""
    name, _, version = release.reference.partition("/")
    folder = root / name / version
    folder.mkdir(parents=True, exist_ok=True)
    _graph(model, sample.feeds(), folder / GRAPH, None if release.first is None else release.first.graph)
    cascade = _cascade(release.first)
    if release.first is not None and cascade:
        (folder / FIRST_GRAPH).write_bytes(release.first.graph.read_bytes())
    (folder / "CARD.md").write_text(release.card, encoding="utf-8")
    if release.report is not None:
        write_pages(release.report, folder)
    manifest = Manifest(
        name=name,
        version=version,
        task="fraud",
        created=rfc3339(clock().replace(microsecond=0)),
        licence=release.licence,
        opset=OPSET,
        files=dict.fromkeys((GRAPH, "CARD.md", *((FIRST_GRAPH,) if cascade else ()), *(PAGES if release.report else ())), ""),
        data=release.data,
        metrics=release.metrics,
        config={
            "explain_from": EXPLAIN_FROM,
            "shape": model.shape.as_config(),
            "contract": contract(),
            **cascade,
        },
    )
    write_manifest(folder, manifest)
    return folder


def _cascade(first: FirstStage | None) -> dict[str, Any]:
    """The manifest's entry for a first stage that screens."""
    if first is None or first.threshold is None:
        return {}
    return {"cascade": msgspec.to_builtins(Cascade(first=FIRST_GRAPH, threshold=first.threshold, cost=first.cost))}


def _graph(network: nn.Module, feeds: Feeds, path: Path, first: Path | None) -> None:
    """Write the graph with free batch and token axes; `ModelError` where its logits are not the network's."""
    arguments = [torch.from_numpy(array) for array in feeds.values()]
    names = list(feeds)
    if first is not None:
        names.append("first")
        arguments.append(torch.from_numpy(open_session(first, device="cpu").run({"base": feeds["base"]}, ["logit"])[0]))
    torch.onnx.export(
        network.eval(),
        tuple(arguments),
        str(path),
        dynamo=False,
        opset_version=OPSET,
        input_names=names,
        output_names=["logit"],
        dynamic_axes={name: _AXES[name] for name in (*names, "logit")},
    )
    if first is not None:
        _join(path, first)
    (served,) = open_session(path, device="cpu").run(feeds)
    with torch.inference_mode():
        trained = network(*arguments).numpy()
    if served.shape != (len(arguments[0]),):
        raise ModelError(f"{path}: gives {served.shape} for {len(arguments[0])} payments, not a logit each; do not serve it")
    gap = float(np.abs(served - trained).max())
    if gap > _AGREEMENT:
        raise ModelError(f"{path}: the graph's logits differ from the network's by {gap:.2g}; do not serve it")


def _join(path: Path, first: Path) -> None:
    """Put the first stage's nodes before the network's, in place of the network's input `first`."""
    whole, stage = onnx.load(path), onnx.load(first)
    nodes = list(whole.graph.node)
    for node in stage.graph.node:
        node.output[:] = ["first" if name == "logit" else name for name in node.output]
    del whole.graph.node[:]
    whole.graph.node.extend([*stage.graph.node, *nodes])
    kept = [each for each in whole.graph.input if each.name != "first"]
    del whole.graph.input[:]
    whole.graph.input.extend(kept)
    whole.opset_import.extend(each for each in stage.opset_import if each.domain)
    onnx.save(whole, path)
