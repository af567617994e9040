"""The shipped text models: they need no torch, and no text's score depends on its neighbours."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from core.errors import ModelError
from models.aliases import resolve
from models.registry import ARTIFACTS, Artifact, load
from models.text.chunks import CHUNK_TOKENS, MAX_CHUNKS, Chunker, agree, combine
from models.text.routing import TextModels
from models.text.score import TextScore, TextScorer

TEXTS = [
    "Tesla shares plunge 12% after recall of 2 million cars",
    "$AAPL Apple beats earnings expectations, raises dividend https://t.co/x",
    "Fed raises interest rates by 75 basis points",
    "FTX files for bankruptcy as customers cannot withdraw their funds",
    "The company will hold its annual meeting on Friday",
    "Oil slides 4% as OPEC+ weighs output increase &amp; demand fears grow in Asia amid new lockdowns",
    "ok",
    "Nokia wins contract worth 450 million euros",
]


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return resolve("champion", "sentiment.en")


@pytest.fixture(scope="module")
def scorer() -> TextModels:
    return TextModels.open("champion", ARTIFACTS, device="cpu")


def probabilities(score: TextScore) -> list[float]:
    assert score.sentiment is not None
    assert score.topic is not None
    return [score.sentiment.negative, score.sentiment.neutral, score.sentiment.positive, score.topic.score]


def test_a_text_alone_and_in_any_batch_has_the_same_score(scorer: TextModels) -> None:
    texts = TEXTS * 5
    random.Random(0).shuffle(texts)
    batch = dict(zip(texts, scorer.score(texts, ["en"] * len(texts)), strict=True))
    for text in TEXTS:
        alone = scorer.score([text], ["en"])[0]
        assert np.abs(np.subtract(probabilities(alone), probabilities(batch[text]))).max() <= 1e-5


def test_plain_news_gets_the_sentiment_and_topic_a_reader_would_give(scorer: TextModels) -> None:
    bad, good, rates, bankrupt, *_ = scorer.score(TEXTS, [None] * len(TEXTS))
    assert bad.sentiment is not None
    assert good.sentiment is not None
    assert bankrupt.sentiment is not None
    assert rates.topic is not None
    assert (bad.sentiment.label, good.sentiment.label, bankrupt.sentiment.label) == ("negative", "positive", "negative")
    assert rates.topic.label == "Fed | Central Banks"
    assert bad.model == resolve("champion", "sentiment.en").manifest.ref


def test_spanish_news_gets_the_sentiment_a_reader_would_give(scorer: TextModels) -> None:
    bad, good = scorer.score(
        ["La constructora se declara en quiebra y despide a 300 empleados", "El banco gana un 20 % más"], ["es"] * 2
    )
    assert bad.sentiment is not None
    assert good.sentiment is not None
    assert (bad.sentiment.label, good.sentiment.label) == ("negative", "positive")
    assert bad.model == resolve("champion", "sentiment.es").manifest.ref


def test_chinese_news_gets_the_sentiment_and_topics_a_reader_would_give(scorer: TextModels) -> None:
    bad, good, rules = scorer.score(
        ["踩雷了，天天跌停，又亏了一大笔", "业绩大涨，明天继续涨停，主力加油", "银保监会发布新规，规范互联网贷款业务"], ["zh"] * 3
    )
    assert bad.sentiment is not None
    assert good.sentiment is not None
    assert rules.topic is not None
    assert (bad.sentiment.label, good.sentiment.label) == ("negative", "positive")
    assert rules.topic.label == "Policy"
    assert bad.model == resolve("champion", "sentiment.zh").manifest.ref


def test_probabilities_sum_to_one_and_the_score_is_their_difference(scorer: TextModels) -> None:
    for score in scorer.score(TEXTS, ["en"] * len(TEXTS)):
        assert score.sentiment is not None
        assert score.sentiment.negative + score.sentiment.neutral + score.sentiment.positive == pytest.approx(1)
        assert score.sentiment.score == pytest.approx(score.sentiment.positive - score.sentiment.negative)


def test_threads_change_no_score(scorer: TextModels) -> None:
    threaded = TextModels.open("champion", ARTIFACTS, device="cpu", threads=2)
    texts = TEXTS * 4
    pairs = zip(threaded.score(texts, ["en"] * len(texts)), scorer.score(texts, ["en"] * len(texts)), strict=True)
    assert all(np.allclose(probabilities(one), probabilities(other), atol=1e-6) for one, other in pairs)
    threaded.close()


def test_no_texts_no_scores(scorer: TextModels) -> None:
    assert scorer.score([], []) == []


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(alphabet=st.characters(), max_size=120), max_size=6), st.sampled_from([None, "en"]))
def test_no_string_makes_it_raise(scorer: TextModels, texts: list[str], hint: str | None) -> None:
    for score in scorer.score(texts, [hint] * len(texts)):
        assert (score.sentiment is None) == (score.model is None)
        assert score.sentiment is not None or score.reason


@pytest.mark.parametrize("text", ["a" * 1_000_000, "\ud83d\udcc9 lone", "shares\x00fell", "🚀" * 5000, "word " * 100_000])
def test_hostile_texts_are_scored_or_given_a_reason(scorer: TextModels, text: str) -> None:
    score = scorer.score([text], ["en"])[0]
    assert score.sentiment is not None or score.reason == "no words to score"
    if len(text) > 100_000:
        assert score.reason == "long text: only its beginning was scored"


def test_a_long_text_is_cut_at_sentences_with_its_title_apart(artifact: Artifact) -> None:
    chunker = open_chunker(artifact)
    title, sentence = "Bank fails", "The regulator closed the bank on Friday after a run on its deposits."
    (chunked,) = chunker.split([f"{title}\n\n" + " ".join([sentence] * 20)])
    assert len(chunked.chunks[0]) < 8
    assert len(chunked.chunks) == 1 + 20 / 4
    assert max(map(len, chunked.chunks)) <= CHUNK_TOKENS
    assert not chunked.cut


def test_a_text_of_the_models_length_is_one_chunk(artifact: Artifact) -> None:
    (chunked,) = open_chunker(artifact).split(["Title\n\n" + "word " * 100])
    assert len(chunked.chunks) == 1


def test_a_lead_is_the_beginning_of_a_text_of_several_parts(artifact: Artifact) -> None:
    chunker = Chunker(Tokenizer.from_file(str(artifact.path("tokenizer.json"))), max_tokens=128, lead_tokens=200)
    short, middle, long = chunker.split(["word " * 100, "word " * 150, "word " * 400])
    assert (short.lead, short.pieces) == (None, short.chunks)
    assert middle.lead is not None
    assert long.lead is not None
    assert (len(middle.lead), len(long.lead)) == (152, 200)
    assert long.pieces == (*long.chunks, long.lead)
    assert long.lead[0] == long.chunks[0][0]
    assert long.lead[-1] == long.chunks[0][-1]


def test_a_book_is_cut_and_says_so(artifact: Artifact) -> None:
    (chunked,) = open_chunker(artifact).split(["The bank reported a loss for the quarter. " * 900])
    assert len(chunked.chunks) == MAX_CHUNKS
    assert chunked.cut


def test_the_title_counts_half_and_opinion_outweighs_neutral_parts() -> None:
    parts = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    assert combine(parts, 1.0 - parts[:, 1]).round(6).tolist() == [0.5, 0.5, 0.0]


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=5))
def test_parts_that_agree_on_a_topic_are_surer_and_none_can_veto(rows: list[list[float]]) -> None:
    parts = np.array(rows) + 0.01
    parts /= parts.sum(axis=1, keepdims=True)
    found = agree(parts)
    assert found.sum() == pytest.approx(1)
    assert (found > 0).all()
    alike = np.repeat(parts[:1], 3, axis=0)
    assert agree(alike).argmax() == parts[0].argmax()
    assert agree(alike).max() >= parts[0].max() - 1e-9


def test_a_long_article_of_bad_news_is_negative(scorer: TextModels) -> None:
    body = "The exchange halted withdrawals and its customers lost billions. Police said the office is in the city centre. " * 12
    score = scorer.score([f"FTX collapses into bankruptcy\n\n{body}"], ["en"])[0]
    assert score.sentiment is not None
    assert score.sentiment.label == "negative"


def test_a_model_of_another_task_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    folder = tmp_path / "1"
    shutil.copytree(artifact.folder, folder)
    manifest = (folder / "manifest.json").read_text().replace('"task": "text"', '"task": "fraud"')
    (folder / "manifest.json").write_text(manifest)
    with pytest.raises(ModelError, match="a text model is needed"):
        TextScorer.open(load(folder))


def test_a_manifest_without_temperatures_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    folder = tmp_path / "1"
    shutil.copytree(artifact.folder, folder)
    manifest = (folder / "manifest.json").read_text().replace('"temperature"', '"warmth"')
    (folder / "manifest.json").write_text(manifest)
    with pytest.raises(ModelError, match="export the model again"):
        TextScorer.open(load(folder))


def open_chunker(artifact: Artifact) -> Chunker:
    return Chunker(Tokenizer.from_file(str(artifact.path("tokenizer.json"))), max_tokens=128)
