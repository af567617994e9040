"""Matches: group keys, values, summaries, ids."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.match import MAX_GROUPS, group_keys, matches, summarise
from alerts.rule import Average, Condition, Filter, Rule, Surge, Threshold
from core.errors import InvalidRecord

NEWS: dict[str, Any] = {
    "id": "news-1",
    "kind": "news",
    "time": "2026-03-02T08:00:00Z",
    "title": "Acme defaults",
    "lang": "en",
    "sentiment": {"label": "negative", "score": -0.8},
    "entities": [{"id": "A", "name": "Acme"}, {"id": "B", "name": "Bolt"}, {"id": "A", "name": "Acme"}],
}


def rule(condition: Condition, *group_by: str) -> Rule:
    accepts = Filter("kind:news", lambda document: document.get("kind") == "news")
    return Rule(
        name="r", filter=accepts, condition=condition, severity="info", group_by=group_by, cooldown=timedelta(1), receivers=()
    )


def test_a_multi_valued_field_gives_one_match_per_value() -> None:
    found = matches(rule(Threshold(), "entities.id"), NEWS)
    assert [match.group for match in found] == [{"entities.id": "A"}, {"entities.id": "B"}]
    assert len({match.id for match in found}) == 2
    assert {match.event_id for match in found} == {"news-1"}
    assert found[0].time == datetime(2026, 3, 2, 8, tzinfo=UTC)


def test_ids_are_stable_and_differ_by_rule() -> None:
    first, second = matches(rule(Threshold(), "lang"), NEWS), matches(rule(Threshold(), "lang"), dict(NEWS))
    assert first == second
    assert matches(rule(Threshold(), "entities.id"), NEWS)[0].id != first[0].id


def test_no_match_without_the_filter_the_group_field_or_the_value() -> None:
    assert matches(rule(Threshold(), "lang"), {**NEWS, "kind": "social"}) == []
    assert matches(rule(Threshold(), "terminal_id"), NEWS) == []
    assert matches(rule(Threshold(), "entities.id"), {**NEWS, "entities": []}) == []
    average = Average("sentiment.score", timedelta(hours=1), 10, below=-0.3)
    for missing in (None, {"score": None}, {"score": "-0.8"}, {"score": True}, {"score": float("nan")}):
        assert matches(rule(average), {**NEWS, "sentiment": missing}) == []


def test_no_group_is_one_series() -> None:
    assert [match.group for match in matches(rule(Threshold()), NEWS)] == [{}]


def test_values() -> None:
    average = Average("sentiment.score", timedelta(hours=1), 10, below=-0.3)
    assert matches(rule(average), NEWS)[0].value == -0.8
    share = Surge(
        Filter("x", lambda d: d["sentiment"]["label"] == "negative"), timedelta(hours=1), timedelta(days=1), 8, 5, 0.001
    )
    assert matches(rule(share), NEWS)[0].value == 1.0
    assert matches(rule(share), {**NEWS, "sentiment": {"label": "positive"}})[0].value == 0.0


NO_ZONE = datetime(2026, 3, 2, tzinfo=UTC).replace(tzinfo=None)


@pytest.mark.parametrize("broken", [{"id": ""}, {"id": None}, {"time": "yesterday"}, {"time": NO_ZONE}, {"time": None}])
def test_an_event_without_id_or_time_is_invalid(broken: dict[str, Any]) -> None:
    with pytest.raises(InvalidRecord):
        matches(rule(Threshold()), {**NEWS, **broken})


def test_group_keys_are_bounded() -> None:
    wide = {"entities": [{"id": str(n)} for n in range(40)], "tags": [str(n) for n in range(40)]}
    with pytest.raises(InvalidRecord, match=str(MAX_GROUPS)):
        group_keys(("entities.id", "tags"), wide)


def test_group_values_are_texts() -> None:
    assert group_keys(("fraud", "amount"), {"fraud": True, "amount": 3}) == {("true", "3")}


def test_summaries() -> None:
    assert summarise({"title": "x" * 300}) == "x" * 199 + "…"
    assert summarise({"title": " ", "text": "a\n b"}) == "a b"
    assert summarise({"amount": 431.2, "currency": "USD", "terminal_id": "T12"}) == "amount 431.20 USD at terminal T12"
    assert summarise({"id": "x"}) == "event x"
