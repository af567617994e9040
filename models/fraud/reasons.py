"""Why a payment got its score, in words.

A risky payment is asked what-if questions: with an ordinary amount, at noon, without the reports on its terminal, and so on. Each
question is a changed copy of its history, scored like any other; the drop of the logit orders the causes. Where a payment is not
risky, the plain facts that carry the most weight are named.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from models.fraud.aggregates import UNUSUAL, Spending, age_days, log_ratio, spending
from models.fraud.arrays import Flags, Floats, any_of, number_of
from models.fraud.history import CUSTOMER, DAY_S, FRAUD, TERMINAL, UNKNOWN, Entry
from models.fraud.windows import FeatureRow, Histories, Window

REASONS_MAX = 3
_DROP_MIN = 0.2  # of the logit: less moves a probability by no more than a twentieth
_PACE_MIN = 4  # payments within a day; the busiest tenth of generated customers averages under four
_HIGH_RATIO = 2.0
_FEW = 3  # payments, from which a mean is not worth naming


@dataclass(frozen=True, slots=True)
class Question:
    """A what-if: which payments it makes sense for, the history it changes to, and the cause in words."""

    applies: Callable[[Histories, Spending], Flags]
    change: Callable[[Histories, Spending], Histories]
    words: Callable[[FeatureRow, float], str]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """One question put to one payment: `row` is its place in the batch."""

    row: int
    question: Question


def ask(histories: Histories) -> tuple[list[WhatIf], list[Histories]]:
    """The questions worth asking and, question by question, the changed histories in the same order."""
    usual = spending(histories)
    asked: list[WhatIf] = []
    changed: list[Histories] = []
    for question in QUESTIONS:
        rows = np.flatnonzero(question.applies(histories, usual))
        if len(rows):
            asked.extend(WhatIf(int(row), question) for row in rows)
            changed.append(question.change(histories, usual).take(rows))
    return asked, changed


def explain(rows: Sequence[FeatureRow], means: Floats, asked: Sequence[WhatIf], drops: Floats) -> list[tuple[str, ...]]:
    """One to three reasons per row; `drops` says how far each asked what-if lowered the row's logit."""
    causes: list[list[tuple[float, str]]] = [[] for _ in rows]
    for what_if, drop in zip(asked, drops.tolist(), strict=True):
        if drop >= _DROP_MIN:
            words = what_if.question.words(rows[what_if.row], float(means[what_if.row]))
            causes[what_if.row].append((-drop, words))
    return [
        tuple(words for _, words in sorted(found)[:REASONS_MAX]) or facts(row, float(mean))
        for found, row, mean in zip(causes, rows, means, strict=True)
    ]


def facts(row: FeatureRow, mean: float) -> tuple[str, ...]:
    """The one or two facts that weigh most where no cause stands out: reports first, then the amount."""
    found = []
    if _reported(row.terminal, row.time_s):
        found.append(_terminal_words(row, mean))
    if _reported(row.customer, row.time_s):
        found.append(_customer_words(row, mean))
    if not row.customer:
        found.append(f"first payment seen of customer {row.transaction.customer_id} in {_days(CUSTOMER.horizon_s)} days")
    elif not found or row.transaction.amount > _HIGH_RATIO * mean:
        found.append(_amount_words(row, mean))
    if len(found) < 2 and not _reported(row.terminal, row.time_s):
        found.append(
            f"terminal {row.transaction.terminal_id} has no payment reported as fraud in {_days(TERMINAL.horizon_s)} days"
        )
    return tuple(found[:2])


def _days(seconds: float) -> int:
    return round(seconds / DAY_S)


def _reported(past: Sequence[Entry], time_s: float) -> list[Entry]:
    """The entries known as fraud at `time_s`, newest first."""
    return [entry for entry in past if entry.label == FRAUD and entry.label_s <= time_s]


def _date(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).date().isoformat()


def _reports(subject: str, reported: Sequence[Entry], days: int) -> str:
    """How many payments of `subject` were reported, and the latest of them."""
    count = f"{len(reported)} payment{'s' if len(reported) > 1 else ''}"
    latest = reported[0]
    return f"{subject} had {count} reported as fraud in the last {days} days, the latest {latest.id} on {_date(latest.time_s)}"


def _terminal_words(row: FeatureRow, mean: float) -> str:
    reported = _reported(row.terminal, row.time_s)
    return _reports(f"terminal {row.transaction.terminal_id}", reported, _days(TERMINAL.horizon_s))


def _customer_words(row: FeatureRow, mean: float) -> str:
    reported = _reported(row.customer, row.time_s)
    return _reports(f"customer {row.transaction.customer_id}", reported, _days(CUSTOMER.horizon_s))


