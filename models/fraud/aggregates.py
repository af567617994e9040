"""Sums over a payment's two pasts: what the head reads beside the encoder, and what the reasons speak of.

All counts and means use only entries that the payment may look back on and labels that had arrived by its time.
"""

from dataclasses import dataclass

import numpy as np

from models.fraud.arrays import Flags, Floats, Ints, Singles, any_of, mean_of, number_of
from models.fraud.history import DAY_S, FRAUD, GENUINE
from models.fraud.windows import Histories, Window

UNUSUAL = 2.5  # times the customer's mean; of genuine amounts with a spread of half their mean, 0.1 % lie above
_NEVER_DAYS = 60.0  # stands for "not in the window", which reaches back 42 days at most
CUSTOMER_DAYS = (1, 3, 7, 14)
TERMINAL_DAYS = (1, 7, 14, 28)

NAMES: tuple[str, ...] = (
    *("log_amount", "amount_hundreds", "ratio_mean", "ratio_median", "z_score", "hour_sin", "hour_cos", "weekend"),
    *("customer_count", *(f"customer_count_{days}d" for days in CUSTOMER_DAYS)),
    *(f"customer_max_ratio_{days}d" for days in CUSTOMER_DAYS),
    *(f"customer_unusual_{days}d" for days in CUSTOMER_DAYS),
    *("customer_fraud_14d", "customer_fraud_21d", "customer_fraud_unusual_21d", "customer_genuine_14d"),
    *("customer_fraud_newest_days", "customer_gap_hours", "visits"),
    *("terminal_count", *(f"terminal_count_{days}d" for days in TERMINAL_DAYS)),
    *(f"terminal_fraud_{days}d" for days in TERMINAL_DAYS),
    *(f"terminal_fraud_rate_{days}d" for days in TERMINAL_DAYS),
    *("terminal_fraud", "terminal_fraud_usual", "terminal_fraud_streak", "terminal_fraud_newest_days"),
    *("terminal_fraud_oldest_days", "terminal_genuine_after_newest", "terminal_genuine_after_oldest", "terminal_ratio_mean"),
)


@dataclass(frozen=True, slots=True)
class Spending:
    """A customer's amounts, without payments known as fraud: mean, median and spread per payment, (N,).

    A customer without a past is taken to spend the current amount, so that its ratio is 1.
    """

    mean: Floats
    median: Floats
    spread: Floats


def spending(histories: Histories) -> Spending:
    """What each payment's customer usually spends."""
    window = histories.customer
    counted = window.valid & (window.state != FRAUD)
    count = number_of(counted)
    some = np.maximum(count, 1)
    mean = np.where(count > 0, mean_of(window.amount, counted), histories.amount)
    deviation = np.where(counted, window.amount - mean[:, None], 0.0)
    median = np.where(count > 0, _median(window.amount, counted, some), histories.amount)
    return Spending(mean=mean, median=median, spread=np.sqrt((deviation**2).sum(axis=1) / some))


