"""Order of arrival: at-least-once, late and shuffled matches must neither lose a breach nor invent one."""

from datetime import timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.evaluate import SeriesState, evaluate
from alerts.rule import Frequency
from core.records import Match, Transition
from tests.unit.alerts_series import DECIDED, START, make_match, make_rule

COOLDOWN = timedelta(minutes=30)
WITHIN = timedelta(minutes=10)
RULE = make_rule(Frequency(3, WITHIN), cooldown=COOLDOWN)

minutes_of_a_slot = st.lists(st.integers(0, 29 * 60), min_size=1, max_size=14)  # seconds inside one cooldown slot
minutes_of_a_day = st.lists(st.integers(0, 6 * 3600), min_size=1, max_size=30)


def fire(matches: list[Match]) -> tuple[SeriesState, list[Transition]]:
    state: SeriesState | None = None
    fired: list[Transition] = []
    for match in matches:
        state, transitions = evaluate(RULE, state, match, decided=DECIDED)
        fired.extend(transitions)
    assert state is not None
    return state, fired


def to_matches(seconds: list[int]) -> list[Match]:
    return [make_match(f"e{n}", timedelta(seconds=second)) for n, second in enumerate(seconds)]


def breaches(matches: list[Match]) -> list[timedelta]:
    """By brute force: the times at which a window ends that holds three matches."""
    times = sorted(match.time - START for match in matches)
    return [end for end in times if sum(end - WITHIN < time <= end for time in times) >= 3]


@settings(deadline=None, max_examples=300)
@given(seconds=minutes_of_a_slot, data=st.data())
def test_any_order_with_repeats_gives_the_same_alert_ids(seconds: list[int], data: st.DataObject) -> None:
    matches = to_matches(seconds)
    again = data.draw(st.lists(st.sampled_from(matches), max_size=10))
    shuffled = data.draw(st.permutations(matches + again))
    in_order = sorted(matches, key=lambda match: match.time)
    assert {t.alert_id for t in fire(shuffled)[1]} == {t.alert_id for t in fire(in_order)[1]}
    assert bool(fire(shuffled)[1]) == bool(breaches(matches))


@settings(deadline=None, max_examples=300)
@given(seconds=minutes_of_a_day, data=st.data())
def test_no_order_loses_a_breach_or_breaks_the_cooldown(seconds: list[int], data: st.DataObject) -> None:
    matches = to_matches(seconds)
    state, fired = fire(data.draw(st.permutations(matches)))
    openings = sorted(t.time - START for t in fired)
    assert all(later - earlier >= COOLDOWN for earlier, later in pairwise(openings))
    assert len({t.alert_id for t in fired}) == len(fired)
    true = breaches(matches)
    assert set(openings) <= set(true)
    covered = [(episode.first_us, episode.last_us, episode.opened_us) for episode in state.episodes]
    for end in true:
        us = (START + end - START) // timedelta(microseconds=1) + int(START.timestamp()) * 1_000_000
        assert any(
            first - span_us(WITHIN) < us < last + span_us(WITHIN) or abs(us - opened) < span_us(COOLDOWN)
            for first, last, opened in covered
        )


@settings(deadline=None, max_examples=200)
@given(seconds=minutes_of_a_day, data=st.data())
def test_repeats_leave_no_trace(seconds: list[int], data: st.DataObject) -> None:
    matches = data.draw(st.permutations(to_matches(seconds)))
    repeated: list[Match] = []
    for n, match in enumerate(matches):
        repeated += [match, *data.draw(st.lists(st.sampled_from(matches[: n + 1]), max_size=2))]
    state, fired = fire(matches)
    state_again, fired_again = fire(repeated)
    assert fired_again == fired
    assert state_again.marks == state.marks


def span_us(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