def _amount_words(row: FeatureRow, mean: float) -> str:
    amount = row.transaction.amount
    if len(row.customer) < _FEW:
        earlier = len(row.customer) or "no"
        return f"amount {amount:.2f} by a customer with {earlier} earlier payments in the last {_days(CUSTOMER.horizon_s)} days"
    times = (amount + 0.01) / (mean + 0.01)
    return f"amount {amount:.2f} is {times:.1f} times the customer's mean of {mean:.2f}"


def _hour_words(row: FeatureRow, mean: float) -> str:
    return f"paid at {datetime.fromtimestamp(row.time_s, UTC):%H:%M} UTC"


def _unusual_words(row: FeatureRow, mean: float) -> str:
    unusual = [entry for entry in row.customer if entry.amount > UNUSUAL * mean and row.time_s - entry.time_s <= 14 * DAY_S]
    latest = unusual[0]
    count = f"{len(unusual)} payment{'s' if len(unusual) > 1 else ''}"
    return (
        f"customer {row.transaction.customer_id} made {count} of more than {UNUSUAL:g} times the mean in the last 14 days, "
        f"the latest {latest.id} of {latest.amount:.2f} on {_date(latest.time_s)}"
    )


def _pace_words(row: FeatureRow, mean: float) -> str:
    count = sum(1 for entry in row.customer if row.time_s - entry.time_s <= DAY_S)
    return f"customer {row.transaction.customer_id} made {count} payments in the 24 hours before"


def _new_words(row: FeatureRow, mean: float) -> str:
    payment = row.transaction
    days = _days(CUSTOMER.horizon_s)
    return f"customer {payment.customer_id} has not paid at terminal {payment.terminal_id} in the last {days} days"


def _any_reported(window: Window) -> Flags:
    return any_of(window.valid & (window.state == FRAUD))


def _without_reports(window: Window) -> Window:
    """The window as if no fraud had been reported yet."""
    return replace(window, state=np.where(window.state == FRAUD, np.int8(UNKNOWN), window.state))


def _unusual(histories: Histories, usual: Spending) -> Flags:
    """The entries of the customer's last 14 days that are far above its mean."""
    window = histories.customer
    recent = window.valid & (age_days(histories, window) <= 14)
    unusual: Flags = recent & (log_ratio(window.amount, usual.mean[:, None]) > np.log(UNUSUAL))
    return unusual


def _ordinary_past(histories: Histories, usual: Spending) -> Histories:
    """As if the customer's unusual payments had been of its mean amount, and none of them reported.

    That lowers the mean; the payment's own amount goes down with it, so that the question is about the past alone.
    """
    unusual = _unusual(histories, usual)
    window = histories.customer
    amount = np.where(unusual, usual.mean[:, None], window.amount)
    state = np.where(unusual, np.int8(UNKNOWN), window.state)
    changed = replace(histories, customer=replace(window, amount=amount, state=state))
    return replace(changed, amount=histories.amount * spending(changed).mean / np.maximum(usual.mean, 0.01))


def _last_day(histories: Histories) -> Flags:
    window = histories.customer
    return window.valid & (age_days(histories, window) <= 1)


def _visited(histories: Histories, _: Spending) -> Histories:
    """As if the customer's three latest payments had been at this terminal."""
    window = histories.customer
    same = window.same.copy()
    same[:, :3] |= window.valid[:, :3]
    return replace(histories, customer=replace(window, same=same))


QUESTIONS: tuple[Question, ...] = (
    Question(
        applies=lambda histories, usual: histories.amount > usual.mean,
        change=lambda histories, usual: replace(histories, amount=np.minimum(histories.amount, usual.mean)),
        words=_amount_words,
    ),
    Question(
        applies=lambda histories, _: np.ones(len(histories), np.bool_),
        change=lambda histories, _: replace(histories, local_s=histories.local_s // DAY_S * DAY_S + DAY_S / 2),
        words=_hour_words,
    ),
    Question(
        applies=lambda histories, _: _any_reported(histories.terminal),
        change=lambda histories, _: replace(histories, terminal=_without_reports(histories.terminal)),
        words=_terminal_words,
    ),
    Question(
        applies=lambda histories, _: _any_reported(histories.customer),
        change=lambda histories, _: replace(histories, customer=_without_reports(histories.customer)),
        words=_customer_words,
    ),
    Question(applies=lambda histories, usual: any_of(_unusual(histories, usual)), change=_ordinary_past, words=_unusual_words),
    Question(
        applies=lambda histories, _: number_of(_last_day(histories)) >= _PACE_MIN,
        change=lambda histories, _: replace(
            histories, customer=replace(histories.customer, valid=histories.customer.valid & ~_last_day(histories))
        ),
        words=_pace_words,
    ),
    Question(
        applies=lambda histories, _: any_of(histories.customer.valid) & ~any_of(histories.customer.same),
        change=_visited,
        words=_new_words,
    ),
)
