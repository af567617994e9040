"""Watermarks from the raw partitions to the series: scorers that lag, in any order, lose no alert."""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.rules import RuleSet, load_rules
from commands import wiring
from core.codec import encode
from core.errors import InvalidRecord
from core.records import ScoredText, Sentiment, Transition, Watermark
from core.topics import ALERTS_MATCHES, ALERTS_TRANSITIONS, TEXT_SCORED
from streams.alerting import EvaluateSeries, MatchRules
from streams.messages import Outgoing, Received, Worked
from streams.silence import Tide
from streams.steps import Mark
from streams.watermarks import STEP_S, Least, Rising, mark_messages, marks_of
from tests.unit.payment_stages import Broker, Files, recovered

START = datetime(2022, 11, 8, 12, tzinfo=UTC)
PARTITIONS = 2
SOURCES = ("news.raw/0", "social.raw/0")
RULES = """
receivers:
  - {name: console, type: console}
rules:
  - name: surge
    filter: "kind:*"
    severity: critical
    group_by: [source]
    cooldown: 6h
    receivers: [console]
    surge: {of: "sentiment.label:negative", within: 1h, reference: 24h, min_events: 8, min_negative: 5, sensitivity: 0.001}
"""


@pytest.fixture
def rules(tmp_path: Path) -> RuleSet:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    return load_rules(file, wiring.compile_filter, environ={})


def text(number: int, moment: datetime, *, negative: bool) -> ScoredText:
    mood = Sentiment(
        label="negative" if negative else "neutral",
        negative=float(negative),
        neutral=float(not negative),
        positive=0.0,
        score=-float(negative),
    )
    return ScoredText(
        id=f"t{number}", kind="news", time=moment, ingested=START, published=moment, source="wire", title=f"{moment}: text {number}",
        sentiment=mood, topic=None, lang="en",
    )  # fmt: skip


class Flow:
    """Matching and evaluating over lists in place of topics."""

    def __init__(self, rules: RuleSet, folder: Path, broker: Broker | None = None) -> None:
        self.broker = broker or Broker(partitions=PARTITIONS)
        self.tide = Tide()
        sources = {TEXT_SCORED.name: SOURCES}
        self.match = MatchRules(rules, PARTITIONS, lambda: START, sources, {TEXT_SCORED.name: self.tide})
        table = recovered(Files(folder), self.broker, "series")
        self.evaluate = EvaluateSeries(rules, table, lambda: START, PARTITIONS)
        self.table = table
        self.transitions: list[Transition] = []
        self._offset = 0

    def scored(self, messages: Sequence[Outgoing]) -> Worked:
        """Match and evaluate what a scorer sent."""
        matched = asyncio.run(self.match([self._received(message) for message in messages]))
        found = asyncio.run(self.evaluate([self._received(message) for message in matched.outgoing]))
        asyncio.run(self.table.save())
        assert not matched.dead
        assert not found.dead
        assert {message.topic for message in found.outgoing} <= {ALERTS_TRANSITIONS.name}
        self.transitions += [msgspec.json.decode(message.value, type=Transition) for message in found.outgoing]
        return matched

    def _received(self, message: Outgoing) -> Received:
        self._offset += 1
        partition = self._offset % PARTITIONS if message.partition is None else message.partition
        if message.topic == ALERTS_MATCHES.name and message.partition is None:
            partition = 0  # one series, one partition
        return Received(message.topic, partition, self._offset, message.key, message.value, 0.0, message.headers)


def event(number: int, moment: datetime, *, negative: bool) -> Outgoing:
    record = text(number, moment, negative=negative)
    return Outgoing(TEXT_SCORED.name, encode(record), key=record.id.encode())


def told(source: str, moment: datetime) -> list[Outgoing]:
    return list(mark_messages(TEXT_SCORED, [Mark(source, moment.timestamp(), moment.timestamp())], PARTITIONS))


def test_a_source_that_is_years_ahead_takes_nothing_from_one_that_lags(rules: RuleSet, tmp_path: Path) -> None:
    """A surge in the posts, which the scorer reads only after news of years later: it is seen, and ends only with the posts' time."""
    flow = Flow(rules, tmp_path)
    flow.scored(told("social.raw/0", START))
    later = START + timedelta(days=2000)
    flow.scored([event(0, later, negative=False), *told("news.raw/0", later)])
    calm = [event(number, START + timedelta(minutes=10 * number), negative=False) for number in range(1, 60)]
    flow.scored([*calm, *told("social.raw/0", START + timedelta(hours=10))])
    storm = [event(number, START + timedelta(hours=10, minutes=number - 100), negative=True) for number in range(100, 115)]
    flow.scored([*storm, *told("social.raw/0", START + timedelta(hours=10, minutes=15))])
    assert [transition.state.value for transition in flow.transitions] == ["active"]
    flow.scored(told("social.raw/0", START + timedelta(hours=13)))
    assert [transition.state.value for transition in flow.transitions] == ["active", "inactive"]


def test_the_marks_outlive_the_worker_that_kept_them(rules: RuleSet, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    flow = Flow(rules, tmp_path / "a")
    for source in SOURCES:
        flow.scored(told(source, START))
    again = Flow(rules, tmp_path / "b", flow.broker)
    number = 1
    watermark = Watermark(stream=TEXT_SCORED.name, source=f"{TEXT_SCORED.name}/{number}", time=START + timedelta(hours=1))
    assert again.evaluate._least(0, watermark) is None  # the other partition is still where it was
    other = msgspec.structs.replace(watermark, source=f"{TEXT_SCORED.name}/{1 - number}", time=START + timedelta(hours=2))
    assert again.evaluate._least(0, other) == START + timedelta(hours=1)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1e6)), min_size=1))
def test_the_least_mark_never_goes_back_nor_past_a_source(marks: list[tuple[str, float]]) -> None:
    least, before_s = Least("abc"), -inf
    latest: dict[str, float] = {}
    for source, time_s in marks:
        least.take(source, time_s)
        latest[source] = max(time_s, latest.get(source, time_s))
        assert before_s <= least.time_s
        assert least.time_s == (min(latest.values()) if len(latest) == 3 else -inf)
        before_s = least.time_s


def test_only_marks_that_rise_by_a_step_are_told() -> None:
    rising, pick = Rising(), random.Random(1)
    told_s, now_s = -inf, 0.0
    for _ in range(200):
        now_s += pick.uniform(0.0, STEP_S)
        for mark in rising.news([Mark("a", now_s), Mark("b")]):
            assert mark.source == "a"
            assert mark.time_s >= told_s + STEP_S
            told_s = mark.time_s
    assert now_s - told_s < STEP_S


def test_marks_travel_without_a_value_and_events_bring_none() -> None:
    marks = [Mark("news.raw/0", 1.0, 2.0), Mark("social.raw/0", 3.0, 3.0)]
    first, second = mark_messages(TEXT_SCORED, marks, 2)
    assert (first.partition, second.partition, first.value) == (0, 1, b"")
    assert marks_of(Received(first.topic, 0, 0, None, first.value, 0.0, first.headers)) == marks
    assert marks_of(Received(first.topic, 0, 0, None, b"{}", 0.0, first.headers)) is None
    assert marks_of(Received(first.topic, 0, 0, None, b"", 0.0)) is None
    with pytest.raises(InvalidRecord, match="marks of sources"):
        marks_of(Received(first.topic, 0, 0, None, b"", 0.0, (("marks", b"\xc1"),)))
    assert list(mark_messages(TEXT_SCORED, [], 2)) == []
