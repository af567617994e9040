"""Encoders with random weights in the shape of a served one: how fast a model runs does not depend on what it has learned."""

import warnings
from pathlib import Path
from typing import Any

import msgspec
from transformers import BertConfig, BertModel

from core.errors import ModelError
from models.registry import Artifact, load, write_manifest
from models.text.config import read_config
from models.text.score import GRAPH, TOKENIZER
from models.training.text.network import Network
from models.training.text.onnx_export import Served, export_onnx, quantize_file


class Shape(msgspec.Struct, frozen=True):
    """A BERT encoder's sizes, as a text model's manifest states them."""

    layers: int
    width: int
    heads: int
    inner: int
    vocabulary: int

    def config(self, **more: Any) -> Any:
        """The same as a Hugging Face configuration."""
        return BertConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.inner,
            **more,
        )


def shape_of(artifact: Artifact) -> Shape:
    """The shape of a text model's encoder; `ModelError` where its manifest does not state it."""
    try:
        return msgspec.convert(artifact.manifest.config.get("encoder"), Shape)
    except msgspec.ValidationError as error:
        reason = f"manifest config: encoder: {error}"
        raise ModelError(
            f"{artifact.manifest.reference}: {reason}; export the model again, or name another with --model"
        ) from error


def write_float(shape: Shape, path: Path, *, columns: int) -> None:
    """Write an encoder of that shape with one linear layer over the mean of its tokens as ONNX in float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the tracer takes for constant: it is, here
        export_onnx(Served(Network(BertModel(shape.config(), add_pooling_layer=False)), range(columns)), path)


def write_student(teacher: Artifact, folder: Path) -> Artifact:
    """A served student of the bundled recipe's shape, 4 layers × 256, that reads and answers what its teacher does."""
    shape = Shape(layers=4, width=256, heads=4, inner=1024, vocabulary=shape_of(teacher).vocabulary)
    write_float(shape, folder / "float.onnx", columns=read_config(teacher).columns)
    quantize_file(folder / "float.onnx", folder / GRAPH)
    (folder / TOKENIZER).write_bytes(teacher.path(TOKENIZER).read_bytes())
    manifest = msgspec.structs.replace(
        teacher.manifest,
        name="random-weights",
        version="0",
        files={GRAPH: "", TOKENIZER: ""},
        config=teacher.manifest.config | {"encoder": msgspec.structs.asdict(shape)},
    )
    write_manifest(folder, manifest)
    return load(folder)
