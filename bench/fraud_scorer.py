"""What a payment costs in the fraud scorer, part by part: `python -m bench.fraud_scorer`.

On generated payments whose customers and terminals have their whole past behind them. CPU time is that of all threads; a second
core changes only the rate.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from commands import wiring
from core.settings import load_settings
from models.aliases import CHAMPION, resolve
from models.fraud.aggregates import aggregates, usual_of
from models.fraud.arrays import Singles
from models.fraud.features import inputs
from models.fraud.history import Ring
from models.fraud.offline import Past, batches
from models.fraud.score import FraudScorer
from models.fraud.windows import FeatureRow, Histories, stack
from models.registry import Artifact
from models.training.fraud.files import labels, transactions
from models.training.fraud.generator import World, generate, label_times

WORLD = World(customers=400, terminals=800, days=60, seed=11)
_PART = 512  # as the scorer screens them


@dataclass(frozen=True, slots=True)
class Cost:
    """What a part took for all payments: CPU seconds of all threads, and seconds on the clock."""

    part: str
    cpu_s: float
    wall_s: float


def main() -> None:
    """Measure and print every part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payments", type=int, default=16_384, help="how many of the newest payments are measured")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of the whole scorer")
    parser.add_argument("--batch", type=int, default=2048, help="payments that the whole scorer is given at once")
    options = parser.parse_args()
    artifact = resolve(CHAMPION, "fraud", wiring.models(load_settings(environ=os.environ)))
    found = measure(artifact, payments=options.payments, threads=options.threads, batch=options.batch)
    print(f"{artifact.manifest.reference}, {options.payments} payments, {options.batch} at once in the whole scorer")
    print(f"{'':44}{'CPU µs/payment':>16}{'payments/s':>12}")
    for cost in found:
        print(f"{cost.part:44}{cost.cpu_s / options.payments * 1e6:16.1f}{options.payments / cost.wall_s:12.0f}")


def measure(artifact: Artifact, *, payments: int, threads: int, batch: int) -> list[Cost]:
    """Every part's cost for the newest `payments` of a generated world."""
    rows, costs = _rings(payments)
    scorer = FraudScorer.open(artifact, device="cpu")
    stacked: list[Histories] = []
    costs.append(timed("windows", lambda: stacked.extend(stack(part, scorer.keep) for part in _parts(rows))))
    sums: list[Singles] = []
    costs.append(timed("aggregates", lambda: sums.extend(aggregates(part, usual_of(part)) for part in stacked)))
    costs.append(timed("encoder's inputs, all payments", lambda: [inputs(part) for part in stacked]))
    costs.append(timed("encoder with its inputs, all payments", lambda: [scorer.encode(part) for part in stacked]))
    models = {"without a cascade": alone(artifact)}
    if (first := scorer.first) is not None:
        costs.append(timed("first stage", lambda: [first.logits(part) for part in sums]))
        models["with the cascade"] = artifact
    for name, model in models.items():
        for count in sorted({1, threads}):
            whole = FraudScorer.open(model, device="cpu", threads=count)
            part = f"whole scorer {name}, {count} thread{'s' * (count > 1)}"
            costs.append(timed(part, lambda: [whole.score(some) for some in _parts(rows, batch)]))  # noqa: B023
    return costs


def alone(artifact: Artifact) -> Artifact:
    """The model without a first stage before its encoder."""
    config = {name: value for name, value in artifact.manifest.config.items() if name != "cascade"}
    return Artifact(artifact.folder, msgspec.structs.replace(artifact.manifest, config=config))


def timed(part: str, work: Callable[[], Any]) -> Cost:
    """The cost of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(part, time.process_time() - cpu, time.perf_counter() - wall)


def _rings(payments: int) -> tuple[list[FeatureRow], list[Cost]]:
    """The newest payments' rows, with what the rings cost: in memory, and as a state table keeps them."""
    world = generate(WORLD)
    records = list(transactions(world))
    known = list(labels(world, label_times(world)))
    steps = [step for part in batches(records, known) for step in part]
    newest = steps.index(records[-payments])
    past = Past()
    past.replay(steps[:newest])
    rows: list[FeatureRow] = []
    costs = [timed("rings, with a label for each payment", lambda: rows.extend(past.replay(steps[newest:])))]
    states = [(past.customers[row.transaction.customer_id].encode(), row.terminal.encode()) for row in rows]
    decode = timed("rings to and from bytes, both sides", lambda: [Ring.decode(raw).encode() for pair in states for raw in pair])
    return rows, [*costs, decode]


def _parts(rows: Sequence[FeatureRow], size: int = _PART) -> list[Sequence[FeatureRow]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


if __name__ == "__main__":
    main()
