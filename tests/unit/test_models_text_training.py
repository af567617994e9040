"""Training data without leaks, training that survives a kill, and an export that stays what was trained; on a tiny network."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.errors import ConfigError
from models.registry import champion
from models.training.common_words import common_words
from models.training.company_names import company_names
from models.training.text.data import Example, agreed_decision, data_sources, deduplicate, read_sets, split

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from models.runtime import open_session  # noqa: E402
from models.training.text.batches import Encoded, encode, plan  # noqa: E402
from models.training.text.finetune import CHECKPOINT, WEIGHTS, Recipe, finetune, read_recipe  # noqa: E402
from models.training.text.measure import bootstrap, macro_f1  # noqa: E402
from models.training.text.network import open_tokenizer  # noqa: E402
from models.training.text.onnx_export import export_onnx, load_network, parity  # noqa: E402

RECIPE = Recipe(epochs=1, batch_size=4, checkpoint_steps=10)


def examples() -> list[Example]:
    """360 tiny texts of both tasks."""
    words = ("profit", "loss", "shares", "fall", "rise", "bank", "oil", "deal")
    texts = [f"{words[i % 8]} {words[i // 8 % 8]} {i}" for i in range(360)]
    return [
        Example(text=text, task="topic" if index % 2 else "sentiment", label=index % 3, source="surge_stock_sentiment")
        for index, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one narrow layer with random weights, and the shipped tokenizer."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("base")
    config = BertConfig(vocab_size=30522, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    BertModel(config).save_pretrained(str(folder))
    open_tokenizer(champion("text").folder).save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    finetune(base, examples(), out, recipe=RECIPE)
    return out


def weights(folder: Path) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {name: tensor.numpy() for name, tensor in torch.load(folder / WEIGHTS, weights_only=True).items()}


def test_training_killed_and_resumed_ends_with_the_same_weights(base: Path, run: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import torch; torch.set_num_threads(1); import test_models_text_training as t; "
        "from models.training.text.finetune import finetune; "
        "finetune(Path(sys.argv[1]), t.examples(), Path(sys.argv[2]), recipe=t.RECIPE)"
    )
    root = Path(__file__).parents[2]
    killed = subprocess.Popen(
        [sys.executable, "-c", code, str(base), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={"PYTHONPATH": f"{root}:{Path(__file__).parent}", "HF_HUB_OFFLINE": "1"},
    )
    assert killed.stdout is not None
    assert any(line.startswith("step 50/") for line in killed.stdout)
    killed.kill()
    killed.wait()
    killed.stdout.close()
    assert (tmp_path / CHECKPOINT).exists()
    assert not (tmp_path / WEIGHTS).exists()
    finetune(base, examples(), tmp_path, recipe=RECIPE, resume=True)
    assert not (tmp_path / CHECKPOINT).exists()
    resumed = weights(tmp_path)
    assert all(np.array_equal(resumed[name], array) for name, array in weights(run).items())


def test_a_checkpoint_of_other_settings_is_not_resumed(base: Path, run: Path, tmp_path: Path) -> None:
    content = {"recipe": {"seed": 7}}
    torch.save(content, tmp_path / CHECKPOINT)
    with pytest.raises(ConfigError, match="other settings or data"):
        finetune(base, examples()[:8], tmp_path, recipe=RECIPE, resume=True)


def test_an_unfinished_run_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="train --resume"):
        read_recipe(tmp_path)


def test_the_export_answers_as_the_network_does(run: Path, tmp_path: Path) -> None:
    network = load_network(run)
    export_onnx(network, tmp_path / "model.onnx")
    session = open_session(tmp_path / "model.onnx", device="cpu")
    measured = parity(session, network, encode(open_tokenizer(run), examples()))
    assert measured.max_probability_change < 0.01
    assert measured.max_change_by_batch <= 1e-5
    assert (tmp_path / "model.onnx").stat().st_size < 30522 * 16 * 4 / 2  # half of the float embedding alone


def test_every_example_is_in_one_batch_of_an_epoch_and_no_batch_mixes_tasks() -> None:
    encoded = [Encoded((1,) * (1 + i % 9), "topic" if i % 3 else "sentiment", 0) for i in range(103)]
    batches = plan(encoded, batch_size=8, seed=0, epoch=1)
    assert sorted(index for batch in batches for index in batch) == list(range(103))
    assert all(len({encoded[index].task for index in batch}) == 1 for batch in batches)
    assert batches == plan(encoded, batch_size=8, seed=0, epoch=1)
    assert batches != plan(encoded, batch_size=8, seed=0, epoch=2)


def test_copies_of_a_text_follow_it_into_its_part_across_tasks() -> None:
    texts = [f"Company {i} reports results" for i in range(400)]
    everything = [Example(text=text, task="sentiment", label=0, source="a") for text in texts]
    everything += [Example(text=f"{text.upper()}!", task="topic", label=1, source="b") for text in texts]
    parts = split(everything, seed=0)
    dev = {example.text.lower().rstrip("!") for example in parts.dev}
    assert 20 < len(dev) < 60
    assert len(parts.dev) == 2 * len(dev)
    assert not dev & {example.text.lower().rstrip("!") for example in parts.train}


def test_contradictions_keep_the_majority_or_go() -> None:
    def example(text: str, label: int) -> Example:
        return Example(text=text, task="topic", label=label, source="a")

    kept = deduplicate([example("A b", 1), example("a B!", 1), example("a b", 2), example("c", 1), example("C", 2)])
    assert [(each.text, each.label) for each in kept] == [("A b", 1)]


def test_entity_labels_become_a_sentence_label_only_where_they_agree() -> None:
    assert agreed_decision("""{"Dr. Reddy's": 'positive', 'Cipla's': 'positive'}""") == "positive"
    assert agreed_decision("{}") is None


def write_sets(folder: Path) -> None:
    files = {
        "twitter_financial_sentiment/train.csv": "text,label\nDown &amp; out https://t.co/a,0\nhttps://t.co/b,1\n",
        "sentfin/SEntFiN.csv": "Title,Decisions\nUp,\"{'X': 'positive'}\"\nMixed,\"{'X': 'positive', 'Y': 'neutral'}\"\n",
        "surge_stock_sentiment/sentiment.csv": "Stock Ticker,Tweet Text,Sentiment,Tweet URL\n$A,Nice,Positive,u\n",
        "twitter_financial_topic/train.csv": "text,label\nDividend declared,4\n",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


def test_reads_the_sets_as_serving_will_see_them(tmp_path: Path) -> None:
    write_sets(tmp_path)
    found = read_sets(tmp_path)
    assert [(each.text, each.task, each.label) for each in found] == [
        ("Down & out", "sentiment", 0),
        ("Up", "sentiment", 2),
        ("Nice", "sentiment", 2),
        ("Dividend declared", "topic", 4),
    ]
    assert [source.rows for source in data_sources(tmp_path, found)] == [1, 1, 1, 1]


def test_a_missing_set_or_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such data file"):
        read_sets(tmp_path)
    write_sets(tmp_path)
    (tmp_path / "twitter_financial_topic/train.csv").write_text("text,label\nx,20\n")
    with pytest.raises(ConfigError, match=r"train\.csv:2: unknown column or label"):
        read_sets(tmp_path)


def test_the_bootstrap_interval_holds_the_figure() -> None:
    truth = np.array([0, 1, 2] * 50)
    interval = bootstrap(macro_f1, truth, np.where(np.arange(150) % 10 == 0, 0, truth))
    assert interval.low < interval.value < interval.high


@pytest.mark.parametrize(
    ("security", "plain"),
    [
        ("Walmart Inc. - Common Stock", "Walmart"),
        ("Accenture plc Class A Ordinary Shares (Ireland)", "Accenture"),
        ("Ambev S.A. American Depositary Shares (Each representing 1 Common Share)", "Ambev"),
        ("The AES Corporation Common Stock", "AES"),
        ("Energy Transfer LP Common Units", "Energy Transfer"),
        ("ABR$D Arbor Realty Trust 6.375% Series D Preferred Stock", None),
        ("Archer", None),
        ("iShares GNMA Bond ETF", None),
        ("Roman DBDR Acquisition Corp. II - Unit", None),
        ("BTC Development Corp. - Warrant", None),
    ],
)
def test_a_listed_security_gives_its_companys_name(security: str, plain: str | None) -> None:
    names = company_names(security)
    assert (None if names is None else names.plain) == plain


def test_words_in_lower_case_and_acronyms_are_common_while_cashtags_are_not() -> None:
    words = common_words(["the gap is a gap", "$GME up, $gme", "gme gme", "NATO", "NATO", "NATO says"])
    assert {"gap", "nato"} <= set(words)
    assert "up" not in words
