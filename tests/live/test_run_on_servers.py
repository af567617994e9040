"""`run --servers DIR`: one durable machine, on which everything is killed in the middle and goes on where it was."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.memory import tree
from commands import wiring
from core.errors import ConfigError
from core.settings import Settings
from servers.maven import jars
from servers.process import free_port
from streams.totals import totals
from tests.acceptance.product import start, summary_of
from tests.live.kafka_server import missing

pytestmark = pytest.mark.live
TAKEN = {"news-sentfin.jsonl": 60, "social-stocknet.jsonl": 40, "transactions.jsonl": 600, "labels.jsonl": 50}
EVENTS = 700


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that a server may use under another account too."""
    try:
        jars("kafka")
    except ConfigError as error:
        missing(error)
    made = Path("/var/tmp") / f"groundswell-{tmp_path.name}-{os.getpid()}"
    made.mkdir()
    yield made
    shutil.rmtree(made)


def test_killed_and_started_again_it_indexes_every_event_once(folder: Path, tmp_path: Path) -> None:
    data, given = folder / "machine", tmp_path / "in"
    given.mkdir()
    for name, count in TAKEN.items():
        lines = (wiring.SAMPLES / name).read_bytes().splitlines(keepends=True)
        (given / name).write_bytes(b"".join(lines[:count]))
    (tmp_path / "settings.toml").write_text('index = "elasticsearch"\n')
    run = _start(data, given, "--settings", tmp_path / "settings.toml")
    settings = _running_on(data, run)
    _wait(lambda: _scored(settings) > EVENTS // 10, run, "a tenth is scored")
    broker = int((data / "kafka" / "kafka.pid").read_text())
    os.kill(broker, signal.SIGKILL)
    _wait(lambda: int((data / "kafka" / "kafka.pid").read_text()) != broker, run, "the broker is started again")
    before = _scored(settings)
    _wait(lambda: _scored(settings) > before, run, "it goes on")
    for pid in tree(run.pid):
        os.kill(pid, signal.SIGKILL)
    run.communicate()
    again = _start(data, given)
    output, errors = again.communicate(timeout=1_800)
    assert again.returncode == 0, errors[-3000:]
    summary = summary_of(output)
    assert (summary["read"], summary["dead"], summary["labels"]) == (EVENTS, 0, TAKEN["labels.jsonl"])
    assert summary["indexed"] == EVENTS, "as Elasticsearch counts them, which the second start takes without being told"
    (given / "news-more.jsonl").write_text(
        json.dumps({"id": "one-more", "published": "2022-11-08T00:00:00Z", "source": "test", "title": "One more title"}) + "\n",
        "utf-8",
    )
    last = _start(data, given)
    output, errors = last.communicate(timeout=1_800)
    summary = summary_of(output)
    assert summary["read"] == summary["indexed"] == EVENTS + 1, "the third start sends only what is new"


def _start(data: Path, given: Path, *more: str | Path) -> "subprocess.Popen[str]":
    return start(["run", "--servers", data, "--input", given, "--port", str(free_port()), "--exit-when-idle", "--json", *more])


def _running_on(data: Path, run: "subprocess.Popen[str]") -> Settings:
    _wait((data / wiring.RUNNING).exists, run, "it runs")
    return wiring.attached(None, data=data)


def _scored(settings: Settings) -> int:
    return totals(wiring.open_ledger(settings).entries()).scored


def _wait(reached: Callable[[], bool], run: "subprocess.Popen[str]", what: str, *, seconds: float = 900.0) -> None:
    until = time.monotonic() + seconds
    while not reached():
        assert run.poll() is None, run.communicate()[1][-3000:]
        assert time.monotonic() < until, f"not in time: {what}"
        time.sleep(0.2)
