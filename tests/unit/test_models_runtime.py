"""The run-time modes on the shipped text model: what fast and 16-bit arithmetic change, and what they must not."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser
from tokenizers import Tokenizer

from core.errors import ModelError
from models.aliases import resolve
from models.registry import Artifact
from models.runtime import Session, open_session
from models.text.batching import plan
from models.text.chunks import Chunker
from models.text.score import TextScore, TextScorer

_PRODUCT = """
<ir_version: 8, opset_import: ["": {opset}]>
product (float[1, length, 32] tokens) => (float[1, length, 8] logits)
{{
    floats = DequantizeLinear <axis = 1> (weight, scale, zero)
    logits = MatMul (tokens, floats)
}}
"""
SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return resolve("champion", "sentiment.en")


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """200 headlines and posts of the samples."""
    headlines = [json.loads(line)["title"] for line in (SAMPLES / "news-sentfin.jsonl").read_bytes().splitlines()[:100]]
    posts = [json.loads(line)["text"] for line in (SAMPLES / "social-stocknet.jsonl").read_bytes().splitlines()[:100]]
    return headlines + posts


@pytest.fixture(scope="module")
def exact(artifact: Artifact, texts: Sequence[str]) -> list[TextScore]:
    return TextScorer.open(artifact, device="cpu").score(texts, ["en"] * len(texts))


@pytest.fixture(scope="module")
def fast(artifact: Artifact) -> TextScorer:
    return TextScorer.open(artifact, device="cpu", mode="fast", threads=2)


def same_labels(scores: Sequence[TextScore], others: Sequence[TextScore]) -> tuple[float, float]:
    """The shares of texts whose sentiment and whose topic have the same label."""
    pairs = list(zip(scores, others, strict=True))
    sentiments = [one.sentiment.label == other.sentiment.label for one, other in pairs if one.sentiment and other.sentiment]
    topics = [one.topic.label == other.topic.label for one, other in pairs if one.topic and other.topic]
    assert len(sentiments) == len(scores)
    return float(np.mean(sentiments)), float(np.mean(topics)) if topics else 1.0


def test_fast_keeps_the_labels(fast: TextScorer, exact: list[TextScore], texts: list[str]) -> None:
    sentiment, topic = same_labels(fast.score(texts, ["en"] * len(texts)), exact)
    assert fast.mode == "fast"
    assert sentiment >= 0.98
    assert topic >= 0.95  # of 20 labels, with many near ties among posts: weights in 7 bits alone change .03 of them


def test_a_fast_score_does_not_depend_on_its_neighbours(fast: TextScorer, texts: list[str]) -> None:
    shuffled = random.Random(0).sample(texts, 60)
    together = fast.score(shuffled, ["en"] * len(shuffled))
    for text, score in zip(shuffled, together, strict=True):
        (alone,) = fast.score([text], ["en"])
        assert score.sentiment is not None
        assert alone.sentiment is not None
        assert score.sentiment.score == pytest.approx(alone.sentiment.score, abs=1e-6)


def test_sixteen_bits_keep_the_labels(artifact: Artifact, exact: list[TextScore], texts: list[str]) -> None:
    half = TextScorer.open(artifact, device="cpu", mode="half")
    sentiment, topic = same_labels(half.score(texts, ["en"] * len(texts)), exact)
    assert half.mode == "half"
    assert min(sentiment, topic) >= 0.99


def test_bound_inputs_and_outputs_change_nothing(artifact: Artifact, texts: list[str]) -> None:
    session = open_session(artifact.path("model.onnx"), device="cpu")
    chunker = Chunker(Tokenizer.from_file(str(artifact.path("tokenizer.json"))), max_tokens=128)
    chunks = [chunk for text in chunker.split(texts[:20]) for chunk in text.chunks]
    for batch in plan(chunks, pad=chunker.pad):
        feeds = {"input_ids": batch.input_ids, "attention_mask": np.asfortranarray(batch.attention_mask)}
        for plain, bound in zip(session.run(feeds), session.run_bound(feeds), strict=True):
            assert np.array_equal(plain, bound)
        last = list(session.outputs)[-1]
        assert np.array_equal(session.run_bound(feeds, [last])[0], session.run(feeds)[-1])


def test_fast_and_half_run_in_the_batches_that_suit_them() -> None:
    chunks = [[1] * length for length in (3, 3, 2)]
    assert [batch.rows for batch in plan(chunks, mode="fast")] == [[0, 1, 2]]
    assert len(plan([[1] * 60] * 300, mode="half")) == 2
    (batch,) = plan([[5], [6, 7]], pad=9)
    assert batch.input_ids.tolist() == [[6, 7], [5, 9]]
    assert batch.attention_mask.tolist() == [[1, 1], [1, 0]]


def test_cuda_that_does_not_load_is_an_error_only_where_it_is_asked_for(artifact: Artifact) -> None:
    session: Session = open_session(artifact.path("model.onnx"), mode="fast")
    if session.device == "cuda":
        assert session.mode == "half"
        return
    assert session.mode == "fast"
    with pytest.raises(ModelError, match="device is cuda, but onnxruntime runs on the CPU"):
        open_session(artifact.path("model.onnx"), device="cuda", mode="fast")


@pytest.mark.parametrize("opset", [17, 21])  # between them the axes of a reduction became an input
def test_each_token_is_scaled_by_its_own_largest_value(tmp_path: Path, opset: int) -> None:
    random_state = np.random.default_rng(0)
    weight = random_state.integers(-127, 128, (32, 8), np.int8)
    scale = random_state.uniform(0.001, 0.01, 8).astype(np.float32)
    model = parser.parse_model(_PRODUCT.format(opset=opset))
    arrays = {"weight": weight, "scale": scale, "zero": np.zeros(8, np.int8)}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    onnx.save(model, tmp_path / "model.onnx")
    tokens = random_state.normal(size=(1, 5, 32)).astype(np.float32) * np.array([[[1e-3], [1e-1], [1], [10], [1000]]], np.float32)
    exact, fast = (
        open_session(tmp_path / "model.onnx", device="cpu", mode=mode).run({"tokens": tokens})[0] for mode in ("exact", "fast")
    )
    assert (np.abs(fast - exact).max(axis=-1) < 0.03 * np.abs(exact).max(axis=-1)).all()


def test_a_graph_without_int8_weights_has_no_fast_mode() -> None:
    with pytest.raises(ModelError, match="no fast mode; set text_mode=exact"):
        open_session(resolve("champion", "fraud").path("model.onnx"), device="cpu", mode="fast")


def test_what_is_no_graph_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no graph")
    for mode in (None, "fast"):
        with pytest.raises(ModelError, match="onnxruntime cannot load the model"):
            open_session(path, device="cpu", mode=mode)
