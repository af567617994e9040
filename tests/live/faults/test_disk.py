"""The embedded tier's data folder on a disk that fills up in the middle of a load: index, SQLite and tables have no room."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.product import Receiver
from tests.live.faults.conftest import Tell
from tests.live.faults.load import under_load
from tests.live.faults.pipeline import Pipeline, outcome
from tests.live.kafka_server import KafkaServer

pytestmark = pytest.mark.live
DISK = "96m"
BLOCK = b"\0" * 65_536


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own; skips the test where this account may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"needs the right to mount a disk: {error}")
    if done.returncode:
        pytest.skip(f"needs the right to mount a disk: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def embedded(disk: Path, tmp_path: Path, receiver: Receiver) -> Iterator[Pipeline]:
    """A worker with the embedded index and SQLite on that disk, and a broker of its own."""
    with KafkaServer() as broker:
        opened = Pipeline(tmp_path, receiver, {"broker": broker.address, "data": str(disk / "data")})
        yield opened
        opened.close()


def test_the_disk_is_full(embedded: Pipeline, disk: Path, source: str, tell: Tell) -> None:
    embedded.start("a")
    with under_load(embedded.settings, source) as load:
        embedded.wait_for_progress()
        filler = disk / "filler"
        _fill(filler)
        tried, restarts = embedded.retries(), embedded.restarts
        embedded.wait(lambda: embedded.retries() > tried + 3 or embedded.restarts > restarts, "writes fail")
        load.wait_for(load.sent + 200)
        filler.unlink()
        embedded.wait_for_progress()
    embedded.wait_until_done()
    embedded.wait_for_alerts(load.alerting())
    control = f"{embedded.retries() - tried} batches tried again, worker restarted {embedded.restarts} times"
    tell("disk full, then free", outcome(load, embedded.documents(source)), control)


def _fill(file: Path) -> None:
    """Take all the room that is left."""
    with file.open("wb", buffering=0) as output:
        try:
            while True:
                output.write(BLOCK)
        except OSError:
            return
