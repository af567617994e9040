"""Alerts as timelines: what fires when, what stays quiet, what resolves."""

from datetime import timedelta

import msgspec
import pytest

from alerts.evaluate import SeriesState, advance, evaluate
from alerts.lifecycle import MAX_EPISODES
from alerts.rule import Average, Frequency, Threshold
from alerts.series import LATENESS_US
from core.records import AlertState, Transition, TransitionReason
from tests.unit.alerts_series import BURST, DECIDED, START, Timeline, make_match, make_rule

MINUTE = timedelta(minutes=1)


def test_frequency_fires_at_the_match_that_reaches_the_count() -> None:
    timeline = Timeline(make_rule()).run("""
        at 1m push T1
        at 2m push T1
        at 2m expect nothing
        at 4m push T1
        at 4m expect firing T1
        at 5m push T1
        at 5m expect nothing
    """)
    fired = timeline.fired[0]
    assert fired.reason is TransitionReason.FREQUENCY
    assert fired.decided == DECIDED
    assert fired.event_ids == ("e3", "e2", "e1")
    assert fired.evidence["events"] == 3.0
    assert fired.evidence["window_end"] == "2026-03-02T00:04:00Z"
    assert fired.query == '(kind:news) and key:"T1" and time >= "2026-03-01T23:54:00Z" and time < "2026-03-02T00:04:00.001000Z"'


def test_window_is_open_at_its_start() -> None:
    Timeline(make_rule()).run("at 1m push T1; at 2m push T1; at 11m push T1; at 11m expect nothing")
    Timeline(make_rule()).run("at 1m push T1; at 2m push T1; at 10m59s push T1; at 10m59s expect firing T1")


def test_keys_do_not_add_up() -> None:
    Timeline(make_rule()).run("at 1m push T1; at 2m push T2; at 3m push T1; at 4m push T2; at 5m expect nothing")


def test_resolves_a_window_after_the_last_breach_with_the_same_alert_id() -> None:
    timeline = Timeline(make_rule()).run("""
        at 1m push T1 times 3
        at 1m expect firing T1
        at 6m push T1
        at 15m watermark
        at 15m expect nothing
        at 16m watermark
        at 16m expect resolved T1
        at 17m watermark
    """)
    firing, resolved = timeline.fired
    assert resolved.alert_id == firing.alert_id
    assert resolved.id != firing.id
    assert resolved.reason is TransitionReason.WINDOW_PASSED
    assert set(resolved.event_ids) == {"e1", "e2", "e3", "e4"}


def test_cooldown_holds_the_next_alert_back() -> None:
    Timeline(make_rule()).run("""
        at 1m push T1 times 3
        at 1m expect firing T1
        at 12m watermark
        at 11m expect resolved T1
        at 15m push T1 times 3
        at 15m expect nothing
        at 31m push T1 times 3
        at 31m expect firing T1
    """)


def test_breach_that_outlasts_the_cooldown_fires_when_it_ends() -> None:
    Timeline(make_rule()).run("""
        at 1m push T1 times 3
        at 1m expect firing T1
        at 12m watermark
        at 11m expect resolved T1
        at 29m push T1 times 3
        at 29m expect nothing
        at 32m watermark
        at 31m expect firing T1
        at 40m watermark
        at 41m watermark
        at 41m expect resolved T1
    """)


def test_late_matches_complete_a_window_that_ended_earlier() -> None:
    timeline = Timeline(make_rule()).run("""
        at 9m push T1
        at 1m push T1
        at 60m push T1
        at 5m push T1
        at 9m expect firing T1
        at 20m watermark
        at 19m expect resolved T1
    """)
    assert timeline.fired[0].event_ids == ("e1", "e4", "e2")


def test_breach_before_a_known_alert_is_not_lost() -> None:
    Timeline(make_rule()).run("""
        at 2h push T1 times 3
        at 2h expect firing T1
        at 1h push T1 times 3
        at 1h expect firing T1
    """)


def test_repeated_matches_change_nothing() -> None:
    timeline = Timeline(make_rule()).run(
        "at 1m push T1 as a; at 2m push T1 as b; at 1m push T1 as a; at 2m push T1 as b; at 3m expect nothing"
    )
    before = timeline.states["T1"]
    timeline.run("at 2m push T1 as b")
    assert timeline.states["T1"] == before


