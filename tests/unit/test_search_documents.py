"""Documents and the mapping: every field of every scored record has its row."""

import typing
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from core.records import Entity, ModelRef, ScoredText, ScoredTransaction, Sentiment, Topic
from search.documents import document, extras, fault, present, reader
from search.mapping import BY_NAME, EXTRA, FIELDS, digest, field_of, fields_of, nearest_fields

TIME = datetime(2022, 11, 11, 14, 29, 37, tzinfo=UTC)

TEXT = ScoredText(
    id="social-1",
    kind="social",
    time=TIME,
    ingested=TIME,
    published=TIME,
    source="x",
    text="Evergrande is broke",
    followers=3,
    lang="en",
    sentiment=Sentiment(label="negative", negative=0.9, neutral=0.1, positive=0.0, score=-0.9),
    topic=Topic(label="credit", score=0.5),
    entities=(Entity(id="e1", name="China Evergrande", mention="Evergrande", start=0, end=10),),
    model=ModelRef(name="sentiment-en", version="1"),
    extra={"likes": 3, "geo": {"country": "CN"}},
)
PAYMENT = ScoredTransaction(
    id="t1",
    time=TIME,
    ingested=TIME,
    customer_id="c",
    terminal_id="t",
    amount=12.5,
    currency="EUR",
    fraud_score=0.5,
    reasons=("new terminal",),
    model=ModelRef(name="fraud", version="1"),
)


def leaf_names(struct: type, prefix: str = "") -> set[str]:
    names: set[str] = set()
    for name, hint in typing.get_type_hints(struct).items():
        inner = next((part for part in typed_parts(hint) if isinstance(part, type) and issubclass(part, msgspec.Struct)), None)
        names |= leaf_names(inner, f"{prefix}{name}.") if inner else {f"{prefix}{name}"}
    return names


def typed_parts(hint: Any) -> list[Any]:
    arguments = typing.get_args(hint)
    return [hint] + [part for argument in arguments for part in typed_parts(argument)]


def test_every_field_of_the_scored_records_is_mapped_and_nothing_else() -> None:
    assert leaf_names(ScoredText) | leaf_names(ScoredTransaction) == set(BY_NAME) | {EXTRA}


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(FIELDS)


def test_a_record_becomes_plain_json_that_every_index_takes() -> None:
    for record in (TEXT, PAYMENT):
        made = document(record)
        assert fault(made) is None
        assert msgspec.json.decode(msgspec.json.encode(made)) == made
        assert msgspec.convert(made, type(record)) == record
    assert document(TEXT)["time"] == "2022-11-11T14:29:37Z"


def test_the_values_of_a_field_are_read_through_objects_and_lists() -> None:
    made = document(TEXT)
    assert reader("sentiment.label")(made) == ["negative"]
    assert reader("entities.name")(made) == ["China Evergrande"]
    assert reader("title")(made) == []
    assert reader("entities.name")({"entities": [{"name": ["a", ["b"]]}, {"name": None}, {}]}) == ["a", "b"]
    assert reader("sentiment.label")({"sentiment": "negative"}) == []
    assert {field.name for field, _ in present(document(PAYMENT))} >= {"reasons", "model.name", "amount"}


def test_what_a_source_adds_is_flattened_to_keywords() -> None:
    assert extras(document(TEXT)) == {"extra.likes": ["3"], "extra.geo.country": ["CN"]}
    assert extras({"extra": {"a": [{"b": 1.0}, {"b": [True, None, "x"]}], "a.b": "y"}}) == {
        "extra.a.b": ["1.0", "true", "x", "y"]
    }
    assert extras({"extra": None}) == extras({}) == {}


@pytest.mark.parametrize("name", ["extra.a", "extra.a.b.c", "sentiment.label"])
def test_a_name_below_extra_is_a_keyword(name: str) -> None:
    field = field_of(name)
    assert field is not None
    assert field.type == "keyword"


def test_a_pattern_stands_for_the_fields_that_match_and_for_extra() -> None:
    assert [field.name for field in fields_of("entities.*")] == [
        f"entities.{name}" for name in ("id", "name", "mention", "start", "end")
    ]
    assert len(fields_of("*")) == len(FIELDS) + 1
    assert [field.name for field in fields_of("e*x*")] == ["e*x*"]
    assert fields_of("nonesuch") == fields_of("nonesuch*") == ()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sentimnt.label", "sentiment.label"),
        ("custmer_id", "customer_id"),
        ("entity.name", "entities.name"),
        ("Fraud_Score", "fraud_score"),
    ],
)
def test_the_nearest_field_of_a_slip_is_the_one_meant(typed: str, meant: str) -> None:
    assert nearest_fields(typed)[0] == meant


def test_a_name_like_no_field_has_no_nearest() -> None:
    assert nearest_fields("zzzz") == []


def test_the_digest_is_stable_within_a_version() -> None:
    assert digest() == digest()
    assert len(digest()) == 64
