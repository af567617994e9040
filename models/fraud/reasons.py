"""Why a payment got its score, in words that name the past payments, the fields and the labels behind it.

A risky payment is asked what-if questions: with an ordinary amount, at noon, without the reports on its terminal, and so on. Each
question is a changed copy of its history, scored like any other; the drop of the logit orders the causes. Where a payment is not
risky, the plain facts that carry the most weight are named.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import exp
from typing import Literal, NamedTuple

import numpy as np

from models.fraud.aggregates import age_days, ordinary_reports, usual_of
from models.fraud.arrays import Flags, Floats, any_of, number_of
from models.fraud.history import CUSTOMER, DAY_S, FRAUD, TERMINAL, UNKNOWN
from models.fraud.usual import UNUSUAL, log_ratio
from models.fraud.windows import FeatureRow, Histories, Window, joined

Side = Literal["customer", "terminal"]

REASONS_MAX = 3
DROP_MIN = 0.2  # of the logit: less moves a probability by no more than a twentieth
_PACE_MIN = 4  # payments within a day; the busiest tenth of generated customers averages under four
_HIGH_RATIO = 2.0
_FEW = 3  # payments, from which a mean is not worth naming
_NAMED_MAX = 3  # ids in one reason


class PastPayment(NamedTuple):
    """A payment of the past that a reason names; `times` what its customer usually paid, as far as the past carries that."""

    id: str
    time_s: float
    amount: float
    times: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reason is put into words from.

    `earlier` counts the past payments that the model saw on the reason's side, `behind` those that carry the cause; `newest` are
    the newest few of these.
    """

    row: FeatureRow
    usual: float
    earlier: int
    behind: int = 0
    newest: Sequence[PastPayment] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A what-if: which payments it makes sense for, the history it changes to, and the cause in words.

    `named` says which of the entries of `side` the words speak of. Where `past` is set it is these that carry the cause, and
    without them it is gone; else a field of the payment itself does.
    """

    name: str
    applies: Callable[[Histories, Floats], Flags]
    change: Callable[[Histories, Floats], Histories]
    words: Callable[[Seen], str]
    named: Callable[[Histories, Floats], Flags]
    side: Side = "customer"
    past: bool = True


@dataclass(frozen=True, slots=True)
class Cause:
    """A question put to a payment, and how far its what-if lowers the logit."""

    question: Question
    drop: float


def causes(histories: Histories, logits: Floats, score: Callable[[Histories], Floats]) -> list[list[Cause]]:
    """Every question that applies to each of the payments, the weightiest first; `score` gives the logits of changed histories."""
    usual = usual_of(histories)
    asked = [(question, np.flatnonzero(question.applies(histories, usual))) for question in QUESTIONS]
    rows = np.concatenate([rows for _, rows in asked])
    drops = logits[rows] - score(joined([question.change(histories, usual).take(rows) for question, rows in asked]))
    found: list[list[Cause]] = [[] for _ in range(len(histories))]
    questions = [question for question, rows in asked for _ in range(len(rows))]
    for row, question, drop in zip(rows.tolist(), questions, drops.tolist(), strict=True):
        found[row].append(Cause(question, drop))
    return [sorted(each, key=lambda cause: -cause.drop) for each in found]


def explain(rows: Sequence[FeatureRow], histories: Histories, found: Sequence[Sequence[Cause]]) -> list[tuple[str, ...]]:
    """One to three reasons per row from its causes, the weightiest first; plain facts where no cause stands out."""
    usual = usual_of(histories)
    named = {question.name: question.named(histories, usual) for question in QUESTIONS}
    told = facts(rows, histories, usual)
    for place, (row, each) in enumerate(zip(rows, found, strict=True)):
        weighty = [cause.question for cause in each if cause.drop >= DROP_MIN][:REASONS_MAX]
        paid = float(usual[place])
        words = tuple(ask.words(_seen(row, paid, histories, place, (ask.side, named[ask.name]))) for ask in weighty)
        told[place] = words or told[place]
    return told


def facts(rows: Sequence[FeatureRow], histories: Histories, usual: Floats) -> list[tuple[str, ...]]:
    """The one or two facts per row that weigh most where no cause stands out: reports first, then the amount."""
    terminal, customer = _reported(histories.terminal), _reported(histories.customer)
    at_terminal, of_customer = number_of(terminal).tolist(), number_of(customer).tolist()
    earlier, at_all = number_of(histories.customer.valid).tolist(), number_of(histories.terminal.valid).tolist()
    told = []
    for place, (row, paid) in enumerate(zip(rows, usual.tolist(), strict=True)):
        found = []
        if at_terminal[place]:
            found.append(_reported_words(_seen(row, paid, histories, place, ("terminal", terminal))))
        if of_customer[place]:
            found.append(_customer_words(_seen(row, paid, histories, place, ("customer", customer))))
        if not earlier[place]:
            found.append(f"first payment seen of customer {row.transaction.customer_id} in {_days(CUSTOMER.horizon_s)} days")
        elif not found or row.transaction.amount > _HIGH_RATIO * paid:
            found.append(_amount_words(Seen(row, paid, earlier[place])))
        if len(found) < 2 and not at_terminal[place]:
            found.append(_calm_words(row.transaction.terminal_id, at_all[place]))
        told.append(tuple(found[:2]))
    return told


def _seen(row: FeatureRow, usual: float, histories: Histories, place: int, behind: tuple[Side, Flags]) -> Seen:
    """What a reason speaks of: the flagged entries of one side of the payment at `place`."""
    side, flags = behind
    window, ring = (histories.customer, row.customer) if side == "customer" else (histories.terminal, row.terminal)
    steps = np.flatnonzero(flags[place]).tolist()
    few = steps[:_NAMED_MAX]
    ids = ring.names(len(ring) - 1 - step for step in few)
    newest = [
        PastPayment(name, window.time_s.item(place, step), window.amount.item(place, step), exp(window.ratio.item(place, step)))
        for name, step in zip(ids, few, strict=True)
    ]
    return Seen(row, usual, int(np.count_nonzero(window.valid[place])), len(steps), newest)


def _days(seconds: float) -> int:
    return round(seconds / DAY_S)


def _date(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).date().isoformat()


def _listed(seen: Seen, describe: Callable[[PastPayment], str]) -> str:
    """The newest few by id, with what `describe` says of each, and the number of the others."""
    listed = ", ".join(f"{each.id} ({describe(each)})" for each in seen.newest)
    more = seen.behind - len(seen.newest)
    return f"{listed} and {more} more" if more else listed


def _reports(subject: str, seen: Seen) -> str:
    """How many payments of `subject` were reported, and which."""
    verb = "was" if seen.behind == 1 else "were"
    listed = _listed(seen, lambda each: _date(each.time_s))
    return f"{seen.behind} of the last {seen.earlier} payments {subject} {verb} reported as fraud: {listed}"


def _reported_words(seen: Seen) -> str:
    return _reports(f"at terminal {seen.row.transaction.terminal_id}", seen)


def _terminal_words(seen: Seen) -> str:
    """Reports of payments that were nothing unusual for those who made them: it is the terminal that they have in common."""
    verb, whose = ("was", "its customer") if seen.behind == 1 else ("were", "their customers")
    listed = _listed(seen, lambda each: f"{_date(each.time_s)}, {each.times:.1f} times the usual")
    terminal = seen.row.transaction.terminal_id
    return (
        f"{seen.behind} of the last {seen.earlier} payments at terminal {terminal} {verb} reported as fraud"
        f" though ordinary for {whose}: {listed}"
    )


def _customer_words(seen: Seen) -> str:
    return _reports(f"of customer {seen.row.transaction.customer_id}", seen)


def _calm_words(terminal_id: str, earlier: int) -> str:
    if not earlier:
        return f"first payment seen at terminal {terminal_id} in {_days(TERMINAL.horizon_s)} days"
    return f"none of the last {earlier} payments at terminal {terminal_id} is reported as fraud"


def _amount_words(seen: Seen) -> str:
    amount = seen.row.transaction.amount
    if seen.earlier < _FEW:
        earlier = seen.earlier or "no"
        return f"amount {amount:.2f} by a customer with {earlier} earlier payments in the last {_days(CUSTOMER.horizon_s)} days"
    times = (amount + 0.01) / (seen.usual + 0.01)
    highest = "".join(f", the highest {each.amount:.2f} ({each.id})" for each in seen.newest[:1])
    return f"amount {amount:.2f} is {times:.1f} times the customer's usual {seen.usual:.2f} over {seen.earlier} payments{highest}"


def _hour_words(seen: Seen) -> str:
    return f"paid at {datetime.fromtimestamp(seen.row.time_s, UTC):%H:%M} UTC"


def _unusual_words(seen: Seen) -> str:
    count = f"{seen.behind} payment{'s' if seen.behind > 1 else ''}"
    listed = _listed(seen, lambda each: f"{each.amount:.2f} on {_date(each.time_s)}")
    customer = seen.row.transaction.customer_id
    return f"customer {customer} made {count} of more than {UNUSUAL:g} times the usual in the last 14 days: {listed}"


def _pace_words(seen: Seen) -> str:
    listed = _listed(seen, lambda each: f"{each.amount:.2f}")
    return f"customer {seen.row.transaction.customer_id} made {seen.behind} payments in the 24 hours before: {listed}"


def _new_words(seen: Seen) -> str:
    payment = seen.row.transaction
    return f"none of customer {payment.customer_id}'s last {seen.earlier} payments was at terminal {payment.terminal_id}"


def _reported(window: Window) -> Flags:
    """The entries known as fraud."""
    reported: Flags = window.valid & (window.state == FRAUD)
    return reported


def _unlabelled(window: Window, flagged: Flags) -> Window:
    """The window as if nothing had been found out yet about the flagged entries."""
    return replace(window, state=np.where(flagged, np.int8(UNKNOWN), window.state))


def _nothing(histories: Histories, _: Floats) -> Flags:
    return np.zeros(histories.customer.valid.shape, np.bool_)


def _highest(histories: Histories, _: Floats) -> Flags:
    """The customer's highest payments."""
    window = histories.customer
    top = np.max(window.amount, axis=1, initial=-1.0, where=window.valid)
    highest: Flags = window.valid & (window.amount == top[:, None])
    return highest


