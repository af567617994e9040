"""The evaluation report of text models: figures against scikit-learn's, pages that neither run nor give away what they quote."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.errors import ConfigError
from core.records import Sentiment, Topic
from models.registry import DataSource, Licence, Manifest
from models.text.score import TextScore

metrics = pytest.importorskip("sklearn.metrics", reason="needs the train extra")
pytest.importorskip("matplotlib", reason="needs the train extra")

from models.training.text.baseline import baselines, predict  # noqa: E402
from models.training.text.card import card  # noqa: E402
from models.training.text.evaluate import TASKS, Judged, Key, Labels, Task, judge  # noqa: E402
from models.training.text.heads import HEADS  # noqa: E402
from models.training.text.long_texts import articles, measure  # noqa: E402
from models.training.text.measure import compare, exact_accuracy, flag_macro_f1  # noqa: E402
from models.training.text.report import figures  # noqa: E402
from models.training.text.report.figures import Figures  # noqa: E402
from models.training.text.report.parity import Parity  # noqa: E402
from models.training.text.report.sections import text_hash  # noqa: E402
from models.training.text.report.write import Aside, write_report  # noqa: E402
from models.training.text.sets import Example, Target  # noqa: E402

HOSTILE = "<script>alert(1)</script> | **shares** fall"
SENTIMENTS = ("negative", "neutral", "positive")
PARITY = Parity("int8 weights", 22.9, 0.9964, 0.064, -0.0012, 2.1e-7)


def row(text: str, truth: Labels, predicted: Labels, *, source: str = "sentfin", confidence: float = 0.8) -> Judged:
    task: Task = "topic" if source in ("finnl", "twitter_topic") else "sentiment"
    lang = "zh" if source.startswith("fin") else "en"
    return Judged(source, lang, text, task, truth, predicted, confidence, baseline=("neutral",))


def sentiments(count: int = 120, *, source: str = "sentfin") -> list[Judged]:
    """Rows of which two in three are right, of all lengths and confidences."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(count):
        truth = SENTIMENTS[number % 3]
        predicted = truth if rng.random() < 2 / 3 else SENTIMENTS[int(rng.integers(3))]
        text = f"{source} {number} " + "x" * int(rng.integers(1, 60))
        rows.append(row(text, (truth,), (predicted,), source=source, confidence=float(rng.uniform(0.4, 1))))
    return rows


def topics() -> list[Judged]:
    return [
        row("甲", ("Macro", "China"), ("Macro", "China"), source="finnl"),
        row("乙", ("Macro",), ("Policy", "China"), source="finnl", confidence=0.9),
        row("丙", ("Policy", "China"), ("Policy",), source="finnl"),
    ]


def test_figures_of_one_label_are_scikit_learns() -> None:
    rows = sentiments()
    truth, predicted = [each.truth[0] for each in rows], [each.predicted[0] for each in rows]
    found = figures.figures("sentfin", rows, several=False)
    assert found.accuracy.model.value == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found.f1.model.value == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))
    assert found.accuracy.model.low < found.accuracy.model.value < found.accuracy.model.high
    report = metrics.classification_report(truth, predicted, output_dict=True)
    for label in figures.by_label(rows):
        theirs = report[label.label]
        assert (label.precision, label.recall, label.f1) == pytest.approx(
            (theirs["precision"], theirs["recall"], theirs["f1-score"])
        )
        assert label.support == theirs["support"]
    confusion = figures.confusion(rows)
    assert np.array_equal(confusion.counts, metrics.confusion_matrix(truth, predicted, labels=confusion.labels))


def test_figures_of_several_labels_by_hand() -> None:
    found = figures.figures("finnl", topics(), several=True)
    assert found.f1_name == "micro-F1"
    assert found.accuracy.model.value == pytest.approx(1 / 3)
    assert found.f1.model.value == pytest.approx(2 * 3 / (5 + 5))  # 3 hits, 5 true labels, 5 predicted


