"""Bytes ↔ records. Whatever the bytes are, decoding gives a valid record or `InvalidRecord` with the field and the reason."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from core.currencies import CURRENCIES
from core.errors import InvalidRecord
from core.records import Label, NewsItem, SocialPost, Transaction

MAX_TEXT_CHARS = 200_000  # a 10-K filing has about 150,000 characters; more is a mistake or an attack
MAX_RECORD_BYTES = 900_000  # Kafka's default message.max.bytes is 1,048,588 with batch and header overhead
MAX_AMOUNT = 1e15
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_CLOCK_SKEW = timedelta(days=1)  # a wrong time zone moves a stamp by at most 14 h

T = TypeVar("T", NewsItem, SocialPost, Transaction, Label)
Raw = NewsItem | SocialPost | Transaction | Label
Decode = Callable[[bytes, datetime], Raw]
_KNOWN = {cls: frozenset(cls.__struct_fields__) - {"extra"} for cls in (NewsItem, SocialPost, Transaction, Label)}


def encode(record: object) -> bytes:
    """JSON bytes of a record; times as RFC 3339."""
    return msgspec.json.encode(record)


def decode_news(raw: bytes, now: datetime) -> NewsItem:
    """A valid news item; `published` is at most a day after `now`.

    >>> raw = b'{"published":"2022-11-08T13:58:33Z","source":"x","title":"T","desk":7}'
    >>> item = decode_news(raw, datetime(2022, 11, 9, tzinfo=UTC))
    >>> item.title, item.extra
    ('T', {'desk': 7})
    """
    item = _decode(raw, NewsItem)
    _check_time("published", item.published, now)
    _check_text("title", item.title)
    _check_length("body", item.body)
    return item


def decode_social(raw: bytes, now: datetime) -> SocialPost:
    """A valid post; `published` is at most a day after `now`."""
    post = _decode(raw, SocialPost)
    _check_time("published", post.published, now)
    _check_text("text", post.text)
    return post


def decode_transaction(raw: bytes, now: datetime) -> Transaction:
    """A valid payment: a known currency, a finite amount, and a time at most a day after `now`."""
    transaction = _decode(raw, Transaction)
    _check_time("time", transaction.time, now)
    if transaction.currency not in CURRENCIES:
        raise InvalidRecord(f"{transaction.currency!r} is no ISO 4217 currency code", field="currency")
    if not transaction.amount < MAX_AMOUNT:
        raise InvalidRecord(f"must be below {MAX_AMOUNT:g}", field="amount")
    return transaction


def decode_label(raw: bytes, now: datetime) -> Label:
    """A valid label; its arrival `time` is at most a day after `now`."""
    label = _decode(raw, Label)
    _check_time("time", label.time, now)
    return label


DECODERS: dict[str, Decode] = {
    "news": decode_news,
    "social": decode_social,
    "transactions": decode_transaction,
    "labels": decode_label,
}


def _decode(raw: bytes, record_type: type[T]) -> T:
    if len(raw) > MAX_RECORD_BYTES:
        raise InvalidRecord(f"record of {len(raw)} bytes; at most {MAX_RECORD_BYTES} are taken")
    fields = _decode_object(raw)
    known = _KNOWN[record_type]
    arguments = {name: value for name, value in fields.items() if name in known}
    if "extra" in record_type.__struct_fields__:
        extra = fields.get("extra")
        unknown = {name: value for name, value in fields.items() if name not in known and name != "extra"}
        arguments["extra"] = {**(extra if isinstance(extra, dict) else {}), **unknown}
    try:
        return msgspec.convert(arguments, record_type)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error


def _decode_object(raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRecord(f"not UTF-8: byte {error.object[error.start]:#04x} at offset {error.start}") from error
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRecord(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRecord(f"a JSON object is expected, not {type(value).__name__}")
    return value


def _invalid(error: msgspec.ValidationError) -> InvalidRecord:
    """`Expected str - at `$.title`` → field title, reason Expected str."""
    reason, _, path = str(error).partition(" - at `$.")
    if path:
        return InvalidRecord(reason, field=path.rstrip("`"))
    if "missing required field" in reason:
        return InvalidRecord("is required", field=reason.split("`")[1])
    return InvalidRecord(reason)


def _check_time(field: str, moment: datetime, now: datetime) -> None:
    if moment < _EARLIEST:
        raise InvalidRecord(f"{moment.isoformat()} is before {_EARLIEST.date()}", field=field)
    if moment > now + _CLOCK_SKEW:
        raise InvalidRecord(f"{moment.isoformat()} is more than a day in the future", field=field)


def _check_text(field: str, text: str) -> None:
    if not text.strip():
        raise InvalidRecord("is blank", field=field)
    _check_length(field, text)


def _check_length(field: str, text: str | None) -> None:
    if text is not None and len(text) > MAX_TEXT_CHARS:
        raise InvalidRecord(f"{len(text)} characters; at most {MAX_TEXT_CHARS} are taken", field=field)
