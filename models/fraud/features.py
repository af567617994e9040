"""What the network reads: one token for the payment itself, then one for each of the newest of its customer's and its terminal's past."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.fraud.aggregates import age_days, aggregates, usual_of
from models.fraud.arrays import Floats, Ints, Singles, number_of
from models.fraud.history import DAY_S, Keep
from models.fraud.usual import log_ratio
from models.fraud.windows import Histories, Window

# Steps of 10 up to 300, where card payments are dense, then about 25 % each.
AMOUNT_EDGES: Floats = np.array([*range(10, 301, 10), 380, 470, 590, 740, 920, 1150, 1450, 1800, 2250, 2800, 3500], np.float64)
# The sums look back on all that is kept; a token for each would take twice the time.
TOKENS = Keep(customer=32, terminal=32)
CURRENT, CUSTOMER_STREAM, TERMINAL_STREAM = 0, 1, 4  # plus the label state of a past entry
VISITS_MAX = 3
SIZES: dict[str, int] = {"amount": len(AMOUNT_EDGES) + 1, "hour": 24, "weekday": 7, "stream": 7, "familiarity": VISITS_MAX + 3}
CONTINUOUS: tuple[str, ...] = ("log_amount", "ratio", "ratio_to_current", "hour_sin", "hour_cos", "gap", "log_age", "age", "rank")


@dataclass(frozen=True, slots=True)
class Inputs:
    """The network's inputs for N payments padded to T tokens.

    `tokens` is (N, T, len(CONTINUOUS)) float32, `ids` (N, T, len(SIZES)) int64, `mask` (N, T) float32 with 1 for a token and
    0 for padding, `base` (N, len(aggregates.NAMES)) float32. Token 0 is the payment itself.
    """

    tokens: Singles
    ids: Ints
    mask: Singles
    base: Singles

    def feeds(self) -> Mapping[str, npt.NDArray[Any]]:
        """By the names of the exported graph's inputs."""
        return {"tokens": self.tokens, "ids": self.ids, "mask": self.mask, "base": self.base}


def inputs(histories: Histories) -> Inputs:
    """The network's inputs; a payment's own values do not depend on its neighbours in the batch, only the padding does."""
    usual = usual_of(histories)
    customer, terminal = histories.customer.newest(TOKENS.customer), histories.terminal.newest(TOKENS.terminal)
    width_c, width_t = customer.valid.shape[1], terminal.valid.shape[1]
    tokens = np.zeros((len(histories), 1 + width_c + width_t, len(CONTINUOUS)), np.float32)
    ids = np.zeros((*tokens.shape[:2], len(SIZES)), np.int64)
    _current(histories, usual, tokens[:, 0], ids[:, 0])
    _past(histories, customer, log_ratio(customer.amount, usual[:, None]), tokens[:, 1 : 1 + width_c])
    _past(histories, terminal, terminal.ratio, tokens[:, 1 + width_c :])
    _past_ids(customer, CUSTOMER_STREAM, ids[:, 1 : 1 + width_c])
    _past_ids(terminal, TERMINAL_STREAM, ids[:, 1 + width_c :])
    mask = np.concatenate([np.ones((len(histories), 1)), customer.valid, terminal.valid], axis=1).astype(np.float32)
    return Inputs(tokens=tokens * mask[:, :, None], ids=ids, mask=mask, base=aggregates(histories, usual))


def _current(histories: Histories, usual: Floats, tokens: Singles, ids: Ints) -> None:
    """Write the payments' own tokens."""
    turn = histories.local_s % DAY_S * (2 * np.pi / DAY_S)
    newest = np.min(age_days(histories, histories.customer), axis=1, initial=28.0, where=histories.customer.valid)
    tokens[:, 0] = np.log1p(histories.amount)
    tokens[:, 1] = log_ratio(histories.amount, usual)
    tokens[:, 3] = np.sin(turn)
    tokens[:, 4] = np.cos(turn)
    tokens[:, 5] = np.log1p(24.0 * newest)
    ids[:, 0] = np.searchsorted(AMOUNT_EDGES, histories.amount, side="right")
    ids[:, 1] = histories.local_s % DAY_S // 3600
    ids[:, 2] = (histories.local_s // DAY_S + 3) % 7
    ids[:, 3] = CURRENT
    ids[:, 4] = np.minimum(number_of(histories.customer.same & histories.customer.valid), VISITS_MAX)


def _past(histories: Histories, window: Window, ratio: Floats, tokens: Singles) -> None:
    """Write the continuous values of one side's entries; `ratio` is that of each to what its own customer usually pays."""
    age = age_days(histories, window)
    turn = window.time_s % DAY_S * (2 * np.pi / DAY_S)
    older = np.concatenate([age[:, 1:], age[:, -1:]], axis=1)
    tokens[:, :, 0] = np.log1p(window.amount)
    tokens[:, :, 1] = ratio
    tokens[:, :, 2] = log_ratio(window.amount, histories.amount[:, None])
    tokens[:, :, 3] = np.sin(turn)
    tokens[:, :, 4] = np.cos(turn)
    tokens[:, :, 5] = np.log1p(24.0 * np.maximum(older - age, 0.0))
    tokens[:, :, 6] = np.log1p(age)
    tokens[:, :, 7] = age / 28.0
    tokens[:, :, 8] = np.arange(age.shape[1]) / 32.0


def _past_ids(window: Window, stream: int, ids: Ints) -> None:
    """Write the categories of one side's entries."""
    ids[:, :, 0] = np.searchsorted(AMOUNT_EDGES, window.amount, side="right")
    ids[:, :, 1] = window.time_s % DAY_S // 3600
    ids[:, :, 2] = (window.time_s // DAY_S + 3) % 7
    ids[:, :, 3] = stream + window.state
    ids[:, :, 4] = VISITS_MAX + 1 + window.same
