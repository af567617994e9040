"""Every record on a wire. A field has one name from the producer's JSON to the index, the API and the web page.

Times are aware datetimes, written as RFC 3339. `time` is always event time; `ingested` is when Groundswell scored the event.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Time = Annotated[datetime, Meta(tz=True)]
Name = Annotated[str, Meta(min_length=1, max_length=512)]
Text = Annotated[str, Meta(min_length=1)]
Language = Annotated[str, Meta(pattern="^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
TextKind = Literal["news", "social"]
Extra = dict[str, Any]


# --- as they arrive -------------------------------------------------------------------------------------------------


class NewsItem(Struct, frozen=True, kw_only=True):
    """An article or headline. Unknown fields of the JSON are kept in `extra`."""

    published: Time
    source: Name
    title: Text
    body: str | None = None
    id: Name | None = None
    url: str | None = None
    lang: Language | None = None
    extra: Extra = {}


class SocialPost(Struct, frozen=True, kw_only=True):
    """A post on a social network. Unknown fields of the JSON are kept in `extra`."""

    published: Time
    source: Name
    text: Text
    id: Name | None = None
    author: str | None = None
    url: str | None = None
    followers: Annotated[int, Meta(ge=0)] | None = None
    lang: Language | None = None
    extra: Extra = {}


class Transaction(Struct, frozen=True, kw_only=True):
    """A card payment. `amount` is in units of `currency` (ISO 4217)."""

    id: Name
    time: Time
    customer_id: Name
    terminal_id: Name
    amount: Annotated[float, Meta(ge=0)]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    channel: str | None = None
    country: str | None = None
    extra: Extra = {}


class Label(Struct, frozen=True, kw_only=True):
    """What an investigation found about a transaction; `time` is when the label became known, not the payment's time."""

    transaction_id: Name
    fraud: bool
    time: Time


# --- scored ---------------------------------------------------------------------------------------------------------


class ModelRef(Struct, frozen=True, kw_only=True):
    """Which model gave a score."""

    name: str
    version: str


class Sentiment(Struct, frozen=True, kw_only=True):
    """Calibrated probabilities that sum to 1; `score` is positive − negative, −1..1, lower = worse news."""

    label: Literal["negative", "neutral", "positive"]
    negative: float
    neutral: float
    positive: float
    score: float


class Topic(Struct, frozen=True, kw_only=True):
    """The most probable topic of the taxonomy and its probability, 0..1.

    `labels` is all that the text is about: that topic first, then further ones, the more probable first, then the region.
    `model` is None where the model that the scored text names gave the topic too.
    """

    label: str
    score: float
    labels: tuple[str, ...] = ()
    model: ModelRef | None = None


class Entity(Struct, frozen=True, kw_only=True):
    """A company or product of the watchlist that the text names; `start` and `end` are character offsets into the scored text."""

    id: str
    name: str
    mention: str
    start: int
    end: int


class ScoredText(Struct, frozen=True, kw_only=True):
    """A text with its scores; `sentiment` and `topic` are null where no model covers the language, and `reason` says so."""

    id: str
    kind: TextKind
    time: Time
    ingested: Time
    published: Time
    source: str
    native_id: str | None = None
    title: str | None = None
    body: str | None = None
    text: str | None = None
    author: str | None = None
    url: str | None = None
    followers: int | None = None
    lang: str
    sentiment: Sentiment | None
    topic: Topic | None
    reason: str | None = None
    entities: tuple[Entity, ...] = ()
    model: ModelRef | None = None
    extra: Extra = {}


class ScoredTransaction(Struct, frozen=True, kw_only=True):
    """A payment with its fraud score: a probability, 0..1, higher = riskier; `reasons` in words, the weightiest first."""

    id: str
    kind: Literal["transaction"] = "transaction"
    time: Time
    ingested: Time
    customer_id: str
    terminal_id: str
    amount: float
    currency: str
    channel: str | None = None
    country: str | None = None
    fraud_score: float
    reasons: tuple[str, ...]
    model: ModelRef
    extra: Extra = {}


Scored = ScoredText | ScoredTransaction


# --- alerts ---------------------------------------------------------------------------------------------------------


class Match(Struct, frozen=True, kw_only=True):
    """One scored event that a rule's filter let through, keyed by rule and group.

    `value` is what the rule aggregates: 1.0 per event for a frequency, the field's value for an average, and 1.0 or 0.0
    (counted as negative or not) for a share. `stream` is the topic of the scored event; its watermark is this match's clock.
    """

    id: str
    stream: str = ""
    rule: str
    group: dict[str, str]
    event_id: str
    time: Time
    value: float
    summary: str


class Watermark(Struct, frozen=True, kw_only=True):
    """No event of `stream` from before `time` is expected any more by `source`, one of the stream's partitions."""

    stream: str
    source: str
    time: Time


class AlertState(StrEnum):
    """A series (rule × group key) is quiet or has an open alert."""

    INACTIVE = "inactive"
    ACTIVE = "active"


class TransitionReason(StrEnum):
    """Why the state of a series changed."""

    THRESHOLD = "threshold crossed"
    FREQUENCY = "frequency reached"
    AVERAGE = "average crossed"
    SURGE = "negative share surged"
    WINDOW_PASSED = "window passed without a breach"


class Transition(Struct, frozen=True, kw_only=True):
    """A change of state of one series, with all that is needed to explain it.

    `alert_id` is the same for the firing and the resolving transition of one alert. `evidence` holds the numbers that decided
    (counts, window, baseline), `event_ids` the events behind them, newest first, at most 20.
    """

    id: str
    alert_id: str
    rule: str
    group: dict[str, str]
    severity: Literal["info", "warning", "critical"]
    state: AlertState
    reason: TransitionReason
    time: Time
    decided: Time
    summary: str
    query: str
    evidence: dict[str, float | str]
    event_ids: tuple[str, ...]


# --- dead letters ---------------------------------------------------------------------------------------------------


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A record that could not go on: its bytes as they came, and why. `stage` is decode, score, index, match or ingest."""

    raw: bytes
    reason: str
    stage: str
    topic: str
    partition: int
    offset: int
    time: Time
    key: bytes | None = None
