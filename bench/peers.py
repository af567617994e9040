"""What else scores texts with a BERT encoder on a CPU, each on one thread: Hugging Face pipelines, torch, OpenVINO, ONNX Runtime.

All read the same tokenizer and have encoders of the same shape, with random weights.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import openvino
import torch
import transformers
from onnx import helper, numpy_helper
from tokenizers import Tokenizer

from bench.encoder import Shape, write_float
from models.training.text.network import pad_token

MAX_TOKENS = 128
REFERENCE = "Hugging Face pipeline, one by one"
BOUND = "the float32 products alone"
_BLOCK = 128  # weights to a scale; 32 of them took 20 % longer
_BATCH = 8  # 64 took 30 % longer
_LABELS = 3
_TRUNCATION = {"truncation": True, "max_length": MAX_TOKENS}

Ids = np.ndarray[tuple[int, int], np.dtype[np.int64]]
Scorer = Callable[[Sequence[str]], Sequence[Any]]
"""Texts → what it finds of each, in their order."""
Run = Callable[[Ids, Ids], np.ndarray[Any, np.dtype[np.float32]]]
"""(batch, length) token ids and mask → logits (batch, labels)."""


def open_tokenizer(path: Path) -> Any:
    """The tokenizer as Hugging Face's pipelines take it; it pads to no fixed length."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    pad = tokenizer.id_to_token(pad_token(tokenizer))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad)


def peers(shape: Shape, tokenizer: Any, folder: Path) -> dict[str, Scorer]:
    """Every peer by its name; `folder` keeps the ONNX file that two of them read."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    network = transformers.BertForSequenceClassification(shape.config(num_labels=_LABELS)).eval()
    path = folder / "peers.onnx"
    write_float(shape, path, columns=_LABELS)
    on_openvino = batched(tokenizer, open_openvino(path))
    return {
        REFERENCE: one_by_one(pipeline(network, tokenizer, batch_size=1)),
        "Hugging Face pipeline, batch_size=32": pipeline(network, tokenizer, batch_size=32),
        "torch float32, batches of 8": batched(tokenizer, open_torch(network)),
        "OpenVINO float32, one by one": one_by_one(on_openvino),
        "OpenVINO float32, batches of 8": on_openvino,
        "ONNX Runtime float32, batches of 8": batched(tokenizer, open_onnxruntime(path)),
        "ONNX Runtime int8 blocks, batches of 8": batched(tokenizer, open_onnxruntime(in_blocks(path))),
        BOUND: batched(tokenizer, products(shape)),
    }


def pipeline(network: Any, tokenizer: Any, *, batch_size: int) -> Scorer:
    """`pipeline("text-classification")` as its documentation calls it."""
    classify = transformers.pipeline("text-classification", model=network, tokenizer=tokenizer, device="cpu")
    return lambda texts: list(classify(list(texts), batch_size=batch_size, **_TRUNCATION))


def one_by_one(scorer: Scorer) -> Scorer:
    """The scorer, called for each text."""
    return lambda texts: [scorer([text])[0] for text in texts]


def batched(tokenizer: Any, run: Run) -> Scorer:
    """The scorer of a model that runs batches of 8 texts of like length."""

    def score(texts: Sequence[str]) -> Sequence[Any]:
        ids = tokenizer(list(texts), **_TRUNCATION)["input_ids"]
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        found = np.empty(len(ids), np.int64)
        for start in range(0, len(ids), _BATCH):
            rows = order[start : start + _BATCH]
            batch = tokenizer.pad({"input_ids": [ids[row] for row in rows]}, return_tensors="np")
            found[rows] = run(batch["input_ids"], batch["attention_mask"]).argmax(axis=1)
        return list(found)

    return score


def open_torch(network: Any) -> Run:
    """Torch in its inference mode."""

    def run(input_ids: Ids, attention_mask: Ids) -> Any:
        with torch.inference_mode():
            return network(torch.from_numpy(input_ids), torch.from_numpy(attention_mask)).logits.numpy()

    return run


def open_openvino(path: Path) -> Run:
    """OpenVINO on one thread, in float32 even where the CPU has bfloat16."""
    options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(path), "CPU", options)
    return lambda input_ids, attention_mask: compiled({"input_ids": input_ids, "attention_mask": attention_mask})[0]


def open_onnxruntime(path: Path) -> Run:
    """ONNX Runtime as it is by default, but on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda input_ids, attention_mask: session.run(None, {"input_ids": input_ids, "attention_mask": attention_mask})[0]


def in_blocks(path: Path) -> Path:
    """The graph with MatMulNBits: weights in 8 bits with a scale for each block, activations in int8 with one for each token's block."""
    model = onnx.load(path)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in tensors]:
        weight = numpy_helper.to_array(tensors[node.input[1]])
        rows, columns = weight.shape
        if rows % _BLOCK:
            continue
        blocks = weight.T.reshape(columns, rows // _BLOCK, _BLOCK)
        scales = np.abs(blocks).max(axis=2, keepdims=True) / 127
        arrays = ((np.round(blocks / scales) + 128).astype(np.uint8), scales.reshape(-1).astype(np.float32))
        names = [f"{node.output[0]}.{part}" for part in ("blocks", "scales")]
        model.graph.initializer.remove(tensors[node.input[1]])
        model.graph.initializer.extend(map(numpy_helper.from_array, arrays, names))
        options = {"K": rows, "N": columns, "bits": 8, "block_size": _BLOCK, "accuracy_level": 4}
        node.CopyFrom(helper.make_node("MatMulNBits", [node.input[0], *names], node.output, domain="com.microsoft", **options))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    found = path.with_stem("blocks")
    onnx.save(model, found)
    return found


def products(shape: Shape) -> Run:
    """No model, but a bound: the products with an encoder's weights and nothing else, by torch in float32."""
    sizes = [(shape.width, shape.width)] * 4 + [(shape.width, shape.inner), (shape.inner, shape.width)]
    weights = [torch.randn(size) for size in sizes * shape.layers]
    tokens = {size: torch.randn(_BATCH * MAX_TOKENS, size) for size in (shape.width, shape.inner)}

    def run(input_ids: Ids, attention_mask: Ids) -> Any:
        with torch.inference_mode():
            for weight in weights:
                torch.mm(tokens[len(weight)][: input_ids.size], weight)
        return np.zeros((len(input_ids), _LABELS), np.float32)

    return run
