"""When to try a delivery again."""

from alerts.series import hash63

# Standard Webhooks 1.0.0, "Deliverability and reliability": ten tries over three days and a quarter
SCHEDULE_S = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
JITTER = 0.1  # of the wait: a thousand deliveries that failed together spread over its last tenth


def retry_delay_s(attempts: int, delivery_id: str, *, retry_after_s: float | None = None) -> float | None:
    """The wait after the `attempts`-th try failed, in seconds, never shorter than asked; None where that was the last.

    The jitter comes from the delivery's id, so it differs between deliveries and needs no random source.

    >>> 5.0 <= retry_delay_s(1, "msg_1") <= 5.5
    True
    >>> retry_delay_s(1, "msg_1", retry_after_s=120.0) >= 120.0
    True
    >>> retry_delay_s(10, "msg_1") is None
    True
    """
    if attempts >= len(SCHEDULE_S):
        return None
    wait = max(SCHEDULE_S[max(attempts, 1)], retry_after_s or 0.0)
    share = hash63(f"{delivery_id} {attempts}") / 2**63
    return wait * (1.0 + JITTER * share)
