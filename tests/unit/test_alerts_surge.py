"""Surges: quiet weeks stay quiet, bursts are seen, reposts count once, memory stays small."""

import math
import random
from datetime import timedelta

import msgspec
import pytest

from alerts.binomial import Count, beta_binomial_tail, judge, negative_binomial_tail
from alerts.evaluate import SeriesState, advance, evaluate
from alerts.rule import Filter, Surge
from alerts.surge import SurgeWindow
from core.records import AlertState, Match, Transition, TransitionReason
from tests.unit.alerts_series import DECIDED, START, make_match, make_rule

SURGE = Surge(Filter("sentiment.label:negative", bool), timedelta(hours=1), timedelta(hours=24), 8, 5, 0.001)
RULE = make_rule(SURGE, cooldown=timedelta(hours=6))
DAY_S = 86_400


def quiet(rate: float, share: float, days: float, *, seed: int = 1, rhythm: float = 0.0, first: int = 0) -> list[Match]:
    """Poisson arrivals, `rate` an hour; `rhythm` 0..1 is the amplitude of the day."""
    rng, seconds = random.Random(seed), 0.0
    found: list[Match] = []
    while True:
        now_rate = rate * (1.0 + rhythm * math.sin(2 * math.pi * seconds / DAY_S))
        seconds += rng.expovariate(max(now_rate, 0.05) / 3600)
        if seconds > days * DAY_S:
            return found
        negative = float(rng.random() < share)
        found.append(make_match(f"q{seed}-{first + len(found)}", timedelta(seconds=seconds), value=negative))


def run(matches: list[Match], state: SeriesState | None = None) -> tuple[SeriesState | None, list[Transition]]:
    """All matches in order, with a watermark a minute behind them every 20 matches."""
    transitions: list[Transition] = []
    for n, match in enumerate(matches):
        state, changed = evaluate(RULE, state, match, decided=DECIDED)
        transitions += changed
        if n % 20 == 19:
            state, changed = advance(RULE, state, match.time - timedelta(minutes=1), decided=DECIDED)
            transitions += changed
    return state, transitions


def burst(at: timedelta, count: int, *, share: float = 0.9) -> list[Match]:
    return [make_match(f"b{n}", at + timedelta(minutes=2 * n), value=float(n % 10 < share * 10)) for n in range(count)]


@pytest.mark.parametrize(("rate", "share", "rhythm"), [(2, 0.15, 0.0), (6, 0.3, 0.0), (6, 0.3, 0.9), (15, 0.15, 0.9)])
def test_quiet_weeks_raise_less_than_one_alert_a_week(rate: float, share: float, rhythm: float) -> None:
    _, transitions = run(quiet(rate, share, 14, rhythm=rhythm))
    assert sum(t.state is AlertState.ACTIVE for t in transitions) < 2


def test_a_burst_of_bad_news_fires_early_and_resolves() -> None:
    before = quiet(3, 0.15, 3)
    state, transitions = run(before)
    assert not transitions
    state, transitions = run(burst(timedelta(days=3), 20), state)
    assert [t.state for t in transitions] == [AlertState.ACTIVE]
    fired = transitions[0]
    assert fired.reason is TransitionReason.SURGE
    assert fired.time - START - timedelta(days=3) <= timedelta(minutes=16)  # the 8th event at the latest possible: min_events
    assert float(fired.evidence["negative"]) >= 5
    assert float(fired.evidence["p"]) <= 0.001
    assert float(fired.evidence["share"]) > float(fired.evidence["baseline"])
    assert "(kind:news) and (sentiment.label:negative) and key:" in fired.query
    assert state is not None
    _, ended = advance(RULE, state, START + timedelta(days=3, hours=4), decided=DECIDED)
    assert [(t.state, t.alert_id) for t in ended] == [(AlertState.INACTIVE, fired.alert_id)]


def test_a_first_appearance_in_bad_news_fires_and_one_in_mixed_news_does_not() -> None:
    assert run(burst(timedelta(hours=5), 12, share=1.0))[1]
    assert not run(burst(timedelta(hours=5), 12, share=0.5))[1]


def test_more_of_everything_is_no_surge() -> None:
    state, _ = run(quiet(3, 0.3, 3))
    _, transitions = run(burst(timedelta(days=3), 25, share=0.3), state)
    assert not transitions


