"""Scored events → matches → transitions → the store's outbox. Each step is a shell around the pure functions of `alerts`."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from alerts.evaluate import SeriesState, advance, evaluate
from alerts.match import matches
from alerts.rules import Rule, RuleSet
from alerts.series import from_us
from alerts.store import AlertStore
from core import metrics
from core.clock import Clock, epoch_s
from core.codec import encode
from core.errors import InvalidRecord
from core.ids import content_id
from core.records import Match, ScoredText, ScoredTransaction, Transition, Watermark
from core.topics import ALERTS_MATCHES, ALERTS_TRANSITIONS, TEXT_SCORED
from search.documents import document
from streams.messages import Outgoing, Place, Received, Worked
from streams.silence import Tide, source_name
from streams.steps import Mark
from streams.tables import StateTable
from streams.watermarks import Least, Rising, marks_of

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
    """Sends every match of every rule to its series' partition, and to all partitions what its own partitions of a stream promise.

    `sources` names for each stream what feeds its partitions; `tide` rises with what they have seen.
    """

    rules: RuleSet
    partitions: int
    clock: Clock
    sources: Mapping[str, Sequence[str]]
    tides: Mapping[str, Tide]
    _least: dict[Place, Least] = field(default_factory=dict)
    _rising: Rising = field(default_factory=Rising)

    async def __call__(self, batch: Sequence[Received]) -> Worked:
        worked = Worked()
        heard: set[Place] = set()
        for message in batch:
            try:
                marks = marks_of(message)
                if marks is None:
                    worked.outgoing += self._matches(message.topic, document(decode_scored(message)))
                    continue
            except InvalidRecord as error:
                worked.dead.append((message, str(error)))
                continue
            self._take(message, marks)
            heard.add((message.topic, message.partition))
            worked.absorbed.append(message)
        worked.outgoing += self._watermarks(sorted(heard))
        return worked

    def _take(self, message: Received, marks: Sequence[Mark]) -> None:
        least = self._least.setdefault((message.topic, message.partition), Least(self.sources[message.topic]))
        for mark in marks:
            least.take(mark.source, mark.time_s)
            if message.topic in self.tides:
                self.tides[message.topic].rise(mark.high_s)

    def _matches(self, topic: str, event: dict[str, object]) -> list[Outgoing]:
        found = []
        for rule in self.rules.rules:
            for match in matches(rule, event):
                metrics.MATCHES.labels(rule=rule.name).inc()
                frame = _MatchFrame(msgspec.structs.replace(match, stream=topic))
                found.append(Outgoing(ALERTS_MATCHES.name, encode(frame), key=series_key(match).encode()))
        return found

    def _watermarks(self, heard: Sequence[Place]) -> list[Outgoing]:
        marks = {Mark(source_name(*place), self._least[place].time_s): place for place in heard}
        told = []
        for mark in self._rising.news(marks):
            watermark = Watermark(stream=marks[mark][0], source=mark.source, time=from_us(int(mark.time_s * 1e6)))
            value = encode(_MarkFrame(watermark))
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


_marks_encoder = msgspec.msgpack.Encoder()
_marks_decoder = msgspec.msgpack.Decoder(dict[str, dict[str, float]])


@dataclass(frozen=True, slots=True)
class EvaluateSeries:
    """Keeps the state of every series and sends its transitions.

    A partition's series of a stream move on with the least mark of the stream's `partitions`; the marks are kept with the series.
    """

    rules: RuleSet
    table: StateTable
    clock: Clock
    partitions: int

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
        now = self._least(message.partition, watermark)
        if now is None:
            return ()
        transitions: list[Transition] = []
        for key, raw in list(self.table.items(message.partition)):
            series = _series_decoder.decode(raw)
            rule = self.rules.rule(series.rule)
            if rule is None:
                self.table.delete(message.partition, key)
            elif series.stream == watermark.stream:
                transitions += self._advance(message, key, series, rule, now)
        return transitions

    def _least(self, partition: int, watermark: Watermark) -> datetime | None:
        """What the stream's partitions promise together, where that rises with the watermark; else None."""
        raw = self.table.state(partition)
        marks = {} if raw is None else _marks_decoder.decode(raw)
        sources = [source_name(watermark.stream, number) for number in range(self.partitions)]
        least = Least(sources, marks.setdefault(watermark.stream, {}))
        before_s = least.time_s
        least.take(watermark.source, epoch_s(watermark.time))
        self.table.put_state(partition, _marks_encoder.encode(marks))
        return from_us(round(least.time_s * 1e6)) if least.time_s > before_s else None

    def _advance(self, message: Received, key: str, series: Series, rule: Rule, now: datetime) -> Sequence[Transition]:
        after, transitions = advance(rule, series.state, now, decided=self.clock())
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
