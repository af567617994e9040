"""What the whole pipeline costs over the bare models: `python -m bench.throughput`.

Bare: the same model, the same batches, prepared beforehand, nothing but ONNX Runtime's `run` on the same number of threads.
Worker: `groundswell run` over the same events, decode to index and alerts; its rate between the first and the last tenth.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import wiring
from core.clock import utc_now
from core.codec import decode_label, decode_transaction
from core.settings import Settings, load_settings
from models.aliases import CHAMPION, assigned, resolve
from models.fraud.features import inputs
from models.fraud.offline import Past
from models.fraud.score import GRAPH, keep_of
from models.fraud.windows import FeatureRow, stack
from models.registry import Artifact
from models.runtime import open_session
from models.text.batching import plan
from models.text.chunks import Chunker
from models.text.config import read_config
from models.text.score import GRAPH as TEXT_GRAPH
from models.text.score import TOKENIZER
from streams.totals import Totals, totals

_FRAUD_BATCH = 64
_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Rate:
    """Events a second, bare and in the worker."""

    events: int
    bare: float
    worker: float


def bare_texts(settings: Settings, texts: Sequence[str]) -> float:
    """Texts a second through ONNX Runtime alone, in batches planned as the worker plans them."""
    root, alias = wiring.models(settings), settings.text_models
    slots = {reference: slot for slot, reference in assigned(alias, root).items() if slot in ("sentiment.en", "topic.en")}
    return len(texts) / sum(_bare_model(resolve(alias, slot, root), settings, texts) for slot in slots.values())


def _bare_model(artifact: Artifact, settings: Settings, texts: Sequence[str]) -> float:
    """Seconds that one model takes for all texts."""
    from tokenizers import Tokenizer

    session = open_session(artifact.path(TEXT_GRAPH), device=settings.device, mode=settings.text_mode)
    config = read_config(artifact)
    tokenizer = Tokenizer.from_file(str(artifact.path(TOKENIZER)))
    chunker = Chunker(tokenizer, max_tokens=config.max_tokens, lead_tokens=config.lead_tokens)
    size = settings.text_batch
    batches = []
    for start in range(0, len(texts), size):
        chunks = [piece for text in chunker.split(texts[start : start + size]) for piece in text.pieces]
        batches += plan(chunks, mode=session.mode, pad=chunker.pad)
    feeds = [{"input_ids": batch.input_ids, "attention_mask": batch.attention_mask} for batch in batches]
    return _fastest(feeds, session.run, wiring.threads(settings))


def bare_transactions(settings: Settings, rows: Sequence[FeatureRow]) -> float:
    """Payments a second through ONNX Runtime alone, features computed beforehand."""
    artifact = resolve(CHAMPION, "fraud", wiring.models(settings))
    session, keep = open_session(artifact.path(GRAPH), device=settings.device), keep_of(artifact)
    ordered = sorted(rows, key=lambda row: len(row.customer) + len(row.terminal))
    feeds = [inputs(stack(ordered[start : start + _FRAUD_BATCH], keep)).feeds() for start in range(0, len(ordered), _FRAUD_BATCH)]
    return len(rows) / _fastest(feeds, session.run, wiring.threads(settings))


def _fastest(feeds: Sequence[Any], run: Callable[[Any], Any], threads: int) -> float:
    """Seconds of the fastest of three passes over all batches, on that many threads."""
    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(_REPEATS):
            started = time.perf_counter()
            list(pool.map(run, feeds))
            seconds.append(time.perf_counter() - started)
    return min(seconds)


def worker_rate(folder: Path, count: Callable[[Totals], int], events: int) -> float:
    """Events a second from read to indexed between the first and the last tenth of a run over `folder`."""
    with tempfile.TemporaryDirectory() as data:
        arguments = ["run", "--input", str(folder), "--data", data, "--exit-when-idle", "--port", "8731"]
        command = [sys.executable, "-m", "groundswell", *arguments]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times: list[tuple[float, int]] = []
        while run.poll() is None:
            times.append((time.perf_counter(), _indexed(Path(data), count)))
            time.sleep(0.2)
        if run.returncode != 0:
            raise SystemExit(f"the run over {folder} ended with status {run.returncode}")
    begin = next(each for each in times if each[1] >= 0.1 * events)
    end = next(each for each in times if each[1] >= 0.9 * events)
    return (end[1] - begin[1]) / (end[0] - begin[0])


def _indexed(data: Path, count: Callable[[Totals], int]) -> int:
    if not (data / wiring.RUNNING).exists():
        return 0
    return count(totals(wiring.open_ledger(wiring.attached(None, data=data)).entries()))


def _link(target: Path, *names: str) -> Path:
    target.mkdir()
    for name in names:
        (target / name).symlink_to(wiring.SAMPLES / name)
    return target


def texts(settings: Settings, folder: Path) -> Rate:
    """The sample's English texts."""
    names = ("social-stocknet.jsonl", "news-sentfin.jsonl")
    records = [json.loads(line) for name in names for line in (wiring.SAMPLES / name).read_bytes().splitlines()]
    strings = [record.get("text") or record["title"] for record in records]
    bare = bare_texts(settings, strings)
    return Rate(len(strings), bare, worker_rate(_link(folder / "texts", *names), lambda done: done.indexed, len(strings)))


def transactions(settings: Settings, folder: Path) -> Rate:
    """The sample's payments with their labels."""
    names = ("transactions.jsonl", "labels.jsonl")
    raw, known = ((wiring.SAMPLES / name).read_bytes().splitlines() for name in names)
    now, past = utc_now(), Past()
    labels = sorted((decode_label(line, now) for line in known), key=lambda label: label.time, reverse=True)
    rows = []
    for line in raw:
        payment = decode_transaction(line, now)
        while labels and labels[-1].time <= payment.time:
            past.learn(labels.pop())
        rows.append(past.add(payment))
    bare = bare_transactions(settings, rows)
    return Rate(len(rows), bare, worker_rate(_link(folder / "payments", *names), lambda done: done.indexed, len(rows)))


def main() -> None:
    """Measure and print both rates and their ratio."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    settings = load_settings(environ=os.environ)
    print(f"{os.cpu_count()} cores, {wiring.threads(settings)} inference threads")
    print(f"{'':14}{'events':>8}{'bare ONNX /s':>14}{'worker /s':>12}{'worker ÷ bare':>15}")
    with tempfile.TemporaryDirectory() as folder:
        for name, measure in (("texts", texts), ("transactions", transactions)):
            rate = measure(settings, Path(folder))
            print(f"{name:14}{rate.events:8}{rate.bare:14.0f}{rate.worker:12.0f}{rate.worker / rate.bare:15.2f}", flush=True)


if __name__ == "__main__":
    main()
