"""Workers whose text models are a wait of fixed length (`bench/fixed_cost.py`), on servers of their own, and what CPU they take."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.memory import tree
from commands import wiring
from commands.machine import on_servers
from core.clock import rfc3339, utc_now
from core.settings import Settings, as_environment
from core.topics import SOCIAL_RAW
from streams.messages import Outgoing

_GRACE_S = 30.0


@contextmanager
def servers(settings: Settings) -> Iterator[Settings]:
    """Servers in a folder that is removed at the end, and the settings to reach them."""
    with tempfile.TemporaryDirectory(prefix="groundswell-bench-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)  # PostgreSQL may run as another account
        with on_servers(replace(settings, data=Path(folder))) as (reached, _):
            yield reached


@contextmanager
def workers(settings: Settings, *, count: int, milliseconds: float) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Worker processes, each with a folder of its own in `settings.data`; a text takes each of them `milliseconds`."""
    started = []
    try:
        for number in range(count):
            data = settings.data / f"worker-{number + 1}"
            environment = as_environment(replace(settings, data=data))
            command = [sys.executable, "-m", "bench.fixed_cost", str(data), str(milliseconds)]
            with (settings.data / f"worker-{number + 1}.log").open("ab") as log:
                started.append(subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log))
        yield started
    finally:
        for worker in started:
            worker.terminate()
        for worker in started:
            try:
                worker.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


def check(started: Sequence["subprocess.Popen[bytes]"], settings: Settings) -> None:
    """Ends the bench where a worker has ended."""
    for number, worker in enumerate(started, start=1):
        if worker.poll() is not None:
            told = (settings.data / f"worker-{number}.log").read_text("utf-8", "replace")[-2_000:]
            raise SystemExit(f"worker {number} ended with status {worker.returncode}:\n{told}")


def posts(settings: Settings) -> Iterator[Outgoing]:
    """The sample's posts over and over under new ids, published now, spread over all partitions in turn."""
    rows = [json.loads(line) for line in (wiring.SAMPLES / "social-stocknet.jsonl").read_bytes().splitlines()]
    number = 0
    while True:
        record = {**rows[number % len(rows)], "id": f"bench-{number}", "published": rfc3339(utc_now())}
        yield Outgoing(SOCIAL_RAW.name, json.dumps(record).encode(), partition=number % settings.partitions)
        number += 1


def cpu_s(pid: int) -> float:
    """CPU time of a process and its children so far; 0 where it is gone."""
    total = 0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")
