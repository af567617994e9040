"""Sums over a payment's two pasts: what the first stage and the head read, and what the reasons speak of.

All counts use only entries that the payment may look back on and labels that had arrived by its time. Days are calendar days in
UTC. A report of a payment whose amount was ordinary for its customer is held against the terminal, one that was not against the
customer: of generated frauds the first kind comes from terminals, the second from customers.
"""

import numpy as np

from models.fraud.arrays import Flags, Floats, Singles, number_of
from models.fraud.history import DAY_S, FRAUD, GENUINE, UNKNOWN
from models.fraud.usual import RATIO_MAX, UNUSUAL, log_ratio, usual_means
from models.fraud.windows import Histories, Window

ORDINARY = 2.2  # times the usual; of genuine amounts with a spread of half their mean, 0.8 % lie above
NEVER_DAYS = 60.0  # stands for "not in the window", which reaches back 42 days at most
SPAN_DAYS = (1, 3, 7, 14)

NAMES: tuple[str, ...] = (
    *("log_amount", "ratio", "usual", "customer_count", "visits"),
    *(f"customer_unusual_{days}d" for days in SPAN_DAYS),
    *("customer_fraud_unusual", "customer_fraud_unusual_newest", "customer_fraud_unusual_oldest"),
    *("customer_open_unusual", "customer_open_unusual_newest", "customer_open_unusual_oldest"),
    *("customer_fraud_ordinary", "customer_genuine", "customer_max_ratio_7d", "customer_open_7d", "customer_count_1d"),
    *("terminal_count", "terminal_genuine", "terminal_genuine_newest"),
    *("terminal_fraud_ordinary", "terminal_fraud_ordinary_14d", "terminal_fraud_ordinary_28d"),
    *("terminal_fraud_newest", "terminal_fraud_oldest", "terminal_fraud_oldest_35d"),
    *("terminal_genuine_after", "terminal_genuine_before", "terminal_run", "terminal_run_oldest", "terminal_run_doubt"),
    *("terminal_fraud_unusual", "terminal_fraud_least_ratio"),
)


def usual_of(histories: Histories) -> Floats:
    """(N,): what each payment's customer usually pays; its own amount where it has no past."""
    window = histories.customer
    return usual_means(window.amount, window.valid, histories.amount)


def age_days(histories: Histories, window: Window) -> Floats:
    """How long before the payment each entry lies; 0 in the padding."""
    return np.where(window.valid, (histories.time_s[:, None] - window.time_s) / DAY_S, 0.0)


def calendar_days(histories: Histories, window: Window) -> Floats:
    """How many midnights lie between each entry and the payment; 0 in the padding."""
    today = np.floor(histories.time_s / DAY_S)
    return np.where(window.valid, today[:, None] - np.floor(window.time_s / DAY_S), 0.0)


def ordinary_reports(window: Window) -> Flags:
    """The entries of a terminal's past that are known as fraud and were ordinary for their customers."""
    ordinary: Flags = window.valid & (window.state == FRAUD) & (window.ratio < np.log(ORDINARY))
    return ordinary


def aggregates(histories: Histories, usual: Floats) -> Singles:
    """(N, len(NAMES)) float32, finite; `usual` is (N,), see `usual_of`."""
    payment = [
        np.log1p(histories.amount),
        log_ratio(histories.amount, usual),
        np.log1p(usual),
        number_of(histories.customer.valid),
        number_of(histories.customer.same & histories.customer.valid),
    ]
    columns = [*payment, *_customer(histories, usual), *_terminal(histories)]
    return np.stack(columns, axis=1).astype(np.float32)


def _customer(histories: Histories, usual: Floats) -> list[Floats]:
    window = histories.customer
    valid, day = window.valid, calendar_days(histories, window)
    age = age_days(histories, window)
    ratio = np.where(valid, log_ratio(window.amount, usual[:, None]), -RATIO_MAX)
    unusual = ratio > np.log(UNUSUAL)
    fraud, unlabelled = valid & (window.state == FRAUD), valid & (window.state == UNKNOWN)
    stolen, suspect = fraud & unusual, unlabelled & unusual
    return [
        *(number_of(unusual & (day <= days)) for days in SPAN_DAYS),
        number_of(stolen),
        _least(day, stolen),
        _most(day, stolen & (day <= 21)),
        number_of(suspect),
        _least(day, suspect),
        _most(day, suspect & (day <= 14)),
        number_of(fraud & ~unusual),
        number_of(valid & (window.state == GENUINE)),
        np.max(ratio, axis=1, initial=-RATIO_MAX, where=valid & (day <= 7)),
        number_of(unlabelled & (day <= 7)),
        number_of(valid & (age <= 1)),
    ]


def _terminal(histories: Histories) -> list[Floats]:
    window = histories.terminal
    age, day = age_days(histories, window), calendar_days(histories, window)
    fraud, genuine = window.valid & (window.state == FRAUD), window.valid & (window.state == GENUINE)
    ordinary = ordinary_reports(window)
    newest = _least(age, ordinary)[:, None]
    before = _least(day, genuine & (age > newest))
    run = ordinary & (day <= before[:, None])
    run_oldest = _most(day, run)
    return [
        number_of(window.valid),
        number_of(genuine),
        _least(day, genuine),
        number_of(ordinary),
        number_of(ordinary & (day <= 14)),
        number_of(ordinary & (day <= 28)),
        _least(day, ordinary),
        _most(day, ordinary),
        _most(day, ordinary & (day <= 35)),
        number_of(genuine & (age < newest)),
        before,
        number_of(run),
        run_oldest,
        before - run_oldest,
        number_of(fraud & ~ordinary),
        np.min(window.ratio, axis=1, initial=RATIO_MAX, where=fraud),
    ]


def _least(days: Floats, flags: Flags) -> Floats:
    """The least of each row's flagged days; 60 where there is none."""
    return np.asarray(np.min(days, axis=1, initial=NEVER_DAYS, where=flags), dtype=np.float64)


def _most(days: Floats, flags: Flags) -> Floats:
    """The greatest of each row's flagged days; 60 where there is none."""
    return np.where(np.any(flags, axis=1), np.max(days, axis=1, initial=0.0, where=flags), NEVER_DAYS)
