"""Training data without leaks, training that survives a kill, and an export that stays what was trained; on a tiny network."""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.errors import ConfigError
from models.training.common_words import common_words
from models.training.company_names import company_names

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from models.runtime import open_session  # noqa: E402
from models.training.text.batches import collate, encode, padded, plan, share  # noqa: E402
from models.training.text.distil import Text, answers_of, distil, transfer_texts  # noqa: E402
from models.training.text.finetune import disagreement, finetune, head_loss  # noqa: E402
from models.training.text.heads import COLUMNS, HEADS, serving  # noqa: E402
from models.training.text.judge import decide, dev_scores, torch_logits  # noqa: E402
from models.training.text.loop import (  # noqa: E402
    CHECKPOINT,
    MEAN,
    RECIPE,
    finished,
    lineage,
    multiplies_bfloat16,
    remember,
    same_settings,
)
from models.training.text.measure import bootstrap, macro_f1  # noqa: E402
from models.training.text.near_duplicates import groups, shared  # noqa: E402
from models.training.text.network import HEAD, build, open_tokenizer  # noqa: E402
from models.training.text.onnx_export import Served, export_onnx, quantize_file  # noqa: E402
from models.training.text.pretrain import Masker, pretrain  # noqa: E402
from models.training.text.recipe import Distillation, Finetuning, Pretraining, read_recipe  # noqa: E402
from models.training.text.sets import SETS, Example, Target, agreed_decision, data_sources, read_sets  # noqa: E402
from models.training.text.split import Split, deduplicate, split  # noqa: E402
from models.training.text.taxonomy import read_taxonomy, taxonomy  # noqa: E402
from models.training.text.train import Job, train  # noqa: E402

SHARES = {"surge": 1.0, "finnl": 1.0}
FINETUNING = Finetuning(base="", sets=SHARES, epochs=2, batch_size=4, checkpoint_steps=10, encoder_rate=1e-3, head_rate=1e-2)
WORDS = ("profit", "loss", "shares", "fall", "rise", "bank", "oil", "deal")


def example(text: str, source: str = "surge", *targets: Target) -> Example:
    return Example(text, source, SETS[source].lang, targets or (Target("sentiment.en", (0,)),))


