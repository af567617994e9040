"""A fraud worker as a user of Faust would write it: one agent, tables of counters, scikit-learn's trees, one event at a time.

`python -m bench.plain_faust BROKER FOLDER` runs it; `bench.transactions` holds Groundswell against it.
"""

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import faust
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

RAW, SCORED = "plain.raw", "plain.scored"
_ROWS = 20_000


def train() -> Any:
    """Trees over six counters of made-up payments: what they find does not matter here, what a prediction costs does."""
    pick = np.random.default_rng(0)
    inputs = pick.lognormal(3.0, 1.0, (_ROWS, 6))
    fraud = pick.random(_ROWS) < np.where(inputs[:, 0] > 100, 0.2, 0.01)
    return HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(inputs, fraud)


def build(broker: str, folder: Path) -> faust.App:
    """The worker."""
    app = faust.App(
        "plain", broker=f"kafka://{broker}", store="rocksdb://", datadir=str(folder), topic_partitions=4, web_enabled=False
    )
    model = train()
    customers = app.Table("customers", default=dict, partitions=4)
    terminals = app.Table("terminals", default=dict, partitions=4)
    scored = app.topic(SCORED, value_serializer="json")

    async def score(payments: Any) -> None:
        async for payment in payments:
            hour = datetime.fromisoformat(payment["time"]).hour
            customer = count(customers, payment["customer_id"], payment["amount"])
            terminal = count(terminals, payment["terminal_id"], payment["amount"])
            row = [[payment["amount"], hour, customer["count"], customer["mean"], terminal["count"], terminal["mean"]]]
            probability = float(model.predict_proba(row)[0, 1])
            await scored.send(key=payment["id"], value={**payment, "fraud_score": probability})

    app.agent(app.topic(RAW, value_serializer="json"))(score)
    return app


def count(table: Any, key: str, amount: float) -> dict[str, float]:
    """The counters of a key before this payment; afterwards they hold it."""
    before = table[key] or {"count": 0, "mean": 0.0}
    number = before["count"] + 1
    table[key] = {"count": number, "mean": before["mean"] + (amount - before["mean"]) / number}
    return dict(before)


def main() -> None:
    """Run until stopped."""
    broker, folder = sys.argv[1:]
    faust.Worker(build(broker, Path(folder)), loglevel="ERROR", quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main()