def _unusual(histories: Histories, usual: Floats) -> Flags:
    """The entries of the customer's last 14 days that are far above its usual amount."""
    window = histories.customer
    recent = window.valid & (age_days(histories, window) <= 14)
    unusual: Flags = recent & (log_ratio(window.amount, usual[:, None]) > np.log(UNUSUAL))
    return unusual


def _ordinary_past(histories: Histories, usual: Floats) -> Histories:
    """As if the customer's unusual payments had been of its usual amount, and none of them reported.

    That may move what is usual; the payment's own amount moves with it, so that the question is about the past alone.
    """
    unusual = _unusual(histories, usual)
    window = histories.customer
    amount = np.where(unusual, usual[:, None], window.amount)
    state = np.where(unusual, np.int8(UNKNOWN), window.state)
    changed = replace(histories, customer=replace(window, amount=amount, state=state))
    return replace(changed, amount=histories.amount * usual_of(changed) / np.maximum(usual, 0.01))


def _last_day(histories: Histories, _: Floats) -> Flags:
    window = histories.customer
    return window.valid & (age_days(histories, window) <= 1)


def _idle_day(histories: Histories, usual: Floats) -> Histories:
    """As if the customer had not paid within the last day."""
    window = histories.customer
    return replace(histories, customer=replace(window, valid=window.valid & ~_last_day(histories, usual)))