def parts() -> Split:
    """Tiny texts whose first word tells their label, of a set with one label a text and of one with several."""
    found = []
    for i in range(240):
        word = WORDS[i % 8]
        text = f"{word} {WORDS[i // 8 % 8]} {i}"
        if i % 2:
            found.append(example(text, "surge", Target("sentiment.en", (i % 8 // 3,))))
        else:
            found.append(example(text, "finnl", Target("topic.zh", (i % 8, 8 + i % 4)), Target("region.zh", (i % 3,))))
    return Split(tuple(found[:200]), tuple(found[200:]))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two narrow layers with random weights, and a tokenizer of the words above."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("base")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *map(str, range(240))]
    tokenizer = Tokenizer(models.WordLevel({piece: at for at, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = BertConfig(vocab_size=len(pieces), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    BertModel(config, add_pooling_layer=False).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def run(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    finetune(base, parts(), out, recipe=FINETUNING)
    return out


def weights(folder: Path) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {name: tensor.numpy() for name, tensor in build(folder).state_dict().items()}


def test_training_learns_what_the_texts_tell_and_leaves_logs(run: Path) -> None:
    scores = dev_scores(build(run), open_tokenizer(run, max_tokens=32), parts().dev)
    assert scores["surge"] > 0.9
    assert scores["finnl"] > 0.5
    assert list((run / "logs").glob("events.*"))


def test_a_run_notes_the_base_that_it_was_given_in_place_of_the_recipes(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("{kind: finetune, base: BAAI/bge-small-zh-v1.5, sets: {surge: 1, finnl: 1}, epochs: 1, batch_size: 16}")
    monkeypatch.setattr("models.training.text.train.read_split", lambda _: parts())
    train(Job(str(recipe), tmp_path, tmp_path / "run", base=str(base)))
    assert finished(tmp_path / "run")["base"] == str(base)


def test_every_text_counts_alike_in_what_decides_which_epoch_was_best(base: Path) -> None:
    dev = [each for each in parts().dev if each.source == "finnl"] + [each for each in parts().dev if each.source == "surge"][:2]
    scores = dev_scores(build(base), open_tokenizer(base, max_tokens=32), dev)
    assert scores[MEAN] == pytest.approx((20 * scores["finnl"] + 2 * scores["surge"]) / 22)
    assert scores["finnl"] != scores["surge"]


def test_training_killed_and_resumed_ends_with_the_same_weights(base: Path, run: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import torch; torch.set_num_threads(1); import test_models_text_training as t; "
        "from models.training.text import loop; before = loop.Loop._checkpoint\n"
        "def told(self):\n  before(self); print('checkpoint', self.step, flush=True)\n"
        "loop.Loop._checkpoint = told\n"
        "t.finetune(Path(sys.argv[1]), t.parts(), Path(sys.argv[2]), recipe=t.FINETUNING)"
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
    assert any(line.startswith("checkpoint 20") for line in killed.stdout)
    killed.kill()
    killed.wait()
    killed.stdout.close()
    assert (tmp_path / CHECKPOINT).exists()
    assert not (tmp_path / HEAD).exists()
    finetune(base, parts(), tmp_path, recipe=FINETUNING, resume=True)
    assert not (tmp_path / CHECKPOINT).exists()
    resumed = weights(tmp_path)
    assert all(np.array_equal(resumed[name], array) for name, array in weights(run).items())


def test_a_checkpoint_of_other_settings_is_not_resumed(base: Path, tmp_path: Path) -> None:
    torch.save({"recipe": {"seed": 7}}, tmp_path / CHECKPOINT)
    with pytest.raises(ConfigError, match="other settings or data"):
        finetune(base, parts(), tmp_path, recipe=FINETUNING, resume=True)


def test_training_stops_early_and_keeps_the_best_epoch(base: Path, tmp_path: Path) -> None:
    recipe = Finetuning(base="", sets=SHARES, epochs=9, batch_size=4, encoder_rate=0.0, head_rate=0.0, patience=1)
    finetune(base, parts(), tmp_path, recipe=recipe)  # rates of zero: no epoch is better than the first
    steps = 2 * len(plan([1] * 200, range(200), batch_size=4, seed=(0, 0)))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(tmp_path / "logs"))
    log.Reload()
    assert [event.step for event in log.Scalars("dev/mean")] == [steps // 2, steps]


def test_adapters_train_few_weights_and_are_folded_in(base: Path, tmp_path: Path) -> None:
    recipe = Finetuning(base="", sets=SHARES, epochs=1, batch_size=4, lora_rank=2, encoder_rate=1e-2, head_rate=1e-2)
    finetune(base, parts(), tmp_path, recipe=recipe)
    before, after = weights(base), weights(tmp_path)
    moved = {name for name in before if not np.array_equal(before[name], after[name]) and name.startswith("encoder.")}
    assert moved == {name for name in before if name.endswith((".query.weight", ".key.weight", ".value.weight", ".dense.weight"))}


@pytest.mark.parametrize(("has", "expected"), [({}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)])
def test_training_computes_in_bfloat16_where_the_cpu_has_its_products(
    has: dict[str, bool], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, **has})
    assert multiplies_bfloat16(torch.device("cpu")) is expected


def test_an_unfinished_run_has_no_recipe(run: Path, tmp_path: Path) -> None:
    assert finished(run)["kind"] == "finetune"
    assert (run / RECIPE).exists()
    with pytest.raises(ConfigError, match="--resume"):
        finished(tmp_path)


def test_a_run_remembers_the_runs_that_it_was_made_of(run: Path, tmp_path: Path) -> None:
    (tmp_path / RECIPE).write_text(f'{{"kind": "distil", "base": "{run}"}}')
    remember(tmp_path, ["minilm", run, run])
    assert [each["kind"] for each in lineage(finished(tmp_path))] == ["distil", "finetune"]


def test_masked_training_lowers_the_loss_and_leaves_a_base(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [f"{WORDS[i % 8]} {WORDS[i % 8]} {WORDS[i % 8]} {WORDS[i % 8]}" for i in range(400)]
    recipe = Pretraining(base="", streams=(), epochs=8, batch_size=8, encoder_rate=3e-3, head_rate=1e-2)
    pretrain(base, texts, tmp_path, recipe=recipe)
    told = [line for line in capsys.readouterr().out.splitlines() if "minus_loss" in line]
    losses = [float(line.split("minus_loss ")[1].split()[0]) for line in told]
    assert losses[-1] > losses[0]
    assert losses[-1] > -1.0  # guessing among eight words is 2.08
    assert build(tmp_path).encoder.config.num_hidden_layers == 2


def test_hidden_tokens_are_inside_the_text_and_the_same_for_a_seed() -> None:
    ids = np.tile(np.arange(2, 42, dtype=np.int64), (50, 1))
    mask = np.ones_like(ids)
    mask[:, 30:] = 0
    hidden, labels = Masker(100, 4).hide(ids, mask, seed=(0, 7))
    chosen = labels != -100
    assert not chosen[:, 0].any()
    assert not chosen[:, 29:].any()
    assert 0.12 < chosen[:, 1:29].mean() < 0.18
    assert 0.7 < (hidden[chosen] == 4).mean() < 0.9
    assert np.array_equal(labels[chosen], ids[chosen])
    assert np.array_equal(hidden[~chosen], ids[~chosen])
    assert np.array_equal(hidden, Masker(100, 4).hide(ids, mask, seed=(0, 7))[0])


def test_a_student_learns_its_teachers_answers(run: Path, tmp_path: Path) -> None:
    texts = [Text(each.text, "en") for each in parts().train]
    recipe = Distillation(
        base="",
        sets=("surge",),
        streams=(),
        epochs=10,
        layers=1,
        width=16,
        heads=2,
        batch_size=4,
        encoder_rate=3e-3,
        head_rate=1e-2,
    )
    dev = [each for each in parts().dev if each.source == "surge"]
    student = distil(run, texts, dev, tmp_path, recipe=recipe)
    tokenizer = open_tokenizer(run, max_tokens=32)
    questions = [each.text for each in dev]
    answers = [decide(torch_logits(each, tokenizer, questions), "sentiment.en") for each in (build(run), student)]
    assert (answers[0] == answers[1]).all(1).mean() > 0.9
    assert student.encoder.config.hidden_size == 16
    longer = msgspec.structs.replace(recipe, start=str(tmp_path), epochs=1, encoder_rate=0.0, head_rate=0.0)
    distil(run, texts, dev, tmp_path / "longer", recipe=longer)
    first, second = weights(tmp_path), weights(tmp_path / "longer")
    assert all(np.array_equal(first[name], second[name]) for name in first), "it goes on as the student that it starts from"


def test_several_teachers_answer_together(run: Path, base: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    finetune(base, parts(), other, recipe=msgspec.structs.replace(FINETUNING, seed=1, epochs=1))
    texts = [Text(each.text, "en") for each in parts().train[:20]]
    recipe = Distillation(base="", sets=("surge",), streams=(), teachers={"en": (str(run), str(other))})
    tokenizer = open_tokenizer(run, max_tokens=recipe.max_tokens)
    each = [torch_logits(build(teacher), tokenizer, [text.text for text in texts]) for teacher in (run, other)]
    assert np.abs(each[0] - each[1]).max() > 0.1
    (tmp_path / "kept").mkdir()
    found = answers_of(run, texts, tmp_path / "kept", recipe)
    assert np.allclose(found.numpy(), (each[0] + each[1]) / 2, atol=1e-5)


def test_a_student_also_learns_from_the_clauses_and_pairs_of_a_sets_texts() -> None:
    posts = [Example(text, "finfe", "zh", ()) for text in ("涨停，抢筹！", "还要跌")]
    news = [Example("央行降息，楼市回暖", "finnl", "zh", ())]
    found = transfer_texts([*posts, *news], ["恒大违约"], recombine=["finfe"])
    texts = [each.text for each in found]
    assert texts[:5] == ["涨停，抢筹！", "还要跌", "央行降息，楼市回暖", "涨停，", "抢筹！"]
    assert set(texts[5:7]) == {"涨停，抢筹！ 还要跌", "还要跌 涨停，抢筹！"}
    assert texts[7:] == ["恒大违约"]
    assert {(each.lang, each.heads) for each in found} == {("zh", ())}
    own = transfer_texts([example("涨停，抢筹！"), *news], [], recombine=["surge"], own=True)
    assert [each.heads for each in own] == [("sentiment.en",), (), *[("sentiment.en",)] * 3]


def test_the_export_answers_as_the_network_does(run: Path, tmp_path: Path) -> None:
    network = build(run, attn_implementation="eager").eval()
    columns = (*HEADS["sentiment.en"].columns, *HEADS["region.zh"].columns)
    export_onnx(Served(network, columns), tmp_path / "float.onnx")
    quantize_file(tmp_path / "float.onnx", tmp_path / "model.onnx")
    tokenizer = open_tokenizer(run, max_tokens=32)
    texts = [each.text for each in parts().dev]
    theirs = torch_logits(network, tokenizer, texts)[:, list(columns)]
    for name, most in (("float.onnx", 1e-4), ("model.onnx", 0.2)):
        session = open_session(tmp_path / name, device="cpu")
        ours = []
        for ids in encode(tokenizer, texts):
            feeds = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
            ours.append(session.run(feeds)[0][0])
        assert np.abs(np.array(ours) - theirs).max() < most
    assert (tmp_path / "model.onnx").stat().st_size < (tmp_path / "float.onnx").stat().st_size / 2


def test_a_loss_of_several_truths_of_one_of_several_and_of_one() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0]] * 3)
    log_p = torch.log_softmax(logits[0], 0)
    known = [(Target("sentiment.en", (0,)),), (Target("sentiment.en", (0, 1)),), (Target("sentiment.en", (1, 2), one_of=True),)]
    answers = collate([(1,)] * 3, known, pad_id=0).answers["sentiment.en"]
    found = head_loss(logits, answers, smoothing=0.0)
    expected = [-log_p[0], -(log_p[0] + log_p[1]) / 2, -torch.log(log_p[1].exp() + log_p[2].exp())]
    assert torch.allclose(found, torch.stack(expected))


def test_two_passes_are_asked_to_agree(base: Path, tmp_path: Path) -> None:
    one, other = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    p = torch.softmax(one[0], 0)
    assert torch.allclose(disagreement(one, other), torch.stack([(p[0] - p[1]) * 1.0, p[0] * 0]))
    apart = []
    for consistency in (0.0, 20.0):
        recipe = msgspec.structs.replace(FINETUNING, consistency=consistency)
        network = finetune(base, parts(), tmp_path / str(consistency), recipe=recipe).train()
        ids, mask = padded(encode(open_tokenizer(base, max_tokens=32), [each.text for each in parts().dev]), pad_id=0)
        columns = list(HEADS["sentiment.en"].columns)
        with torch.inference_mode():
            passes = [network(torch.from_numpy(ids), torch.from_numpy(mask))[:, columns] for _ in range(2)]
        apart.append(float(disagreement(*passes).mean()))
    assert apart[1] < apart[0] / 2


def test_a_checkpoint_older_than_a_setting_is_resumed() -> None:
    made = msgspec.to_builtins(FINETUNING)
    del made["consistency"]
    assert same_settings(made, FINETUNING)
    assert not same_settings({**made, "seed": 7}, FINETUNING)
    assert not same_settings({**made, "unknown": 7}, FINETUNING)


def test_every_index_is_in_one_batch_of_an_epoch() -> None:
    lengths = [1 + i % 9 for i in range(103)]
    batches = plan(lengths, range(103), batch_size=8, seed=(0, 1))
    assert sorted(index for batch in batches for index in batch) == list(range(103))
    assert batches == plan(lengths, range(103), batch_size=8, seed=(0, 1))
    assert batches != plan(lengths, range(103), batch_size=8, seed=(0, 2))


def test_epochs_go_round_through_a_share_of_a_set() -> None:
    texts = [example(str(i), "surge" if i % 2 else "finnl") for i in range(40)]
    seen = [set(share(texts, {"surge": 0.5, "finnl": 1.0}, seed=0, epoch=epoch)) for epoch in range(2)]
    odd = [{index for index in each if index % 2} for each in seen]
    assert [len(each) for each in seen] == [30, 30]
    assert odd[0] | odd[1] == set(range(1, 40, 2))


def test_no_two_columns_answer_one_question_and_languages_share_topics() -> None:
    assert len({column for head in HEADS.values() for column in head.columns}) == COLUMNS
    shared_topics = set(HEADS["topic.en"].columns) & set(HEADS["topic.zh"].columns)
    assert len(shared_topics) == 7
    assert serving({"sentiment.en", "topic.en", "sentiment.zh", "topic.zh", "region.zh"})["zh"] == (
        "sentiment.zh",
        "topic.zh",
        "region.zh",
    )


def test_copies_and_near_copies_of_a_text_follow_it_across_sets() -> None:
    names = [
        f"{a}{b} Holdings of {c}" for a in ("Alpha", "Beta", "Gamma", "Delta") for b in WORDS for c in ("Spain", "Peru", "Chad")
    ]
    texts = [f"{name} reports results for the {i} quarter {i * 7919}" for i, name in enumerate(names)]
    everything = [example(text, "surge") for text in texts]
    everything += [example(f"{text.upper()}! https://t.co/{i}", "twitter_topic") for i, text in enumerate(texts)]
    everything += [example(f"JUST IN: {text}", "sentfin") for text in texts]
    both = split(everything)
    dev = {name for name in names for each in both.dev if name.lower() in each.text.lower()}
    train = {name for name in names for each in both.train if name.lower() in each.text.lower()}
    assert dev
    assert not dev & train


def test_near_copies_are_found_across_two_lists() -> None:
    story = "Shares of Acme Corporation fall {}% after weak results in Europe, where sales were hurt by the strong dollar"
    one = [story.format(3), "Oil is up on supply fears"]
    other = ["Gold steady", f"BREAKING {story.format(4)} http://x.y"]
    assert shared(one, other) == [(0, 1)]
    assert groups(["中国恒大股价大跌超过百分之十", "中国恒大股价大跌超过百分之十！", "腾讯发布财报"]) == [0, 0, 2]


def test_contradictions_keep_the_majority_or_go() -> None:
    up, down = Target("sentiment.en", (2,)), Target("sentiment.en", (0,))
    texts = [("A b", up), ("a B!", up), ("a b", down), ("c", up), ("C", down)]
    kept = deduplicate([example(text, "surge", target) for text, target in texts])
    assert [(each.text, each.targets) for each in kept] == [("A b", (up,))]


def test_entity_labels_become_a_sentence_label_only_where_they_agree() -> None:
    assert agreed_decision("""{"Dr. Reddy's": 'positive', 'Cipla's': 'positive'}""") == "positive"
    assert agreed_decision("{}") is None


def write_sets(folder: Path) -> None:
    files = {
        "twitter_financial_sentiment/train.csv": "text,label\nDown &amp; out https://t.co/a,0\nhttps://t.co/b,1\n",
        "sentfin/SEntFiN.csv": "Title,Decisions\nUp,\"{'X': 'positive'}\"\nMixed,\"{'X': 'positive', 'Y': 'neutral'}\"\n",
        "surge_stock_sentiment/sentiment.csv": "Stock Ticker,Tweet Text,Sentiment,Tweet URL\n$A,Nice,Positive,u\n",
        "twitter_financial_topic/train.csv": "text,label\nDividend declared,4\n",
        "fincuge/FinFE/train.json": '[["涨了", "1"], ["junk", "=-D310"]]',
        "fincuge/FinNL/train.json": '[["楼市新政", "中国 房地产 政策 资源"], ["x", "奇怪"]]',
        "fincuge/FinNSP/train.json": (
            '[["1", "", "跑路", "a", "1", "a"], ["2", "好", "开业", "a", "0", ""], ["3", "", "标题", "", "negative", ""]]'
        ),
        "finances2023_es/train.csv": (
            "id,text,target,target_sentiment,companies_sentiment,consumers_sentiment\n1,Sube el Ibex,Ibex,postive,neutrak,neutral?\n"
        ),
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


def test_reads_the_sets_as_serving_will_see_them(tmp_path: Path) -> None:
    write_sets(tmp_path)
    found = read_sets(tmp_path, SETS)
    named = [
        (each.text, [(target.head, [HEADS[target.head].labels[at] for at in target.labels]) for target in each.targets])
        for each in found
    ]
    assert named == [
        ("Down & out", [("sentiment.en", ["negative"])]),
        ("Up", [("sentiment.en", ["positive"])]),
        ("Nice", [("sentiment.en", ["positive"])]),
        ("Dividend declared", [("topic.en", ["Dividend"])]),
        ("涨了", [("sentiment.zh", ["positive"])]),
        ("楼市新政", [("topic.zh", ["Policy", "Real Estate"]), ("region.zh", ["China"])]),
        ("跑路", [("sentiment.zh", ["negative"])]),
        ("好 开业", [("sentiment.zh", ["neutral", "positive"])]),
        ("Sube el Ibex", [("sentiment.es", ["positive"]), ("companies.es", ["neutral"]), ("consumers.es", ["neutral"])]),
    ]
    licences = {source.name: source.licence for source in data_sources(tmp_path, found)}
    assert licences["surge"] == "MIT"
    assert licences["finfe"] == "none stated"


def test_a_missing_set_or_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such data file"):
        read_sets(tmp_path, SETS)
    write_sets(tmp_path)
    (tmp_path / "twitter_financial_topic/train.csv").write_text("text,label\nx,20\n")
    with pytest.raises(ConfigError, match=r"train\.csv:2: unknown column or label"):
        read_sets(tmp_path, SETS)


def test_a_taxonomy_that_merges_labels_of_a_set_or_names_no_topic_is_refused(tmp_path: Path) -> None:
    head = "subjects: {A: a, B: b}\nregions: {}\n"
    (tmp_path / "one.yaml").write_text(head + "sources: {s: {0: A, 1: A}}")
    (tmp_path / "two.yaml").write_text(head + "sources: {s: {0: A, 1: C}}")
    with pytest.raises(ConfigError, match="two labels share a topic"):
        read_taxonomy(tmp_path / "one.yaml")
    with pytest.raises(ConfigError, match="not a topic: C"):
        read_taxonomy(tmp_path / "two.yaml")
    assert len(taxonomy().sources["twitter_topic"]) == 20


def test_a_recipe_with_a_slip_names_its_field(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: finetune\nbase: e5\nsets: {surge: 1}\nepoch: 3\n")
    with pytest.raises(ConfigError, match="epoch"):
        read_recipe(str(tmp_path / "a.yaml"))
    with pytest.raises(ConfigError, match=r"bundled ones are .*multilingual"):
        read_recipe("none")
    assert isinstance(read_recipe("english"), Finetuning)


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
