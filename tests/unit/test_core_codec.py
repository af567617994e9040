"""Whatever bytes come in, decoding gives a valid record or InvalidRecord with a field and a reason."""

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.codec import DECODERS, MAX_RECORD_BYTES, MAX_TEXT_CHARS, encode
from core.errors import InvalidRecord
from core.records import NewsItem

NOW = datetime(2022, 11, 9, tzinfo=UTC)
NEWS: dict[str, object] = {"published": "2022-11-08T13:58:33Z", "source": "cnbc", "title": "FTX stops withdrawals"}
POST: dict[str, object] = {"published": "2022-11-08T13:58:33+01:00", "source": "x", "text": "$AAPL down", "followers": 3}
PAYMENT: dict[str, object] = {
    "id": "1",
    "time": "2022-11-08T00:00:00Z",
    "customer_id": "c",
    "terminal_id": "t",
    "amount": 9.5,
    "currency": "USD",
}
LABEL: dict[str, object] = {"transaction_id": "1", "fraud": True, "time": "2022-11-08T00:00:00Z"}
GOOD: dict[str, dict[str, object]] = {"news": NEWS, "social": POST, "transactions": PAYMENT, "labels": LABEL}


def raw(record: object) -> bytes:
    return json.dumps(record).encode()


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_record_decodes_and_reads_back_the_same(kind: str) -> None:
    record = DECODERS[kind](raw(GOOD[kind]), NOW)
    assert DECODERS[kind](encode(record), NOW) == record


def test_unknown_fields_are_kept() -> None:
    item = DECODERS["news"](raw({**NEWS, "desk": "crypto", "scores": [1, 2]}), NOW)
    assert isinstance(item, NewsItem)
    assert item.extra == {"desk": "crypto", "scores": [1, 2]}


@pytest.mark.parametrize(
    ("kind", "change", "field", "reason"),
    [
        ("news", {"title": None}, "title", "Expected `str`"),
        ("news", {"title": "  "}, "title", "is blank"),
        ("news", {"published": "2022-11-08T13:58:33"}, "published", "timezone"),
        ("news", {"published": "yesterday"}, "published", "RFC3339"),
        ("news", {"published": "0001-01-01T00:00:00Z"}, "published", "before 1990"),
        ("news", {"published": "2999-01-01T00:00:00Z"}, "published", "future"),
        ("news", {"body": "x" * (MAX_TEXT_CHARS + 1)}, "body", "characters"),
        ("news", {"lang": "English"}, "lang", "regex"),
        ("social", {"followers": -1}, "followers", ">= 0"),
        ("social", {"text": 7}, "text", "Expected `str`"),
        ("transactions", {"currency": "XXQ"}, "currency", "ISO 4217"),
        ("transactions", {"currency": "usd"}, "currency", "regex"),
        ("transactions", {"amount": -1}, "amount", ">= 0"),
        ("transactions", {"amount": "9.5"}, "amount", "Expected `float`"),
        ("transactions", {"amount": 1e16}, "amount", "below"),
        ("transactions", {"customer_id": ""}, "customer_id", "length"),
        ("labels", {"fraud": "yes"}, "fraud", "Expected `bool`"),
    ],
)
def test_a_bad_field_is_named_with_the_reason(kind: str, change: dict[str, object], field: str, reason: str) -> None:
    with pytest.raises(InvalidRecord) as caught:
        DECODERS[kind](raw({**GOOD[kind], **change}), NOW)
    assert caught.value.field == field
    assert reason in caught.value.reason


@pytest.mark.parametrize("kind", GOOD)
def test_a_missing_field_is_named(kind: str) -> None:
    for name in ("published", "time", "source", "transaction_id", "customer_id"):
        if name in GOOD[kind]:
            short = {key: value for key, value in GOOD[kind].items() if key != name}
            with pytest.raises(InvalidRecord, match="is required") as caught:
                DECODERS[kind](raw(short), NOW)
            assert caught.value.field == name


@pytest.mark.parametrize(
    ("bytes_in", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8: byte 0xff at offset 0"),
        (b'{"a": "\xc3"}', "not UTF-8"),
        (b"[1]", "a JSON object is expected"),
        (b"null", "a JSON object is expected"),
        (b"[" * 100_000, "not JSON"),
        (b'{"title": "' + b"x" * MAX_RECORD_BYTES + b'"}', "bytes"),
    ],
)
def test_what_is_no_record_says_why(bytes_in: bytes, reason: str) -> None:
    for decode in DECODERS.values():
        with pytest.raises(InvalidRecord, match=reason):
            decode(bytes_in, NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(kind=st.sampled_from(sorted(GOOD)), bytes_in=st.binary(max_size=200))
def test_no_bytes_make_it_fail_otherwise(kind: str, bytes_in: bytes) -> None:
    with pytest.raises(InvalidRecord):
        DECODERS[kind](bytes_in, NOW)


@given(kind=st.sampled_from(sorted(GOOD)), data=st.data())
def test_no_values_make_it_fail_otherwise(kind: str, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(sorted(GOOD[kind])))
    changed = json.dumps({**GOOD[kind], field: data.draw(JSON), data.draw(st.text(max_size=5)): data.draw(JSON)})
    try:
        record = DECODERS[kind](changed.encode("utf-8", "surrogatepass"), NOW)
    except InvalidRecord:
        return
    assert msgspec.json.decode(encode(record))
