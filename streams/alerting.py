"""Scored events → matches → transitions → the store's outbox. Each step is a shell around the pure functions of `alerts`."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from alerts.evaluate import SeriesState, advance, evaluate
from alerts.match import matches
from alerts.rules import Rule, RuleSet
from alerts.store import AlertStore
from core import metrics
from core.clock import Clock
from core.codec import encode
from core.errors import InvalidRecord
from core.ids import content_id
from core.records import Match, ScoredText, ScoredTransaction, Transition, Watermark
from core.topics import ALERTS_MATCHES, ALERTS_TRANSITIONS, TEXT_SCORED
from search.documents import document
from streams.messages import Outgoing, Received, Worked
from streams.tables import StateTable
from streams.watermarks import Watermarks

_text_decoder = msgspec.json.Decoder(ScoredText)
_transaction_decoder = msgspec.json.Decoder(ScoredTransaction)
_transition_decoder = msgspec.json.Decoder(Transition)


class _MatchFrame(msgspec.Struct, frozen=True, tag="match"):
    match: Match


class _MarkFrame(msgspec.Struct, frozen=True, tag="watermark"):
    watermark: Watermark


_frame_decoder = msgspec.json.Decoder(_MatchFrame | _MarkFrame)


def decode_scored(message: Received) -> ScoredText | ScoredTransaction:
    """The scored event in a message; `InvalidRecord` where there is none."""
    decoder = _text_decoder if message.topic == TEXT_SCORED.name else _transaction_decoder
    try:
        return decoder.decode(message.value)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidRecord(f"not a scored event: {error}") from error


@dataclass(slots=True)
class MatchRules:
    """Sends every match of every rule to its series' partition, and watermarks to all partitions."""

    rules: RuleSet
    partitions: int
    clock: Clock
    _marks: dict[str, Watermarks] = field(default_factory=dict)

    async def __call__(self, batch: Sequence[Received]) -> Worked:
        worked = Worked()
        now_s = time.monotonic()
        for message in batch:
            try:
                scored = decode_scored(message)
                worked.outgoing += self._matches(message.topic, document(scored))
            except InvalidRecord as error:
                worked.dead.append((message, str(error)))
                continue
            marks = self._marks.setdefault(message.topic, Watermarks())
            marks.observe(message.partition, scored.time, now_s=now_s)
        worked.outgoing += self._watermarks(now_s)
        return worked

    def _matches(self, topic: str, event: dict[str, object]) -> list[Outgoing]:
        found = []
        for rule in self.rules.rules:
            for match in matches(rule, event):
                metrics.MATCHES.labels(rule=rule.name).inc()
                frame = _MatchFrame(msgspec.structs.replace(match, stream=topic))
                found.append(Outgoing(ALERTS_MATCHES.name, encode(frame), key=series_key(match).encode()))
        return found

    def _watermarks(self, now_s: float) -> list[Outgoing]:
        told = []
        for topic, marks in self._marks.items():
            mark = marks.advance(now_s=now_s)
            if mark is not None:
                value = encode(_MarkFrame(Watermark(stream=topic, time=mark)))
                told += [Outgoing(ALERTS_MATCHES.name, value, partition=partition) for partition in range(self.partitions)]
        return told


def series_key(match: Match) -> str:
    """The key of a match's series: its rule and group.

    >>> match = Match(id="m", rule="r", group={"b": "2", "a": "1"}, event_id="e", time=None, value=1.0, summary="")
    >>> series_key(match) == series_key(msgspec.structs.replace(match, group={"a": "1", "b": "2"}))
    True
    """
    return content_id("series", match.rule, *(part for pair in sorted(match.group.items()) for part in pair))


class Series(msgspec.Struct, frozen=True):
    """A value of the series table: which rule and stream a state belongs to."""

    rule: str
    stream: str
    state: SeriesState


_series_encoder = msgspec.msgpack.Encoder()
_series_decoder = msgspec.msgpack.Decoder(Series)


@dataclass(frozen=True, slots=True)
class EvaluateSeries:
    """Keeps the state of every series and sends its transitions."""

    rules: RuleSet
    table: StateTable
    clock: Clock

    async def __call__(self, batch: Sequence[Received]) -> Worked:
        worked = Worked()
        for message in batch:
            try:
                frame = _frame_decoder.decode(message.value)
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                worked.dead.append((message, f"not a match or watermark: {error}"))
                continue
            if isinstance(frame, _MatchFrame):
                transitions = self._match(message, frame.match)
            else:
                transitions = self._mark(message, frame.watermark)
                worked.absorbed.append(message)
            for transition in transitions:
                metrics.TRANSITIONS.labels(rule=transition.rule, state=transition.state).inc()
                worked.outgoing.append(Outgoing(ALERTS_TRANSITIONS.name, encode(transition), key=transition.alert_id.encode()))
        return worked

    def _match(self, message: Received, match: Match) -> Sequence[Transition]:
        rule = self.rules.rule(match.rule)
        if rule is None:  # the rule was taken out of the file while its match was on the way
            return ()
        key = series_key(match)
        raw = self.table.get(message.partition, key)
        state = None if raw is None else _series_decoder.decode(raw).state
        after, transitions = evaluate(rule, state, match, decided=self.clock())
        self.table.put(message.partition, key, _series_encoder.encode(Series(match.rule, match.stream, after)))
        return transitions

    def _mark(self, message: Received, watermark: Watermark) -> Sequence[Transition]:
        transitions: list[Transition] = []
        for key, raw in list(self.table.items(message.partition)):
            series = _series_decoder.decode(raw)
            rule = self.rules.rule(series.rule)
            if rule is None:
                self.table.delete(message.partition, key)
            elif series.stream == watermark.stream:
                transitions += self._advance(message, key, series, rule, watermark)
        return transitions

    def _advance(self, message: Received, key: str, series: Series, rule: Rule, watermark: Watermark) -> Sequence[Transition]:
        after, transitions = advance(rule, series.state, watermark.time, decided=self.clock())
        if after is None:
            self.table.delete(message.partition, key)
        elif after != series.state:
            self.table.put(message.partition, key, _series_encoder.encode(Series(series.rule, series.stream, after)))
        return transitions


@dataclass(frozen=True, slots=True)
class RouteTransitions:
    """Writes each transition and its deliveries to the store in one SQL transaction; again is no-op."""

    rules: RuleSet
    store: AlertStore

    async def __call__(self, batch: Sequence[Received]) -> Worked:
        worked = Worked()
        for message in batch:
            try:
                transition = _transition_decoder.decode(message.value)
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                worked.dead.append((message, f"not a transition: {error}"))
                continue
            rule = self.rules.rule(transition.rule)
            receivers = () if rule is None else rule.receivers
            await asyncio.to_thread(self.store.record, transition, receivers)
        return worked
