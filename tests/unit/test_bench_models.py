"""The comparison of the text models with others, on an encoder with a vocabulary of a few words."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from core.errors import ModelError
from models.registry import Artifact, load
from tests.unit.text_artifacts import SENTIMENT, config, head, write_text_model

pytest.importorskip("openvino", reason="needs the bench extra")
pytest.importorskip("torch", reason="needs the train extra")

from bench.encoder import Shape, shape_of, write_float, write_student
from bench.models import BARS, compare
from bench.peers import REFERENCE, Ids, batched, in_blocks, open_onnxruntime, open_tokenizer

WORDS = dict.fromkeys(("profit", "loss", "shares", "the", "of", "to", "in"), (0.0, 0.0, 0.0))


def word_model(root: Path, **more: Any) -> Artifact:
    return load(write_text_model(root, "words/1", config(head("sentiment", ["en"], SENTIMENT), **more), WORDS))


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    shape = {"layers": 2, "width": 64, "heads": 2, "inner": 128, "vocabulary": 4 + len(WORDS)}
    teacher = word_model(tmp_path_factory.mktemp("models"), encoder=shape)
    return write_student(teacher, tmp_path_factory.mktemp("student"))


def test_every_contender_is_measured_on_headlines_and_posts(student: Artifact, tmp_path: Path) -> None:
    found = compare(student, student, lang="en", rounds=1, folder=tmp_path)
    headlines, posts = found.samples
    assert headlines.mean_tokens < posts.mean_tokens
    for sample in found.samples:
        assert [speed.ratio for speed in sample.speeds if speed.contender == REFERENCE] == [1.0]
        assert len(sample.speeds) == 12
        assert all(speed.least <= speed.ratio <= speed.most and speed.texts_per_cpu_s > 0 for speed in sample.speeds)
    assert [bar.name for bar in found.bars] == list(BARS)


def test_blocks_of_eight_bits_answer_nearly_as_floats(tmp_path: Path) -> None:
    write_float(Shape(layers=1, width=128, heads=2, inner=256, vocabulary=50), tmp_path / "float.onnx", columns=3)
    made = in_blocks(tmp_path / "float.onnx")
    assert [node.op_type for node in onnx.load(made).graph.node].count("MatMulNBits") == 6
    ids = np.arange(20).reshape(2, 10)
    floats, blocks = (open_onnxruntime(path)(ids, np.ones_like(ids)) for path in (tmp_path / "float.onnx", made))
    assert np.abs(floats - blocks).max() < 0.05
    assert not np.array_equal(floats, blocks)


def test_answers_of_batches_come_in_the_order_of_the_texts(student: Artifact) -> None:
    def words_modulo_three(_: Ids, attention_mask: Ids) -> np.ndarray[Any, np.dtype[np.float32]]:
        logits: np.ndarray[Any, np.dtype[np.float32]] = np.eye(3, dtype=np.float32)[attention_mask.sum(axis=1) % 3]
        return logits

    scorer = batched(open_tokenizer(student.path("tokenizer.json")), words_modulo_three)
    assert scorer(["loss " * count for count in range(1, 21)]) == [count % 3 for count in range(1, 21)]


def test_a_model_that_states_no_shape_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"words/1: manifest config: encoder.* name another with --model"):
        shape_of(word_model(tmp_path))
