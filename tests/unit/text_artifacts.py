"""Tiny but real text models: a text's logits are the sums of its words' logits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser
from tokenizers import Tokenizer, models, pre_tokenizers

from models.registry import Licence, Manifest, read_manifest, write_manifest

BERT = ("[CLS]", "[SEP]", "[PAD]", "[UNK]")
XLM = ("<s>", "<pad>", "</s>", "<unk>")
SENTIMENT = ("negative", "neutral", "positive")

_GRAPH = """
<ir_version: 8, opset_import: ["": 17]>
words (int64[batch, length] input_ids, int64[batch, length] attention_mask) => (float[batch, {columns}] logits)
{{
    vectors = Gather (embeddings, input_ids)
    mask = Cast <to = 1> (attention_mask)
    last = Constant <value = int64[1] {{2}}> ()
    seen = Unsqueeze (mask, last)
    kept = Mul (vectors, seen)
    tokens = Constant <value = int64[1] {{1}}> ()
    logits = ReduceSum <keepdims = 0> (kept, tokens)
}}
"""


def head(task: str, languages: Sequence[str], labels: Sequence[str], first: int = 0, **more: Any) -> dict[str, Any]:
    """A head over as many columns as labels, from column `first` on."""
    columns = list(range(first, first + len(labels)))
    return {"task": task, "languages": languages, "labels": labels, "columns": columns, "temperature": 1.0, **more}


def config(*heads: dict[str, Any], languages: Sequence[str] = ("en",), **more: Any) -> dict[str, Any]:
    """The part of a manifest that says how a text model answers."""
    return {"languages": languages, "max_tokens": 128, "heads": heads, **more}


def write_text_model(
    root: Path,
    reference: str,
    config: Mapping[str, Any],
    words: Mapping[str, Sequence[float]],
    *,
    licence: Licence = "Apache-2.0",
    special: Sequence[str] = BERT,
) -> Path:
    """The folder of a model that knows `words`; its padding would outweigh every word if it were not masked."""
    folder = root / reference
    folder.mkdir(parents=True)
    columns = len(next(iter(words.values())))
    rows = [[1e6] * columns if "pad" in token.lower() else [0.0] * columns for token in special] + list(words.values())
    onnx.save(_graph(np.array(rows, np.float32)), folder / "model.onnx")
    vocabulary = {word: place for place, word in enumerate((*special, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=special[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    write_manifest(folder, _manifest(reference, config, licence))
    return folder


def _graph(embeddings: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
    model = parser.parse_model(_GRAPH.format(columns=embeddings.shape[1]))
    model.graph.initializer.append(numpy_helper.from_array(embeddings, "embeddings"))
    return model


def _manifest(reference: str, config: Mapping[str, Any], licence: Licence) -> Manifest:
    name, _, version = reference.partition("/")
    return Manifest(
        name=name,
        version=version,
        task="text",
        created="2026-01-01T00:00:00Z",
        licence=licence,
        opset=17,
        files={"model.onnx": "", "tokenizer.json": ""},
        data=(),
        metrics={"dev_sentiment_macro_f1": 0.5, "max_probability_change": 0.0},
        config=dict(config),
    )


def set_opset(folder: Path, version: int) -> None:
    """Let the graph of a folder say that it is of another opset, and the manifest accept it."""
    model = onnx.load(folder / "model.onnx")
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", version))
    onnx.save(model, folder / "model.onnx")
    write_manifest(folder, read_manifest(folder))