def test_reposts_count_once() -> None:
    state, _ = run(quiet(3, 0.15, 3))
    at = timedelta(days=3)
    reposts = [
        make_match(f"r{n}", at + timedelta(minutes=n), summary=f"RT @user{n}: Acme defaults https://t.co/{n}") for n in range(40)
    ]
    assert not run(reposts, state)[1]
    originals = [make_match(f"o{n}", at + timedelta(minutes=n), summary=f"Acme defaults, says source {n}") for n in range(40)]
    assert run(originals, state)[1]


def test_order_within_the_window_does_not_matter() -> None:
    state, _ = run(quiet(3, 0.15, 3))
    matches = burst(timedelta(days=3), 20)
    random.Random(4).shuffle(matches)
    shuffled: list[Transition] = []
    for match in [*matches, *matches]:
        state, changed = evaluate(RULE, state, match, decided=DECIDED)
        shuffled += changed
    assert [t.state for t in shuffled] == [AlertState.ACTIVE]


def test_buckets_are_the_same_in_any_order_and_with_repeats() -> None:
    matches = quiet(40, 0.3, 0.05) + burst(timedelta(hours=1), 60)
    plain, _ = run_without_watermark(matches)
    again = matches + matches
    random.Random(7).shuffle(again)
    assert run_without_watermark(again)[0].buckets == plain.buckets


def test_a_repeat_of_a_frozen_bucket_is_ignored() -> None:
    matches = quiet(10, 0.2, 1)
    state, _ = run(matches)
    assert state is not None
    early = matches[5]
    assert evaluate(RULE, state, early, decided=DECIDED) == (state, ())


def test_frozen_and_live_buckets_give_the_same_reference() -> None:
    matches = quiet(10, 0.2, 1)
    live, _ = run_without_watermark(matches)
    window = SurgeWindow(SURGE)
    last = live.buckets[-1].index
    frozen = window.forget(live, (last + 1) * window.width_us)
    assert any(bucket.texts is None for bucket in frozen.buckets)
    assert window.reference_windows(frozen, last - 11) == window.reference_windows(live, last - 11)


def test_memory_is_bounded_and_serialisable() -> None:
    flood, _ = run_without_watermark([make_match(f"d{n}", timedelta(seconds=n), value=0.0) for n in range(2_500)])
    assert {len(bucket.texts or ()) for bucket in flood.buckets[:-1]} == {64}
    state, _ = run_without_watermark([make_match(f"f{n}", timedelta(seconds=30 * n), value=n % 2) for n in range(3_500)])
    assert len(msgspec.msgpack.encode(state)) < 12_000
    assert msgspec.json.decode(msgspec.json.encode(state), type=SeriesState) == state
    assert len(state.buckets) <= 288 + 48
    after, _ = advance(RULE, state, START + timedelta(days=9), decided=DECIDED)
    assert after is None


def test_judge_knows_over_dispersed_series() -> None:
    steady, stormy = [Count(20, 4)] * 24, [Count(20, 0), Count(20, 0), Count(20, 12)] * 8
    assert judge(Count(20, 14), steady).p_share < 0.001 < judge(Count(20, 14), stormy).p_share


@pytest.mark.parametrize(
    ("computed", "expected"),
    [  # expected: scipy.stats.betabinom.sf and nbinom.sf
        (beta_binomial_tail(8, 20, 3.0, 17.0), 0.03919315209637808),
        (beta_binomial_tail(1, 5, 1.0, 3.0), 0.625),
        (beta_binomial_tail(100, 400, 8.0, 40.0), 0.08353359255234993),
        (beta_binomial_tail(1, 700, 80.0, 0.05), 1.0),  # its first term is below the least float
        (negative_binomial_tail(12, 2.0, 4.0), 0.038536733146294744),
        (negative_binomial_tail(30, 0.5, 3.0), 0.002455742015073769),
        (negative_binomial_tail(1, 3.0, 1.0), 0.578125),
        (negative_binomial_tail(400, 500.0, 300.0), 1.0452857921596553e-05),
        (negative_binomial_tail(1, 18_000.0, 760.0), 1.0),
    ],
)
def test_tails(computed: float, expected: float) -> None:
    assert computed == pytest.approx(expected, rel=1e-6)


def run_without_watermark(matches: list[Match]) -> tuple[SeriesState, list[Transition]]:
    state: SeriesState | None = None
    transitions: list[Transition] = []
    for match in matches:
        state, changed = evaluate(RULE, state, match, decided=DECIDED)
        transitions += changed
    assert state is not None
    return state, transitions