def test_calibration_asks_the_first_label_and_leaves_out_what_was_not_scored() -> None:
    rows = [*topics(), row("丁", ("Macro",), (), source="finnl", confidence=0.0)]
    bins = figures.calibration(rows)
    assert [(each.count, each.share, round(each.mean, 2)) for each in bins] == [(2, 1.0, 0.8), (1, 0.0, 0.9)]
    assert figures.figures("finnl", rows, several=True).gap == pytest.approx((2 * 0.2 + 0.9) / 3)


def test_the_paired_interval_is_narrower_than_the_systems_own() -> None:
    truth = np.eye(3, dtype=bool)[np.arange(300) % 3]
    worse = truth.copy()
    worse[:60] = np.roll(truth[:60], 1, axis=1)
    better = truth.copy()
    better[:50] = worse[:50]
    found = compare(exact_accuracy, truth, better, worse)
    assert (found.model.value, found.baseline.value) == pytest.approx((250 / 300, 240 / 300))
    assert found.difference.value == pytest.approx(10 / 300)
    assert 0 < found.difference.low < found.difference.high < 0.06
    width = found.difference.high - found.difference.low
    assert width == pytest.approx(2 * 1.96 * (1 / 30 * 29 / 30 / 300) ** 0.5, rel=0.15)  # of a share of 10 in 300
    assert width < (found.model.high - found.model.low) / 1.5
    same = compare(flag_macro_f1, truth, worse, worse).difference
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_a_resample_without_a_label_is_judged_by_the_others() -> None:
    truth, predicted = np.eye(2, dtype=bool), np.array([[True, False], [True, False]])
    assert flag_macro_f1(truth, predicted, np.array([[2.0, 0.0], [0.0, 2.0]])).tolist() == [1.0, 0.0]


def test_lengths_cover_all_rows_and_equal_lengths_stay_together() -> None:
    rows = [row("x" * length, ("neutral",), ("neutral",)) for length in (1, 2, 2, 2, 2, 3, 4, 5, 6, 7)]
    parts = figures.by_length(rows)
    assert sum(len(part) for _, part in parts) == len(rows)
    assert [name for name, _ in parts] == ["1 to 2", "3 to 4", "5 to 7"]


def test_a_language_pools_its_sets() -> None:
    rows = [*sentiments(30), *sentiments(20, source="surge"), *topics()]
    assert [(each.name, each.texts) for each in figures.overview(rows)] == [
        ("en sentiment", 50),
        ("sentfin", 30),
        ("surge", 20),
        ("zh topic", 3),
        ("finnl", 3),
    ]


def test_the_worst_errors_are_the_surest() -> None:
    rows = [row(str(number), ("negative",), ("positive",), confidence=number / 100) for number in range(1, 40)]
    rows.append(row("right", ("negative",), ("negative",), confidence=0.99))
    assert [each.text for each in figures.worst(rows)] == [str(number) for number in range(39, 24, -1)]


def report_rows() -> list[Judged]:
    hidden = [row(f"机密{number}", ("negative",), ("positive",), source="finfe", confidence=0.9) for number in range(8)]
    return [row(HOSTILE, ("negative",), ("positive",), confidence=0.97), *sentiments(), *topics(), *hidden]


