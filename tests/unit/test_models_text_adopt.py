"""A user's own classifier: fine-tuned with Hugging Face, imported, promoted and serving, one command each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import ConfigError
from models.registry import find

torch = pytest.importorskip("torch", reason="needs the train extra")
transformers = pytest.importorskip("transformers", reason="needs the train extra")

from models.training.text.adopt import read_texts  # noqa: E402
from models.training.text.hugging_face import head_of, open_classifier  # noqa: E402

GOOD, BAD, DULL = (
    ("record profit rises", "strong growth again"),
    ("heavy loss widens", "fraud probe falls"),
    ("meeting on tuesday",),
)
TEXTS = [(f"{text} {i}", label) for i in range(40) for label, texts in ((2, GOOD), (0, BAD), (1, DULL)) for text in texts]
NAMES = {0: "bearish", 1: "neutral", 2: "bullish"}
MEANINGS = ("negative", "neutral", "positive")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small BertForSequenceClassification, fine-tuned on the texts above."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    torch.manual_seed(0)
    torch.set_num_threads(1)
    words = sorted({word for text, _ in TEXTS for word in text.split()})
    pieces = {piece: at for at, piece in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *words))}
    tokenizer = Tokenizer(models.WordLevel(pieces, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")
    config = BertConfig(
        vocab_size=len(pieces), hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128, id2label=NAMES
    )
    model = BertForSequenceClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        batch = fast([text for text, _ in TEXTS], padding=True, return_tensors="pt")
        loss = model(**batch, labels=torch.tensor([label for _, label in TEXTS])).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("classifier")
    model.save_pretrained(str(folder))
    fast.save_pretrained(str(folder))
    return folder


def groundswell(*arguments: str, models: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GROUNDSWELL_MODELS": str(models), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "groundswell", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2], timeout=300)


def test_a_classifier_is_imported_promoted_and_serves(classifier: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"text": text, "label": MEANINGS[label]}) for text, label in TEXTS]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines))
    models = tmp_path / "models"
    done = groundswell("models", "import", str(classifier), "mine/1", "--texts", str(tmp_path / "texts.jsonl"), models=models)
    assert done.returncode == 0, done.stderr
    assert "int8 weights (default)" in done.stdout
    manifest = find("mine/1", models).manifest
    assert manifest.licence == "research-use"
    assert manifest.metrics["parity.same_label"] >= 0.995
    assert manifest.metrics["texts.accuracy"] > 0.95

    assert groundswell("models", "promote", "mine/1", models=models).returncode == 0
    asked = [{"id": i, "text": text, "lang": "en"} for i, (text, _) in enumerate(TEXTS)]
    (tmp_path / "asked.jsonl").write_text("\n".join(map(json.dumps, asked)))
    scored = groundswell("score", "text", "--input", str(tmp_path / "asked.jsonl"), models=models)
    assert scored.returncode == 0, scored.stderr
    found = [json.loads(line) for line in scored.stdout.splitlines()]
    assert [each["sentiment"]["label"] for each in found] == [MEANINGS[label] for _, label in TEXTS]
    assert {each["model"]["name"] for each in found} == {"mine"}
    assert {each["topic"] for each in found} == {None}


def test_labels_that_tell_nothing_must_be_named(classifier: Path) -> None:
    config = open_classifier(str(classifier))[0].model.config
    config.id2label = {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    with pytest.raises(ConfigError, match="--label 0=negative"):
        head_of(config, "sentiment", "en", {})
    head = head_of(config, "sentiment", "en", {0: "positive", 1: "neutral", 2: "negative"})
    assert head.labels == ("positive", "neutral", "negative")
    assert head_of(config, "topic", "en", {}).labels == ("LABEL_0", "LABEL_1", "LABEL_2")


def test_what_is_no_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no classifier"):
        open_classifier(str(tmp_path))


def test_a_bad_line_of_the_texts_is_named(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"text": "fine"}\n{"txt": 1}\n')
    with pytest.raises(ConfigError, match=r"texts\.jsonl:2: a line must be"):
        read_texts(tmp_path / "texts.jsonl")
