"""A one-sided test for a surge of negative events, fit for small and over-dispersed counts.

P(n events, k negative) = P(n) P(k | n), so the two factors are judged apart and are independent if nothing has changed:

- volume: the probability of at least n events, a negative-binomial tail (gamma prior on the rate, so that an empty reference is
  not certainty), with the extra variance that the reference's own windows show: its daily rhythm among it;
- share: the probability of at least k negatives among n, a beta-binomial tail (Skellam 1948, J. R. Stat. Soc. B 10, 257). Shares
  vary more between windows than a binomial allows, since events come in stories: the correlation rho within a window is
  Williams' moment estimate (1982, Appl. Stat. 31, 144), never below a floor, and a reference window counts with the weight
  1 / (1 + (n - 1) rho) that it leaves (Kleinman 1973, JASA 68, 46).

Fisher's method (1932) joins them: with x the product of the two, p = x (1 - ln x). A surge must show in the share itself as well,
at `SHARE_LEVEL`: more of everything is not a surge of bad news.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# One event in four is negative, known as well as four events would tell: the negative shares of the labelled sets that the text
# model is trained on are 15 % (financial tweets) and 26 % (news headlines). So a series with no reference at all must show 6
# negatives of 8, 8 of 12 or 10 of 15 to pass SHARE_LEVEL.
PRIOR_NEGATIVE = 1.0
PRIOR_OTHER = 3.0
PRIOR_RATE_EVENTS = 1.0  # the rate as one event in one window would tell it
# On a month of English headlines (October and November 2022, ten names, negative by a list of words, 24 h against 14 d) 0.02, 0.1
# and 0.5 gave 5, 6 and 10 alerts. At 0.5 the first on FTX stood 65 h before its bankruptcy filing, else an hour after
SHARE_LEVEL = 0.1
RHO_FLOOR = 0.02
RHO_CEILING = 0.5
_LEAST_MEAN_SIZE = 4.0  # windows of fewer events tell next to nothing about rho


@dataclass(frozen=True, slots=True)
class Count:
    """So many events, so many of them negative."""

    events: int
    negative: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """Probabilities if nothing had changed: `p_volume` of at least this many events, `p_share` of at least this many negatives
    among them, `p` of both together; where the share shows nothing, of the share alone. `baseline` is the share expected, 0..1.
    """

    p: float
    p_volume: float
    p_share: float
    baseline: float
    rho: float


def judge(window: Count, reference: Sequence[Count]) -> Judgement:
    """How improbable the window is after `reference`, one count per window length before it.

    >>> quiet = [Count(10, 1)] * 24
    >>> judge(Count(12, 8), quiet).p < 0.001 < judge(Count(12, 3), quiet).p
    True
    """
    rho = dispersion(reference)
    weights = [1.0 / (1.0 + (count.events - 1) * rho) if count.events else 0.0 for count in reference]
    known = math.fsum(weight * count.events for weight, count in zip(weights, reference, strict=True))
    size = PRIOR_NEGATIVE + PRIOR_OTHER + known
    share = (PRIOR_NEGATIVE + math.fsum(w * c.negative for w, c in zip(weights, reference, strict=True))) / size
    # the window's own share varies between windows (rho) and by what the reference leaves unknown of the mean;
    # the prior alone is already as wide as shares differ between series
    spread = rho * min(known, 1.0) + (1.0 - rho * min(known, 1.0)) / (size + 1.0)
    concentration = 1.0 / spread - 1.0
    p_share = beta_binomial_tail(window.negative, window.events, share * concentration, (1.0 - share) * concentration)
    if p_share > SHARE_LEVEL:  # nothing that the volume could add to
        return Judgement(p_share, 1.0, p_share, share, rho)
    p_volume = volume_tail(window.events, [count.events for count in reference])
    product = max(p_share * p_volume, 1e-300)
    return Judgement(min(product * (1.0 - math.log(product)), 1.0), p_volume, p_share, share, rho)


def volume_tail(least: int, reference: Sequence[int]) -> float:
    """P(at least `least` events) in a window after the reference windows' numbers of events.

    >>> volume_tail(30, [10] * 24) < 0.001 < volume_tail(30, [2, 30] * 12)
    True
    """
    total, windows = sum(reference) + PRIOR_RATE_EVENTS, len(reference) + 1.0
    mean = total / windows
    variance = math.fsum((events - mean) ** 2 for events in reference) / max(len(reference) - 1, 1)
    # 1 / shape = extra relative variance between windows + what is unknown of the mean rate
    extra = max(variance - mean, 0.0) / mean**2
    shape = 1.0 / (extra + 1.0 / total)
    return negative_binomial_tail(least, shape, mean)


def negative_binomial_tail(least: int, shape: float, mean: float) -> float:
    """P(X >= least) of a negative binomial with variance mean + mean² / shape.

    >>> round(negative_binomial_tail(1, 1.0, 1.0), 6)
    0.5
    """
    if least <= 0:
        return 1.0
    ratio = mean / (mean + shape)
    log_term = math.lgamma(least + shape) - math.lgamma(shape) - math.lgamma(least + 1)
    term = math.exp(log_term + least * math.log(ratio) - shape * math.log1p(mean / shape))
    if least <= mean or term > 1e-9:  # the lower side has at most `least` terms, and its complement keeps enough digits
        below = 0.0
        for x in range(least, 0, -1):
            term *= x / ((x - 1 + shape) * ratio)
            below += term
        return min(max(1.0 - below, 0.0), 1.0)
    total, x = term, least
    while term > total * 1e-6:
        term *= (x + shape) / (x + 1) * ratio
        total += term
        x += 1
    return min(total, 1.0)


def dispersion(reference: Sequence[Count]) -> float:
    """The correlation rho of events in one window, RHO_FLOOR..RHO_CEILING, by Williams' moments.

    >>> dispersion([Count(20, 2)] * 10)
    0.02
    >>> dispersion([Count(20, 0), Count(20, 10)] * 5) > 0.2
    True
    """
    filled = [count for count in reference if count.events]
    total = sum(count.events for count in filled)
    share = sum(count.negative for count in filled) / total if total else 0.0
    if len(filled) < 2 or not 0.0 < share < 1.0:
        return RHO_FLOOR
    mean_size = (total - sum(count.events**2 for count in filled) / total) / (len(filled) - 1)
    if mean_size < _LEAST_MEAN_SIZE:
        return RHO_FLOOR
    pearson = math.fsum((c.negative - c.events * share) ** 2 / (c.events * share * (1.0 - share)) for c in filled)
    estimate = (pearson / (len(filled) - 1) - 1.0) / (mean_size - 1.0)
    return min(max(estimate, RHO_FLOOR), RHO_CEILING)


def beta_binomial_tail(least: int, size: int, alpha: float, beta: float) -> float:
    """P(X >= least) of a beta-binomial of `size` trials.

    >>> round(beta_binomial_tail(1, 1, 1.0, 3.0), 6), round(beta_binomial_tail(2, 2, 1.0, 1.0), 6)
    (0.25, 0.333333)
    """
    if least <= 0:
        return 1.0
    if least > size:
        return 0.0
    if least * (alpha + beta) <= size * alpha:  # below the mean the first term may be too small for a float: sum the other side
        return 1.0 - beta_binomial_tail(size - least + 1, size, beta, alpha)
    log_first = (
        math.lgamma(size + 1) - math.lgamma(least + 1) - math.lgamma(size - least + 1)
        + _log_beta(least + alpha, size - least + beta) - _log_beta(alpha, beta)
    )  # fmt: skip
    term = total = math.exp(log_first)
    for x in range(least, size):
        term *= (size - x) * (x + alpha) / ((x + 1) * (size - x - 1 + beta))
        total += term
    return min(total, 1.0)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
