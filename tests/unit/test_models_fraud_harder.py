"""The harder patterns are what their description says, and leave a world without them as it is."""

from dataclasses import replace

import numpy as np

from models.fraud.history import DAY_S
from models.training.fraud.generator import Payments, World, generate
from models.training.fraud.harder import BUST_OUT, CARD_TESTING, COLLUSION, Harder

CALM = World(
    customers=600, terminals=1_200, days=90, seed=5, terminal_compromise_rate=0.0, customer_compromise_rate=0.0, high_amount=400.0
)


def payments_of(harder: Harder) -> Payments:
    return generate(replace(CALM, harder=harder))


def test_a_slow_bust_out_grows_in_small_steps_and_ends_the_account() -> None:
    found = payments_of(Harder(bust_out_rate=2e-4, bust_out_days=30, bust_out_growth=4.0))
    before = generate(CALM)
    lost = found.pattern == BUST_OUT
    assert 100 < lost.sum() < 0.05 * len(found)
    ratios = []
    for customer in np.unique(found.customer[lost]):
        own = found.customer == customer
        time_s, amount, fraud = found.time_s[own], found.amount[own], lost[own]
        first_lost_s = time_s[fraud].min()
        assert not (~fraud[time_s > first_lost_s]).any(), "all that follows the first loss is lost"
        assert time_s.max() - first_lost_s <= 15.2 * DAY_S
        ratios += (amount[fraud] / before.amount[before.customer == customer].mean()).tolist()
    assert 2.5 < np.mean(ratios) < 4
    untouched = ~np.isin(before.customer, np.unique(found.customer[lost]))
    assert untouched.mean() > 0.8


def test_card_testing_is_a_series_of_tiny_payments_and_then_a_purchase() -> None:
    found = payments_of(Harder(card_testing_rate=2e-4))
    own = found.pattern == CARD_TESTING
    tiny = own & (found.amount <= 3)
    bought = own & ~tiny
    assert bought.sum() >= 5
    assert found.amount[bought].min() >= 40
    for row in np.flatnonzero(bought):
        series = tiny & (found.customer == found.customer[row]) & (found.time_s < found.time_s[row])
        series &= found.time_s > found.time_s[row] - 0.3 * DAY_S
        assert 4 <= series.sum() <= 9
        assert np.ptp(found.time_s[series]) < 600


def test_collusive_terminals_charge_a_part_of_their_customers_again() -> None:
    harder = Harder(collusion_rate=5e-5, collusion_days=21, collusion_share=0.3)
    found = payments_of(harder)
    again = np.flatnonzero(found.pattern == COLLUSION)
    assert len(again) > 10
    members = np.unique(found.terminal[again])
    took = np.isin(found.terminal, members)
    assert (found.pattern[took] == 0).sum() > 2 * len(again), "most of what they take is genuine"
    for row in again:
        past = (found.customer == found.customer[row]) & (found.pattern == 0)
        ago_s = found.time_s[row] - found.time_s
        past &= (ago_s >= DAY_S) & (ago_s <= 4 * DAY_S)
        ratio = found.amount[row] / np.maximum(found.amount[past], 0.01)
        assert ((ratio > 0.79) & (ratio < 1.31)).any()


def test_a_world_with_harder_patterns_keeps_its_other_payments_and_is_in_order() -> None:
    found = payments_of(Harder(card_testing_rate=2e-4, collusion_rate=5e-5))
    before = generate(CALM)
    genuine = found.pattern == 0
    assert np.array_equal(found.time_s[genuine], before.time_s[before.pattern == 0])
    assert np.array_equal(found.amount[genuine], before.amount[before.pattern == 0])
    assert (np.diff(found.time_s) >= 0).all()
    assert found.time_s[-1] < before.time_s[0] // DAY_S * DAY_S + CALM.days * DAY_S
    again = payments_of(Harder(card_testing_rate=2e-4, collusion_rate=5e-5))
    assert np.array_equal(found.amount, again.amount)