def test_threshold_fires_once_per_key_and_resolves_with_its_cooldown() -> None:
    Timeline(make_rule(Threshold())).run("""
        at 1m push T1
        at 1m expect firing T1
        at 2m push T1
        at 3m push T2
        at 3m expect firing T2
        at 31m watermark
        at 31m expect resolved T1
        at 32m push T1
        at 32m expect firing T1
        at 33m watermark
        at 33m expect resolved T2
    """)


def test_average_fires_below_its_limit_and_needs_enough_events() -> None:
    rule = make_rule(Average("sentiment.score", timedelta(hours=1), 3, below=-0.3))
    timeline = Timeline(rule).run("""
        at 1m push T1 value -0.9
        at 2m push T1 value -0.9
        at 2m expect nothing
        at 3m push T1 value 0.9
        at 4m push T1 value -0.9
        at 4m expect firing T1
        at 1h4m watermark
        at 1h4m expect resolved T1
    """)
    assert timeline.fired[0].evidence["mean"] == pytest.approx(-0.45)
    assert "mean sentiment.score -0.45 of 4 events in 1h (below -0.3)" in timeline.fired[0].summary


def test_average_above() -> None:
    rule = make_rule(Average("amount", timedelta(hours=1), 2, above=100.0))
    Timeline(rule).run(
        "at 1m push T1 value 150; at 2m push T1 value 20; at 2m expect nothing; at 3m push T1 value 140; at 3m expect firing T1"
    )


def test_a_series_expires_when_nothing_can_need_it() -> None:
    timeline = Timeline(make_rule()).run("at 1m push T1; at 30m watermark")
    assert timeline.states["T1"] is not None
    timeline.run("at 3h watermark")
    assert timeline.states["T1"] is None


def test_a_watermark_that_changes_nothing_returns_an_equal_state() -> None:
    timeline = Timeline(make_rule()).run("at 30m push T1")
    state = timeline.states["T1"]
    assert state is not None
    assert advance(make_rule(), state, START + 31 * MINUTE, decided=DECIDED) == (state, ())


def test_state_survives_its_serial_form() -> None:
    timeline = Timeline(make_rule()).run("at 1m push T1 times 2")
    state = timeline.states["T1"]
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=SeriesState)
    assert again == state
    after, fired = evaluate(make_rule(), again, make_match("e9", 2 * MINUTE), decided=DECIDED)
    assert [t.state for t in fired] == [AlertState.ACTIVE]
    assert msgspec.json.decode(msgspec.json.encode(after), type=SeriesState) == after


def test_memory_is_bounded_under_a_flood() -> None:
    state: SeriesState | None = None
    rule = make_rule(Frequency(3, timedelta(hours=1)))
    for n in range(3000):
        state, _ = evaluate(rule, state, make_match(f"event-{n:032d}", timedelta(seconds=n)), decided=DECIDED)
    assert state is not None
    assert len(state.marks) == 512
    assert len(msgspec.msgpack.encode(state)) < 40_000
    assert len(state.episodes) == 1


def test_alerts_of_a_series_are_bounded_and_the_oldest_is_told_to_have_ended() -> None:
    rule = make_rule(Threshold(), cooldown=timedelta(seconds=1))
    state: SeriesState | None = None
    transitions: list[Transition] = []
    for n in range(3 * MAX_EPISODES):  # no watermark ever comes
        state, fired = evaluate(rule, state, make_match(f"e{n}", timedelta(minutes=n)), decided=DECIDED)
        transitions += fired
    assert state is not None
    assert len(state.episodes) == MAX_EPISODES
    active = {t.alert_id for t in transitions if t.state is AlertState.ACTIVE}
    ended = {t.alert_id for t in transitions if t.state is AlertState.INACTIVE}
    assert len(active) == 3 * MAX_EPISODES
    assert active - ended == {episode.alert_id for episode in state.episodes}


def test_an_hour_late_still_counts_and_is_then_forgotten() -> None:
    assert timedelta(hours=1) // timedelta(microseconds=1) == LATENESS_US
    Timeline(make_rule()).run("""
        at 10m push T1 times 2
        at 1h9m watermark
        at 11m push T1
        at 11m expect firing T1
        at 1h10m watermark
        at 21m expect resolved T1
    """)


def test_burst_condition_is_the_one_the_timelines_speak_of() -> None:
    assert make_rule().condition == BURST
