"""Several models, heads and languages: each text gets the answers that its language's models give it, and no other's."""

from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest
from structlog.testing import capture_logs
from tokenizers import Tokenizer

from commands.wiring import open_text_models
from core.errors import ModelError
from core.records import ModelRef
from core.settings import load_settings
from models.aliases import ALIASES, promote
from models.registry import load, read_manifest, write_manifest
from models.text.chunks import Chunker
from models.text.config import config_of
from models.text.routing import TextModels, primary_subtag
from models.text.score import TextScorer
from tests.unit.text_artifacts import SENTIMENT, XLM, config, head, set_opset, write_text_model

SUBJECTS = ("Oil", "Gold", "Covid-19")
REGIONS = ("China", "Foreign")
OPINIONS = config(head("sentiment", ["en", "zh"], SENTIMENT), languages=["en", "zh"])
# Columns 0 to 2 are the subjects: English has no Covid-19, Chinese no Gold, Spanish has all; 3 and 4 are the regions.
TOPICS = config(
    head("topic", ["en"], SUBJECTS[:2], also=0.3),
    {**head("topic", ["zh"], ["Oil", "Covid-19"], also=0.3), "columns": [0, 2]},
    head("topic", ["es"], SUBJECTS),
    head("region", ["zh"], REGIONS, 3),
    languages=["en", "zh", "es"],
)
OPINION_WORDS = {"up": [0.0, 0.0, 5.0], "down": [5.0, 0.0, 0.0], "oil": [0.0, 1.0, 0.0]}
TOPIC_WORDS = {"oil": [3.0, 0, 0, 0, 0], "gold": [0, 3.0, 0, 0, 0], "covid": [0, 0, 9.0, 0, 0], "abroad": [0, 0, 0, 0, 5.0]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Sentiment of English and Chinese by one model; topics of English, Chinese and Spanish by another with another tokenizer."""
    write_text_model(tmp_path, "opinions/1", OPINIONS, OPINION_WORDS)
    write_text_model(tmp_path, "topics/1", TOPICS, TOPIC_WORDS, special=XLM, licence="research-use")
    promote("opinions/1", root=tmp_path)
    promote("topics/1", root=tmp_path)
    return tmp_path


def test_sentiment_and_topic_come_from_two_models(root: Path) -> None:
    (score,) = TextModels.open("champion", root, device="cpu").score(["oil up"], ["en"])
    assert score.sentiment is not None
    assert score.topic is not None
    assert (score.sentiment.label, score.topic.label, score.reason) == ("positive", "Oil", None)
    assert score.model == ModelRef(name="opinions", version="1")
    assert score.topic.model == ModelRef(name="topics", version="1")


def test_a_language_with_topics_alone_has_no_sentiment_and_no_reason(root: Path) -> None:
    (score,) = TextModels.open("champion", root, device="cpu").score(["gold covid"], ["es-MX"])
    assert (score.lang, score.sentiment, score.reason) == ("es", None, None)
    assert score.topic is not None
    assert (score.topic.label, score.topic.labels, score.topic.model) == ("Covid-19", ("Covid-19",), None)
    assert score.model == ModelRef(name="topics", version="1")


def test_a_topic_slot_left_empty_gives_no_topic(root: Path) -> None:
    promote("opinions/1", alias="candidate", slots=["sentiment.en"], root=root)
    models = TextModels.open("candidate", root, device="cpu")
    english, chinese = models.score(["oil up", "oil up"], ["en", "zh"])
    assert (english.sentiment is not None, english.topic, english.reason) == (True, None, None)
    assert (chinese.sentiment, chinese.topic, chinese.model) == (None, None, None)
    assert chinese.reason == "no model for language 'zh'"


def test_a_language_reads_its_own_columns_of_the_shared_topics(root: Path) -> None:
    english, chinese = TextModels.open("champion", root, device="cpu").score(["gold covid"] * 2, ["en", "zh"])
    assert english.topic is not None
    assert chinese.topic is not None
    assert (english.topic.label, chinese.topic.label) == ("Gold", "Covid-19")
    assert english.topic.score == pytest.approx(1 / (1 + 2.718281828**-3))


def test_further_topics_and_the_region_follow_the_first(root: Path) -> None:
    even, clear, abroad = TextModels.open("champion", root, device="cpu").score(
        ["gold oil", "oil", "covid abroad"], ["en", "en", "zh"]
    )
    assert even.topic is not None
    assert clear.topic is not None
    assert abroad.topic is not None
    assert (even.topic.labels, even.topic.label) == (("Oil", "Gold"), "Oil")
    assert clear.topic.labels == ("Oil",)
    assert abroad.topic.labels == ("Covid-19", "Foreign")


def test_one_model_for_both_is_opened_once(root: Path) -> None:
    whole = config(head("sentiment", ["en"], SENTIMENT), head("topic", ["en"], SUBJECTS, 3))
    write_text_model(root, "whole/1", whole, {"up": [0, 0, 5, 0, 4, 0]})
    promote("whole/1", alias="student", root=root)
    models = TextModels.open("student", root, device="cpu")
    assert [scorer.manifest.reference for scorer in models.scorers] == ["whole/1"]
    (score,) = models.score(["up"], ["en"])
    assert score.topic is not None
    assert (score.topic.label, score.topic.model, score.model) == ("Gold", None, ModelRef(name="whole", version="1"))


def test_a_mixed_batch_scores_each_text_as_if_it_were_alone(root: Path) -> None:
    models = TextModels.open("champion", root, device="cpu", threads=2)
    texts = ["oil up", "gold down down covid", "covid oil abroad up gold", "up", "", "...", "oil " * 300]
    langs = ["en", "zh", "es", "fr", "en", "zh", "zh"]
    together = models.score(texts, langs)
    assert together == [models.score([text], [lang])[0] for text, lang in zip(texts, langs, strict=True)]
    assert [score.reason for score in together[3:6]] == ["no model for language 'fr'", "no words to score", "no words to score"]
    models.close()


def test_the_language_is_a_usable_hint_or_detected(root: Path) -> None:
    models = TextModels.open("champion", root, device="cpu")
    found = [
        score.lang for score in models.score(["恒大违约", "up 恒大", "the oil is up", "12 %"], [None, "EN_us", "English", None])
    ]
    assert found == ["zh", "en", "en", "und"]
    assert primary_subtag("x") is None
    assert models.score([], []) == []


def test_a_long_texts_topic_is_read_from_its_lead_where_the_model_has_one(root: Path) -> None:
    whole = config(head("sentiment", ["en"], SENTIMENT), head("topic", ["en"], SUBJECTS, 3))
    words = {"gold": [0, 0, 0.5, 0, 1, 0], "oil": [0.01, 0, 0, 0.3, 0, 0]}
    write_text_model(root, "parts/1", whole, words)
    write_text_model(root, "lead/1", whole | {"lead_tokens": 200}, words)
    by_parts, by_lead = (TextScorer.open(load(root / name), device="cpu") for name in ("parts/1", "lead/1"))
    article = "gold\n\n" + "oil up. " * 70 + "gold " * 400  # the lead has 1 title and 66 sentences of 3 tokens
    one, other = (scorer.score([article, "gold"], ["en", "en"]) for scorer in (by_parts, by_lead))
    assert (one[0].topic, other[0].topic) != (None, None)
    assert [each[0].topic.label for each in (one, other) if each[0].topic] == ["Gold", "Oil"]
    assert one[0].sentiment == other[0].sentiment
    assert one[1].topic == other[1].topic
    assert other == by_lead.score([article], ["en"]) + by_lead.score(["gold"], ["en"])


def test_the_other_tokenizer_frames_and_pads_with_its_own_ids(root: Path) -> None:
    chunker = Chunker(Tokenizer.from_file(str(root / "topics/1/tokenizer.json")), max_tokens=128)
    assert (chunker.split(["oil gold"])[0].chunks, chunker.pad) == (((0, 4, 5, 2),), 1)


def test_an_alias_that_serves_no_texts_is_told(root: Path) -> None:
    (root / ALIASES).write_text('{"candidate": {}, "champion": {"topic.en": "opinions/1"}}')
    with pytest.raises(ModelError, match="'candidate' names no text model"):
        TextModels.open("candidate", root)
    with pytest.raises(ModelError, match=r"names opinions/1 for topic\.en, which it cannot fill"):
        TextModels.open("champion", root)
    with pytest.raises(ModelError, match=r"no alias 'mine'.*there are: candidate, champion"):
        TextModels.open("mine", root)


def test_the_log_tells_what_runs_and_warns_of_research_models(root: Path) -> None:
    settings = load_settings(environ={}, options={"models": str(root), "device": "cpu", "threads": 1})
    with capture_logs() as lines:
        open_text_models(settings)
    opened = [line for line in lines if line["event"] == "text_model_opened"]
    assert [(line["model"], line["licence"], line["device"], line["mode"]) for line in opened] == [
        ("opinions/1", "Apache-2.0", "cpu", "exact"),
        ("topics/1", "research-use", "cpu", "exact"),
    ]
    assert opened[1]["languages"] == ("en", "zh", "es")
    (warning,) = [line for line in lines if line["log_level"] == "warning"]
    assert warning["model"] == "topics/1"
    assert "text_models=permissive" in warning["remedy"]


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        (config(), "no head or no language|has no head"),
        (config(head("sentiment", ["en"], ["bad", "neutral", "good"])), "labels of sentiment are negative, neutral, positive"),
        (config({**head("topic", ["en"], SUBJECTS), "columns": [0, 1]}), "3 labels for 2 columns"),
        (config({**head("topic", ["en"], SUBJECTS), "columns": [0, 1, 1]}), "comes twice"),
        (config({**head("topic", ["en"], SUBJECTS), "temperature": 0}), r"heads\[0\]\.temperature"),
        (config({**head("topic", ["en"], SUBJECTS), "columns": [-1, 0, 1]}), "columns"),
        (config(head("topic", ["en", "fr"], SUBJECTS)), "does not list: fr"),
        (config(head("topic", ["en"], SUBJECTS), head("topic", ["en"], REGIONS)), "'en' has more than one head for topic"),
        (config(head("sentiment", ["en"], SENTIMENT), head("region", ["en"], REGIONS)), "region head but no topic head"),
        (config(head("topic", ["en"], SUBJECTS), languages=["en", "zh"]), "'zh' has no head"),
        (config(head("topic", ["en"], SUBJECTS), max_tokens=9), "max_tokens"),
        (config(head("topic", ["en"], SUBJECTS), lead_tokens=128), "lead_tokens is 128, but texts of up to 128 are read whole"),
        ({"languages": ["en"], "labels": {}, "max_tokens": 128}, "heads"),
    ],
)
def test_a_configuration_whose_parts_disagree_is_refused(root: Path, answers: dict[str, Any], fault: str) -> None:
    manifest = msgspec.structs.replace(read_manifest(root / "topics/1"), config=answers)
    with pytest.raises(ModelError, match=f"topics/1: manifest config: .*({fault}).*; export the model again"):
        config_of(manifest)


def test_a_graph_that_is_not_what_the_manifest_says_is_refused(root: Path) -> None:
    folder = root / "topics/1"
    manifest = read_manifest(folder)
    write_manifest(folder, msgspec.structs.replace(manifest, config=config(head("topic", ["en"], SUBJECTS))))
    with pytest.raises(ModelError, match=r"the heads read 3 columns, but model\.onnx has 5"):
        TextScorer.open(load(folder), device="cpu")
    model = onnx.load(folder / "model.onnx")
    model.graph.output[0].name = "kept"
    onnx.save(model, folder / "model.onnx")
    write_manifest(folder, manifest)
    with pytest.raises(ModelError, match="needs one output"):
        TextScorer.open(load(folder), device="cpu")


def test_a_graph_newer_than_the_runtime_is_refused(root: Path) -> None:
    set_opset(root / "opinions/1", 99)
    with pytest.raises(
        ModelError, match=r"its opset is newer than .*update onnxruntime, or export the model with an older opset"
    ):
        TextScorer.open(load(root / "opinions/1"), device="cpu")


def test_a_tokenizer_without_a_frame_is_refused(tmp_path: Path) -> None:
    folder = write_text_model(tmp_path, "bare/1", OPINIONS, OPINION_WORDS, special=("a", "b", "c", "d"))
    with pytest.raises(ModelError, match="tokenizer has neither"):
        TextScorer.open(load(folder), device="cpu")