def _median(values: Floats, counted: Flags, count: Ints) -> Floats:
    """The lower median of each row's counted values."""
    if values.shape[1] == 0:
        return np.zeros(len(values))
    ordered = np.sort(np.where(counted, values, np.inf), axis=1)
    return np.take_along_axis(ordered, ((count - 1) // 2)[:, None], axis=1)[:, 0]


def log_ratio(value: Floats, base: Floats) -> Floats:
    """log(value ÷ base) with a cent added to both, within ±4.

    >>> log_ratio(np.array([50.0, 0.0]), np.array([10.0, 10.0])).round(3).tolist()
    [1.609, -4.0]
    """
    return np.clip(np.log((value + 0.01) / (base + 0.01)), -4.0, 4.0)


def age_days(histories: Histories, window: Window) -> Floats:
    """How long before the payment each entry lies; 0 in the padding."""
    return np.where(window.valid, (histories.time_s[:, None] - window.time_s) / DAY_S, 0.0)


def aggregates(histories: Histories, usual: Spending) -> Singles:
    """(N, len(NAMES)) float32, finite."""
    columns = [*_payment(histories, usual), *_customer(histories, usual), *_terminal(histories)]
    return np.stack(columns, axis=1).astype(np.float32)


def _payment(histories: Histories, usual: Spending) -> list[Floats]:
    """The payment by itself, against what its customer usually spends."""
    amount = histories.amount
    turn = histories.local_s % DAY_S * (2 * np.pi / DAY_S)
    weekday = (histories.local_s // DAY_S + 3) % 7  # 1970-01-01 was a Thursday, and Monday is 0
    return [
        np.log1p(amount),
        np.minimum(amount / 100.0, 10.0),
        log_ratio(amount, usual.mean),
        log_ratio(amount, usual.median),
        np.clip((amount - usual.mean) / (usual.spread + 1.0), -10.0, 10.0),
        np.sin(turn),
        np.cos(turn),
        (weekday >= 5).astype(np.float64),
    ]


def _customer(histories: Histories, usual: Spending) -> list[Floats]:
    window = histories.customer
    age = age_days(histories, window)
    ratio = np.where(window.valid, log_ratio(window.amount, usual.mean[:, None]), -4.0)
    unusual = ratio > np.log(UNUSUAL)
    fraud = window.valid & (window.state == FRAUD)
    genuine = window.valid & (window.state == GENUINE)
    recent = [window.valid & (age <= days) for days in CUSTOMER_DAYS]
    newest = np.min(age, axis=1, initial=_NEVER_DAYS, where=window.valid)
    return [
        _count(window.valid),
        *(_count(within) for within in recent),
        *(np.max(ratio, axis=1, initial=-4.0, where=within) for within in recent),
        *(_count(within & unusual) for within in recent),
        _count(fraud & (age <= 14)),
        _count(fraud & (age <= 21)),
        _count(fraud & unusual & (age <= 21)),
        _count(genuine & (age <= 14)),
        np.log1p(np.min(age, axis=1, initial=_NEVER_DAYS, where=fraud)),
        np.log1p(newest * 24.0),
        _count(window.valid & window.same),
    ]


def _terminal(histories: Histories) -> list[Floats]:
    window = histories.terminal
    age = age_days(histories, window)
    fraud = window.valid & (window.state == FRAUD)
    genuine = window.valid & (window.state == GENUINE)
    recent = [window.valid & (age <= days) for days in TERMINAL_DAYS]
    newest = np.min(age, axis=1, initial=_NEVER_DAYS, where=fraud)
    oldest = np.where(any_of(fraud), np.max(age, axis=1, initial=0.0, where=fraud), _NEVER_DAYS)
    mean = mean_of(window.amount, window.valid)
    latest_genuine = np.min(age, axis=1, initial=_NEVER_DAYS, where=genuine)
    return [
        _count(window.valid),
        *(_count(within) for within in recent),
        *(_count(within & fraud) for within in recent),
        *(_share(within & fraud, within & (fraud | genuine)) for within in recent),
        _count(fraud),
        _count(fraud & (window.amount < 150.0)),  # above that, a customer's own compromise is likelier than the terminal's
        _count(fraud & (age < latest_genuine[:, None])),
        np.log1p(newest),
        np.log1p(oldest),
        _count(genuine & (age < newest[:, None]) & any_of(fraud)[:, None]),
        _count(genuine & (age < oldest[:, None]) & any_of(fraud)[:, None]),
        np.where(any_of(window.valid), log_ratio(histories.amount, mean), 0.0),
    ]


def _count(flags: Flags) -> Floats:
    """log(1 + number of set flags) of each row."""
    return np.asarray(np.log1p(number_of(flags)), dtype=np.float64)


def _share(part: Flags, whole: Flags) -> Floats:
    """part ÷ whole of each row with one added to the whole, so that a single label does not say everything."""
    return number_of(part) / (number_of(whole) + 1.0)
