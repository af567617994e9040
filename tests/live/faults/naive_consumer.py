"""The consumer that many write first, as a control: offsets are committed by the clock, ids are made up by the index, and a batch that
fails is logged and passed over.

`python -m tests.live.faults.naive_consumer BROKER URL SOURCE MS` writes the items of one source to the index `naive-SOURCE`.
"""

import json
import signal
import sys
import time
from types import FrameType
from typing import Any

import confluent_kafka
import httpx

from core.topics import NEWS_RAW

BATCH = 64


def main(broker: str, url: str, source: str, milliseconds: str) -> None:
    """Run until told to stop; SIGTERM closes the consumer, as its documentation asks for."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": group_of(source),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": True,
            "auto.commit.interval.ms": 100,  # 5 s unless set: then a kill would double far more and lose less
            "session.timeout.ms": 10_000,
        }
    )
    consumer.subscribe([NEWS_RAW.name])
    signal.signal(signal.SIGTERM, _exit)
    try:
        while True:
            messages = [each for each in consumer.consume(BATCH, timeout=0.5) if each.error() is None]
            mine = [each.value() for each in messages if source.encode() in each.value()]
            try:
                _work_off(mine, url, source, float(milliseconds) / 1e3)
            except Exception as error:  # noqa: BLE001 — this is how it loses records
                print(f"passed over {len(mine)}: {error!r}", flush=True)
            if not messages:
                print("idle", flush=True)
    finally:
        consumer.close()


def group_of(source: str) -> str:
    """The consumer group that reads a source.

    >>> group_of("kill")
    'naive-kill'
    """
    return f"naive-{source}"


def _work_off(values: list[bytes], url: str, source: str, seconds: float) -> None:
    if not values:
        return
    items: list[dict[str, Any]] = [json.loads(value) for value in values]
    time.sleep(seconds * len(items))
    documents = [json.dumps({"native_id": item["id"], "title": item["title"].strip()}) for item in items]
    body = "".join(f'{{"index": {{}}}}\n{document}\n' for document in documents)
    headers = {"Content-Type": "application/x-ndjson"}
    answer = httpx.post(f"{url}/naive-{source}/_bulk", content=body, headers=headers, timeout=30)
    answer.raise_for_status()


def _exit(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
