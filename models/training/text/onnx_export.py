"""A trained network → ONNX with int8 weights, and how far that moved its answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from transformers import AutoConfig, AutoModel

from models.runtime import Session
from models.text.batching import plan
from models.text.score import softmax
from models.training.text.batches import Encoded
from models.training.text.data import TASKS
from models.training.text.finetune import WEIGHTS
from models.training.text.measure import Logits
from models.training.text.network import TwoHeads

OPSET = 17
OUTPUTS = ("sentiment_logits", "topic_logits")
_ALONE_EVERY = 8  # of the texts are also scored alone: at most 2.1e-7 moved; over all texts of an earlier export 2.5e-7
_LEAST_SIZE = 1024  # smaller tensors (biases, norms) stay in float: they are 0.3 % of the file


@dataclass(frozen=True, slots=True)
class Parity:
    """The exported model against torch on the same texts, and a text alone against the same text in a batch."""

    same_label: float
    max_probability_change: float
    max_change_by_batch: float


def load_network(folder: Path) -> TwoHeads:
    """The trained network of a finished run, in evaluation mode."""
    config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    network = TwoHeads(AutoModel.from_config(config, attn_implementation="eager"))
    network.load_state_dict(torch.load(folder / WEIGHTS, weights_only=True))
    network.eval()
    return network


def export_onnx(network: TwoHeads, path: Path) -> None:
    """Write the network with inputs `input_ids` and `attention_mask` (batch, length) and the outputs `OUTPUTS`, weights in int8."""
    ids = torch.tensor([[101, 2003, 2023, 102], [101, 2023, 102, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    axes = {0: "batch", 1: "length"}
    torch.onnx.export(
        network,
        (ids, mask),
        str(path),
        dynamo=False,  # its graph is the one whose weights can be told from its constants
        opset_version=OPSET,
        input_names=["input_ids", "attention_mask"],
        output_names=list(OUTPUTS),
        dynamic_axes={"input_ids": axes, "attention_mask": axes, **{name: {0: "batch"} for name in OUTPUTS}},
    )
    model = onnx.load(str(path))
    quantize_weights(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def quantize_weights(model: Any) -> None:
    """Replace each large weight by int8 values and a scale for each of its channels, dequantised when the model is loaded.

    Activations stay in float: an int8 model whose activations are scaled over the batch scores a text by its neighbours.
    """
    graph = model.graph
    axes = {name: axis for node in graph.node for name, axis in _weights_of(node)}
    for tensor in list(graph.initializer):
        if tensor.name not in axes or tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _LEAST_SIZE:
            continue
        axis = axes[tensor.name]
        values, scale = quantized(numpy_helper.to_array(tensor), axis=axis)
        graph.initializer.remove(tensor)
        parts = {"int8": values, "scale": scale, "zero": np.zeros(len(scale), np.int8)}
        names = [f"{tensor.name}.{part}" for part in parts]
        graph.initializer.extend(numpy_helper.from_array(array, name) for array, name in zip(parts.values(), names, strict=True))
        graph.node.insert(0, helper.make_node("DequantizeLinear", names, [tensor.name], axis=axis))


def _weights_of(node: Any) -> list[tuple[str, int]]:
    """The inputs of a node that may be weights, with the axis of their output channels."""
    if node.op_type == "MatMul":
        return [(node.input[1], 1)]
    if node.op_type == "Gemm":
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        return [(node.input[1], 0 if transposed else 1)]
    return [(node.input[0], 0)] if node.op_type == "Gather" else []


def quantized(
    weight: np.ndarray[Any, np.dtype[np.float32]], *, axis: int
) -> tuple[np.ndarray[Any, np.dtype[np.int8]], np.ndarray[Any, np.dtype[np.float32]]]:
    """Symmetric int8 values and the float scale of each channel along `axis`: weight ≈ values × scale.

    >>> values, scale = quantized(np.array([[1.27, -0.5], [0.0, 2.54]], dtype=np.float32), axis=0)
    >>> values.tolist(), [f"{each:.2f}" for each in scale]
    ([[127, -50], [0, 127]], ['0.01', '0.02'])
    """
    others = tuple(each for each in range(weight.ndim) if each != axis)
    largest = np.abs(weight).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
    values = np.clip(np.round(weight / scale), -127, 127).astype(np.int8)
    return values, scale.reshape(-1)


def session_logits(session: Session, chunks: Sequence[Sequence[int]]) -> tuple[Logits, Logits]:
    """Sentiment and topic logits of each chunk, computed in the batches that serving would make."""
    batches = plan(chunks, device=session.device)
    results = [session.run({"input_ids": each.input_ids, "attention_mask": each.attention_mask}, OUTPUTS) for each in batches]
    order = np.argsort([row for batch in batches for row in batch.rows])
    sentiment, topic = (np.concatenate([result[output] for result in results])[order] for output in (0, 1))
    return sentiment.astype(np.float64), topic.astype(np.float64)


def torch_logits(network: TwoHeads, chunks: Sequence[Sequence[int]]) -> tuple[Logits, Logits]:
    """The same from the network itself."""
    rows: list[int] = []
    results = []
    with torch.inference_mode():
        for batch in plan(chunks, device="cpu"):
            rows.extend(batch.rows)
            results.append(network(torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)))
    order = np.argsort(rows)
    sentiment, topic = (np.concatenate([result[output].numpy() for result in results])[order] for output in (0, 1))
    return sentiment.astype(np.float64), topic.astype(np.float64)


def parity(session: Session, network: TwoHeads, encoded: Sequence[Encoded]) -> Parity:
    """How the exported model's probabilities differ from torch's, each text on its own task."""
    chunks = [each.ids for each in encoded]
    alone = chunks[::_ALONE_EVERY]
    changes, same = [], []
    exported = [softmax(logits) for logits in session_logits(session, chunks)]
    original = [softmax(logits) for logits in torch_logits(network, chunks)]
    single = [softmax(np.concatenate(each)) for each in zip(*(session_logits(session, [one]) for one in alone), strict=True)]
    for task, ours, theirs in zip(TASKS, exported, original, strict=True):
        rows = [each.task == task for each in encoded]
        changes.append(np.abs(ours - theirs)[rows].max())
        same.append((ours.argmax(1) == theirs.argmax(1))[rows])
    return Parity(
        same_label=float(np.concatenate(same).mean()),
        max_probability_change=float(max(changes)),
        max_change_by_batch=max(float(np.abs(a[::_ALONE_EVERY] - b).max()) for a, b in zip(exported, single, strict=True)),
    )