def test_the_report_is_the_same_bytes_for_the_same_rows(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report(report_rows(), tmp_path / name, title="Text model", aside=Aside((PARITY,)))
    for page in ("report.html", "report.md"):
        assert (tmp_path / "a" / page).read_bytes() == (tmp_path / "b" / page).read_bytes()


def test_hostile_texts_are_shown_and_do_not_run(tmp_path: Path) -> None:
    write_report(report_rows(), tmp_path, title="A <b>title</b>", aside=Aside((PARITY,)))
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; | **shares** fall" in page
    assert page.count("<svg") == 5  # reliability of three sets, confusion of two
    markdown = (tmp_path / "report.md").read_text()
    assert "<script" not in markdown
    assert r"&lt;script&gt;alert(1)&lt;/script&gt; \| \*\*shares\*\* fall" in markdown
    assert "int8 weights | 22.9 | 99.64%" in markdown


def test_texts_of_sets_without_a_licence_are_named_by_their_hash(tmp_path: Path) -> None:
    write_report(report_rows(), tmp_path / "shared", title="Text model")
    write_report(report_rows(), tmp_path / "own", title="Text model", show_texts=True)
    for page in ("report.html", "report.md"):
        shared, own = ((tmp_path / name / page).read_text() for name in ("shared", "own"))
        assert not any(each.text in shared for each in report_rows() if each.lang == "zh")
        assert text_hash("机密0") in shared
        assert "机密0" in own


def example(text: str, source: str, *targets: Target) -> Example:
    return Example(text, source, "zh" if source.startswith("fin") else "en", targets)


DEV = [
    example("Profit up", "sentfin", Target("sentiment.en", (2,))),
    example("利润下降", "finnsp", Target("sentiment.zh", (1, 2), one_of=True)),
    example("央行降息", "finnl", Target("topic.zh", (HEADS["topic.zh"].labels.index("Macro"),)), Target("region.zh", (0,))),
    example("Apple buys", "twitter_topic", Target("topic.en", (0,))),
]


def answers(texts: Sequence[str], langs: Sequence[str]) -> list[TextScore]:
    """What a model for Chinese topics and for sentiment in both languages says."""
    sentiment = Sentiment(label="positive", negative=0.1, neutral=0.2, positive=0.7, score=0.6)
    topic = Topic(label="Macro", score=0.6, labels=("Macro", "Dividend", "China"))
    return [TextScore(lang, sentiment, topic if lang == "zh" else None, None, None) for lang in langs]


def test_texts_are_judged_in_their_sets_own_terms() -> None:
    baseline: dict[Key, Labels] = {(each.source, task, each.text): ("neutral",) for each in DEV for task in TASKS}
    rows = judge(answers, DEV, baseline)
    assert [(each.source, each.task, each.truth, each.predicted, each.confidence) for each in rows] == [
        ("sentfin", "sentiment", ("positive",), ("positive",), 0.7),
        ("finnsp", "sentiment", ("not negative",), ("not negative",), pytest.approx(0.9)),
        ("finnl", "topic", ("Macro", "China"), ("Macro", "China"), 0.6),  # finnl has no label for dividends
    ]


def test_the_baseline_learns_each_set_for_itself() -> None:
    words = ("profit rises", "loss widens", "shares unchanged")
    made = [example(f"{words[at % 3]} {at % 5}", "sentfin", Target("sentiment.en", ((2, 0, 1)[at % 3],))) for at in range(30)]
    found = baselines(made, [example("a profit", "sentfin", Target("sentiment.en", (2,)))])
    assert found == {("sentfin", "sentiment", "a profit"): ("positive",)}


def test_the_baseline_of_several_labels_gives_at_least_one() -> None:
    texts = ["油价上涨", "股市上涨", "油价股市", "天气晴朗"] * 5
    labels: list[Labels] = [("oil",), ("stocks",), ("oil", "stocks"), ("weather",)] * 5
    assert predict(texts, labels, ["油价股市", "油价", "无关"], lang="zh")[0] == ("oil", "stocks")
    assert all(predict(texts, labels, ["油价", "无关"], lang="zh"))


def manifest(licence: Licence, *sources: DataSource) -> Manifest:
    head = {"task": "sentiment", "languages": ["en"], "labels": list(SENTIMENTS), "columns": [0, 1, 2], "temperature": 1.1}
    return Manifest(
        name="text-en",
        version="2",
        task="text",
        created="2026-01-01T00:00:00Z",
        licence=licence,
        opset=17,
        files={},
        data=sources,
        metrics={},
        config={"languages": ["en"], "max_tokens": 96, "heads": [head]},
    )


SENTFIN = DataSource(name="sentfin", licence="MIT", rows=9446, sha256="ab" * 32)
FINFE = DataSource(name="finfe", licence="none stated", rows=10516, sha256="cd" * 32)
RECIPE = {
    "kind": "finetune",
    "base": "e5",
    "seed": 0,
    "epochs": 3,
    "encoder_rate": 5e-5,
    "sets": {"sentfin": 1.0},
    "data": "f" * 64,
}


def found() -> list[Figures]:
    return figures.overview([*sentiments(), *sentiments(source="finfe")])


def test_the_card_states_data_licences_figures_and_limits() -> None:
    text = card(manifest("research-use", SENTFIN, FINFE), RECIPE, found(), parity=[PARITY], limits=["Emoji are unknown to it."])
    assert "research-use: it learned from sets that state no licence: finfe." in text
    assert "| sentfin | SEntFiN 1.0" in text
    assert "| MIT | 9,446 | abababababab |" in text
    assert "| none stated | 10,516 | cdcdcdcdcdcd |" in text
    assert str(found()[0].f1.model) in text
    assert "- Emoji are unknown to it." in text
    assert "int8 weights | 22.9 | 99.64%" in text
    assert "carries over" not in text


def test_the_card_says_which_sets_the_model_was_not_trained_on() -> None:
    text = card(manifest("Apache-2.0", SENTFIN), RECIPE, found(), parity=[PARITY], limits=[])
    assert "Apache-2.0: the encoder that it goes on from and all data" in text
    assert "carries over: finfe." in text


def test_the_card_tells_what_a_network_was_made_of() -> None:
    student = {
        "kind": "distil",
        "base": "runs/many",
        "teachers": {"en": "runs/one"},
        "before": [RECIPE, {**RECIPE, "base": "minilm"}],
    }
    text = card(manifest("Apache-2.0", SENTFIN), student, found(), parity=[PARITY], limits=[])
    assert "answers of the trained network `many`, made of multilingual-e5-small of Microsoft" in text
    assert "and of the trained network `one`, made of all-MiniLM-L6-v2" in text
    assert text.count("| Setting | Value |") == 3
    longer = {**student, "start": "runs/small", "before": [*student["before"], student]}
    text = card(manifest("Apache-2.0", SENTFIN), longer, found(), parity=[PARITY], limits=[])
    assert (
        "An encoder, which goes on from the trained network `small`, that learned the answers of the trained network `many`"
        in text
    )
    assert text.count("| Setting | Value |") == 4, "what both students were made of is told once"
    several = {**student, "teachers": {"en": ["runs/one", "runs/other"]}, "before": [RECIPE] * 3}
    text = card(manifest("Apache-2.0", SENTFIN), several, found(), parity=[PARITY], limits=[])
    assert "and of the trained network `one`, made of" in text
    assert "and of the trained network `other`, made of" in text
    assert "| teachers | en one + other |" in text


def test_a_free_licence_is_refused_for_data_without_one() -> None:
    claimed = msgspec.structs.replace(manifest("Apache-2.0", SENTFIN), data=(SENTFIN, FINFE))
    with pytest.raises(ConfigError, match="finfe state no licence: the manifest's licence must be research-use"):
        card(claimed, RECIPE, found(), parity=[PARITY], limits=[])


def test_articles_carry_their_label_in_title_and_two_sentences() -> None:
    dev = [Example(f"{SENTIMENTS[i % 3]} {i}", "sentfin", "en", (Target("sentiment.en", (i % 3,)),)) for i in range(90)]
    made = articles(dev, lang="en", count=50)
    for article in made:
        label = SENTIMENTS[article.label]
        assert article.title.startswith(label)
        telling = sum(sentence.startswith(label) for sentence in article.sentences)
        assert telling == (8 if label == "neutral" else 2)
        assert article.text.startswith(f"{article.title}\n\n")

    def score(texts: Sequence[str], langs: Sequence[str]) -> list[TextScore]:
        """Reads the first word that is no `neutral`; an article has many, a title or a sentence one."""
        found = []
        for text in texts:
            words = [word for word in text.split() if word in SENTIMENTS]
            label = next((word for word in words if word != "neutral"), "neutral")
            named = {each: float(each == label) for each in SENTIMENTS}
            sentiment = msgspec.convert({"label": label, **named, "score": 0.0}, Sentiment)
            found.append(TextScore("en", sentiment, None, None, None))
        return found

    figures = measure(score, made)
    assert (figures["the rule"].value, figures["the title alone"].value) == (1.0, 1.0)
    assert figures["the plain mean"].value < 0.5
