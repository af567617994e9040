"""A trained network → ONNX with int8 weights, and how far that moved its answers."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

Floats = np.ndarray[Any, np.dtype[np.float32]]
Integers = np.ndarray[Any, np.dtype[np.int8]]

OPSET = 17
OUTPUT = "logits"
_LEAST_SIDE = 16  # narrower tensors stay in float, 0.3 % of a file: a rounded token type would shift every token alike


class Served(torch.nn.Module):
    """The trained network with only the columns that are served: (batch, len(columns))."""

    def __init__(self, network: Any, columns: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.head = torch.nn.Linear(network.head.in_features, len(columns))
        with torch.no_grad():
            self.head.weight.copy_(network.head.weight[list(columns)])
            self.head.bias.copy_(network.head.bias[list(columns)])

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        return self.head(self.network.pooled(input_ids, attention_mask))


def export_onnx(module: Any, path: Path) -> None:
    """Write a module of (input_ids, attention_mask), both (batch, length), to logits (batch, columns), in float32."""
    module.eval()
    ids, mask = torch.tensor([[5, 6, 7, 8], [5, 6, 7, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    axes = {0: "batch", 1: "length"}
    torch.onnx.export(
        module,
        (ids, mask),
        str(path),
        dynamo=False,  # its graph is the one whose weights can be told from its constants
        opset_version=OPSET,
        input_names=["input_ids", "attention_mask"],
        output_names=[OUTPUT],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, OUTPUT: {0: "batch"}},
    )


def quantize_file(source: Path, target: Path) -> None:
    """Write the model of `source` with its weights in int8."""
    model = onnx.load(str(source))
    quantize_weights(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(target))


def quantize_weights(model: Any) -> None:
    """Replace each large weight by int8 values and a scale for each row or column, dequantised when the model is loaded.

    Activations stay in float: an int8 model whose activations are scaled over the batch scores a text by its neighbours.
    """
    graph = model.graph
    weights = {name for node in graph.node if (name := _weight_of(node)) is not None}
    for tensor in list(graph.initializer):
        if (
            tensor.name not in weights
            or tensor.data_type != TensorProto.FLOAT
            or len(tensor.dims) < 2
            or min(tensor.dims) < _LEAST_SIDE
        ):
            continue
        weight = numpy_helper.to_array(tensor)
        axis, values, scale = min(
            ((axis, *quantized(weight, axis=axis)) for axis in range(weight.ndim)), key=partial(_loss, weight)
        )
        graph.initializer.remove(tensor)
        parts = {"int8": values, "scale": scale, "zero": np.zeros(len(scale), np.int8)}
        names = [f"{tensor.name}.{part}" for part in parts]
        graph.initializer.extend(numpy_helper.from_array(array, name) for array, name in zip(parts.values(), names, strict=True))
        graph.node.insert(0, helper.make_node("DequantizeLinear", names, [tensor.name], axis=axis))


def _weight_of(node: Any) -> str | None:
    """The input of a node that may be a weight."""
    if node.op_type in ("MatMul", "Gemm"):
        return str(node.input[1])
    return str(node.input[0]) if node.op_type == "Gather" else None


def _loss(weight: Floats, way: tuple[int, Integers, Floats]) -> float:
    """The squared error of a weight that is quantised this way: a column of outliers spoils every row's scale, and the other way round."""
    axis, values, scale = way
    return float(((values * np.expand_dims(scale, tuple(set(range(weight.ndim)) - {axis})) - weight) ** 2).sum())


def quantized(weight: Floats, *, axis: int) -> tuple[Integers, Floats]:
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