def _visited(histories: Histories, _: Floats) -> Histories:
    """As if the customer's three latest payments had been at this terminal."""
    window = histories.customer
    same = window.same.copy()
    same[:, :3] |= window.valid[:, :3]
    return replace(histories, customer=replace(window, same=same))


QUESTIONS: tuple[Question, ...] = (
    Question(
        name="amount",
        applies=lambda histories, usual: histories.amount > usual,
        change=lambda histories, usual: replace(histories, amount=np.minimum(histories.amount, usual)),
        words=_amount_words,
        named=_highest,
        past=False,
    ),
    Question(
        name="hour",
        applies=lambda histories, _: np.ones(len(histories), np.bool_),
        change=lambda histories, _: replace(histories, local_s=histories.local_s // DAY_S * DAY_S + DAY_S / 2),
        words=_hour_words,
        named=_nothing,
        past=False,
    ),
    Question(
        name="reports at the terminal",
        applies=lambda histories, _: any_of(ordinary_reports(histories.terminal)),
        change=lambda histories, _: replace(
            histories, terminal=_unlabelled(histories.terminal, ordinary_reports(histories.terminal))
        ),
        words=_terminal_words,
        named=lambda histories, _: ordinary_reports(histories.terminal),
        side="terminal",
    ),
    Question(
        name="reports of the customer",
        applies=lambda histories, _: any_of(_reported(histories.customer)),
        change=lambda histories, _: replace(histories, customer=_unlabelled(histories.customer, _reported(histories.customer))),
        words=_customer_words,
        named=lambda histories, _: _reported(histories.customer),
    ),
    Question(
        name="unusual amounts",
        applies=lambda histories, usual: any_of(_unusual(histories, usual)),
        change=_ordinary_past,
        words=_unusual_words,
        named=_unusual,
    ),
    Question(
        name="pace",
        applies=lambda histories, usual: number_of(_last_day(histories, usual)) >= _PACE_MIN,
        change=_idle_day,
        words=_pace_words,
        named=_last_day,
    ),
    Question(
        name="new terminal",
        applies=lambda histories, _: any_of(histories.customer.valid) & ~any_of(histories.customer.same),
        change=_visited,
        words=_new_words,
        named=_nothing,
        past=False,
    ),
)
