"""The worker on a real Kafka: the same code as on the embedded broker, topics created, killed and restarted."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import kafka
import pytest
import tantivy
from kafka.admin import ConfigResource, ConfigResourceType

from commands import wiring
from tests.acceptance.product import Receiver, groundswell, open_receiver, start
from tests.live.kafka_server import KafkaServer

pytestmark = pytest.mark.live
SAMPLES = wiring.SAMPLES
FILES = {
    "news": "news-sentfin.jsonl",
    "social": "social-stocknet.jsonl",
    "transactions": "transactions.jsonl",
    "labels": "labels.jsonl",
}
TAKEN = {"news": 300, "social": 300, "transactions": 2_000, "labels": 500}


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaServer]:
    """A broker for this module."""
    with KafkaServer() as server:
        yield server


@pytest.fixture
def started() -> Iterator[list["subprocess.Popen[str]"]]:
    """Workers that the test starts; none outlives it."""
    workers: list[subprocess.Popen[str]] = []
    yield workers
    for worker in workers:
        worker.kill()
        worker.wait()


def json_lines(*arguments: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in groundswell(*arguments, "--json").stdout.splitlines()]


def lag(address: str) -> int:
    return sum(row["lag"] for row in json_lines("topics", "lag", "--broker", address))


def wait_until_done(address: str, worker: "subprocess.Popen[str]", *, seconds: float = 600) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert worker.poll() is None, worker.communicate()[1][-3000:]
        if lag(address) == 0:
            return
        time.sleep(0.5)
    raise AssertionError(f"the worker is still {lag(address)} messages behind")


def test_the_whole_path_with_a_kill_in_the_middle(
    broker: KafkaServer, tmp_path: Path, started: list["subprocess.Popen[str]"]
) -> None:
    data, address = tmp_path / "data", broker.address
    with open_receiver() as receiver:
        worker = _start_worker(address, data, receiver)
        started.append(worker)
        _wait_for_topics(address, worker)
        _ingest_samples(address, tmp_path)
        groundswell("ingest", "news", "-", "--broker", address, stdin="{broken\n")
        _wait_for_scored(address, worker, at_least=500)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        worker = _start_worker(address, data, receiver)
        started.append(worker)
        wait_until_done(address, worker)
        _check_index(data)
        _check_changelogs(address)
        _mend_the_dead_letter(address, tmp_path)
        wait_until_done(address, worker)
        assert search_total(data, 'title:"mended title"') == 1
        _check_conservation(address, data)
        frauds = json.loads(groundswell("search", "fraud_score >= 0.9", "--json", "--data", data).stdout)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
        assert {each["group"]["id"] for each in receiver.transitions if each["rule"] == "fraud-payment"} >= {
            hit["id"] for hit in frauds["hits"]
        }
        assert receiver.refused == []
    _check_that_a_lost_document_is_told(address, data)


def search_total(data: Path, query: str) -> int:
    total = json.loads(groundswell("search", query, "--json", "--size", "0", "--data", data).stdout)["total"]
    assert isinstance(total, int)
    return total


def _start_worker(address: str, data: Path, receiver: Receiver) -> "subprocess.Popen[str]":
    return start(["worker", "--broker", address, "--data", data], receiver)


def _wait_for_topics(address: str, worker: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert worker.poll() is None, worker.communicate()[1][-3000:]
        topics = {row["topic"]: row["partitions"] for row in json_lines("topics", "list", "--broker", address)}
        if topics.get("alerts.transitions.dead") == 4:
            return
        time.sleep(0.5)
    raise AssertionError("the worker did not create its topics")


def _ingest_samples(address: str, folder: Path) -> None:
    for kind, name in FILES.items():
        part = folder / name
        lines = (SAMPLES / name).read_bytes().splitlines(keepends=True)
        part.write_bytes(b"".join(lines[: TAKEN[kind]]))
        told = groundswell("ingest", kind, part, "--broker", address).stderr
        assert f"sent {TAKEN[kind]} records to {kind}.raw, 0 to {kind}.raw.dead" in told


def _wait_for_scored(address: str, worker: "subprocess.Popen[str]", *, at_least: int) -> None:
    until = time.monotonic() + 300
    while time.monotonic() < until:
        assert worker.poll() is None, worker.communicate()[1][-3000:]
        rows = {row["topic"]: row["messages"] for row in json_lines("topics", "list", "--broker", address)}
        if rows["transactions.scored"] + rows["text.scored"] >= at_least:
            return
        time.sleep(0.2)
    raise AssertionError("nothing was scored in time")


def _check_index(data: Path) -> None:
    assert search_total(data, "kind:news") == TAKEN["news"]
    assert search_total(data, "kind:social") == TAKEN["social"]
    assert search_total(data, "kind:transaction") == TAKEN["transactions"]


def _check_changelogs(address: str) -> None:
    """They are compacted, but for what a former owner may just have written."""
    names = [f"groundswell-{table}-changelog" for table in ("customers", "labels", "series", "terminals")]
    with closing(kafka.KafkaAdminClient(bootstrap_servers=address)) as admin:
        found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    kept = {topic: {name: each["value"] for name, each in config.items()} for topic, config in found["topic"].items()}
    assert kept == {name: {"cleanup.policy": "compact", "min.compaction.lag.ms": "300000"} for name in names}


def _check_conservation(address: str, data: Path) -> None:
    lines = json_lines("ledger", "--deep", "--wait", "300", "--broker", address, "--data", data)
    assert [line["of"] for line in lines if line["holds"] is not True] == []
    (index,) = (line for line in lines if line["check"] == "index")
    assert index["ids"] == index["documents"] == sum(TAKEN.values()) - TAKEN["labels"] + 1
    (letters,) = (line for line in lines if line["check"] == "dead letters")
    assert (letters["counted"], letters["letters"]) == (1, 1)


def _check_that_a_lost_document_is_told(address: str, data: Path) -> None:
    lost = json.loads(groundswell("search", "kind:news", "--json", "--size", "1", "--data", data).stdout)["hits"][0]["id"]
    writer = tantivy.Index.open(str(data / "index")).writer()
    writer.delete_documents_by_term("id", lost)
    writer.commit()
    writer.wait_merging_threads()
    told = groundswell("ledger", "--deep", "--broker", address, "--data", data, status=1).stderr
    assert f"events in the index does not hold: 1 missing: {lost}" in told
    assert groundswell("ledger", "--broker", address, "--data", data).stderr == ""
    assert "; 0 refused; 0 are no longer" in groundswell("index", "rebuild", "--broker", address, "--data", data).stdout
    assert groundswell("ledger", "--deep", "--broker", address, "--data", data).stderr == ""


def _mend_the_dead_letter(address: str, folder: Path) -> None:
    (letter,) = json_lines("dead", "list", "--broker", address)
    assert (letter["topic"], letter["stage"]) == ("news.raw", "score_texts")
    assert groundswell("dead", "show", letter["place"], "--broker", address).stdout.endswith("{broken\n")
    mended = folder / "mended.json"
    mended.write_text('{"published": "2022-11-08T00:00:00Z", "source": "test", "title": "A mended title"}', "utf-8")
    groundswell("dead", "replay", letter["place"], "--with", mended, "--broker", address)
