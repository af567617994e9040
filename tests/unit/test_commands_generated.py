"""The stream of generated payments: in event-time order, labels late, records that the worker takes."""

from datetime import timedelta
from itertools import pairwise

from commands.generated import Stream, paced
from core.clock import utc_now
from core.codec import decode_label, decode_transaction
from models.training.fraud.generator import World

STREAM = Stream(World(customers=60, terminals=120, days=20, seed=4), rate=None, delay_days=3.0)


def test_payments_and_labels_come_in_event_time_order_and_can_be_decoded() -> None:
    records = list(STREAM.records())
    assert all(one.time <= other.time for one, other in pairwise(records) if one.time and other.time)
    paid = {row.id: row for each in records if each.kind == "transactions" for row in [decode_transaction(each.raw, utc_now())]}
    found = [decode_label(each.raw, utc_now()) for each in records if each.kind == "labels"]
    assert len(paid) + len(found) == len(records)
    assert len(found) > 0.7 * len(paid)
    assert all(label.time - paid[label.transaction_id].time == timedelta(days=3) for label in found)
    assert all(name.startswith("generated-4-") for name in paid)


def test_a_rate_is_kept_over_all_payments_and_labels_take_no_turn() -> None:
    clock = [100.0]
    due = []

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    for record in paced(STREAM.records(), 50.0, now_s=lambda: clock[0], sleep=sleep):
        if record.kind == "transactions":
            due.append(clock[0])
        clock[0] += 0.001  # sending takes time, which the rate makes up for
    assert all(abs(at - (100.0 + number / 50.0)) < 0.01 for number, at in enumerate(due))
