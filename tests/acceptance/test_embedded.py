"""The embedded tier under strain: more than its broker keeps, bad input, a dead receiver, Ctrl-C, posts over HTTP."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import kafka
import pytest

from servers.process import free_port
from streams.embedded import EMBEDDED_VERSION, EmbeddedBroker
from tests.acceptance.product import ROOT, SECRET, Receiver, groundswell, start, summary_of

pytestmark = pytest.mark.acceptance
KEPT_BYTES = 5 * 1024**2  # by the embedded broker, a partition
WORDS = "banque marché action dette taux perte gain fusion crise prêt or pétrole euro bourse fonds".split()


def news(number: int, *, title: str = "Shares fell sharply", body: str | None = None, lang: str | None = None) -> dict[str, Any]:
    """A news item of the year 2022."""
    published = f"2022-11-{1 + number // 86400 % 28:02}T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    return {"id": str(number), "published": published, "source": "test", "title": title, "body": body, "lang": lang}


def write(path: Path, records: list[Any]) -> None:
    path.write_bytes(b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in records))


def search_total(data: Path, query: str) -> int:
    total = json.loads(groundswell("search", query, "--json", "--size", "0", "--data", data).stdout)["total"]
    assert isinstance(total, int)
    return total


def run_on(folder: Path, tmp_path: Path, *more: str | Path, receiver: Receiver | None = None, status: int = 0) -> dict[str, Any]:
    """A run over a folder to its end; its summary."""
    arguments = [
        "run",
        "--input",
        folder,
        "--data",
        tmp_path / "data",
        "--port",
        str(free_port()),
        "--exit-when-idle",
        "--json",
        *more,
    ]
    return summary_of(groundswell(*arguments, receiver=receiver, status=status).stdout)


def test_control_the_embedded_broker_forgets_what_nobody_reads() -> None:
    """Without the gate there is a loss: this is the fault that the next test survives."""
    with EmbeddedBroker() as broker:
        options: dict[str, Any] = {
            "bootstrap_servers": broker.address,
            "api_version": tuple(map(int, EMBEDDED_VERSION.split("."))),
        }
        producer = kafka.KafkaProducer(**options)
        for _ in range(3 * KEPT_BYTES // 50_000):
            producer.send("news.raw", b"x" * 50_000, partition=0)
        producer.flush()
        consumer = kafka.KafkaConsumer(**options)
        place = kafka.TopicPartition("news.raw", 0)
        assert consumer.beginning_offsets([place])[place] > 0
        consumer.close()
        producer.close()


def test_four_times_what_the_broker_keeps_goes_through_without_loss(tmp_path: Path) -> None:
    pick = random.Random(0)
    folder = tmp_path / "in"
    folder.mkdir()
    count = 4 * KEPT_BYTES * EmbeddedBroker.partitions // 100_000
    bodies = [" ".join(pick.choices(WORDS, k=16_000)) for _ in range(8)]
    write(folder / "news.jsonl", [news(n, title=f"Titre {n}", body=bodies[n % 8], lang="fr") for n in range(count)])
    assert (folder / "news.jsonl").stat().st_size > 4 * KEPT_BYTES * EmbeddedBroker.partitions * 0.9
    summary = run_on(folder, tmp_path)
    assert (summary["read"], summary["scored"], summary["indexed"], summary["dead"]) == (count, count, count, 0)
    assert search_total(tmp_path / "data", "lang:fr") == count


def test_bad_records_are_dead_letters_and_everything_else_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    payment = {
        "id": "p1",
        "time": "2022-11-08T00:00:00Z",
        "customer_id": "c",
        "terminal_id": "t",
        "amount": 5.0,
        "currency": "EUR",
    }
    bad = [
        b"\xff\xfe broken",
        b"{not json",
        b"[1, 2]",
        {"source": "test", "title": "no date"},
        news(1) | {"published": "3022-01-01T00:00:00Z"},
        news(2) | {"title": 7},
        news(3) | {"body": "x" * 950_000},
        news(4) | {"body": "y" * 300_000},
    ]
    write(folder / "news.jsonl", [news(10), *bad, news(11, title="Profit rises at Apple")])
    write(
        folder / "transactions.jsonl", [payment, payment | {"id": "p2", "currency": "XXQ"}, payment | {"id": "p3", "amount": -1}]
    )
    write(folder / "labels.jsonl", [{"transaction_id": "p1", "fraud": "maybe", "time": "2022-11-09T00:00:00Z"}])
    summary = run_on(folder, tmp_path)
    assert (summary["read"], summary["scored"], summary["indexed"], summary["dead"]) == (13, 3, 3, 10)
    data = tmp_path / "data"
    letters = [json.loads(line) for line in groundswell("dead", "list", "--json", "--data", data).stdout.splitlines()]
    reasons = sorted(letter["reason"] for letter in letters)
    assert len(reasons) == 11  # the label's too
    wanted = (
        "not UTF-8",
        "not JSON",
        "is required",
        "future",
        "Expected `str`",
        "ISO 4217",
        "at most 900000",
        "300000 char",
        "`bool`",
    )
    for part in wanted:
        assert any(part in reason for reason in reasons), (part, reasons)
    (broken,) = [letter for letter in letters if "not UTF-8" in letter["reason"]]
    show = [sys.executable, "-m", "groundswell", "dead", "show", broken["place"], "--data", str(data)]
    shown = subprocess.run(show, cwd=ROOT, capture_output=True, check=True)
    assert shown.stdout.endswith(b"\xff\xfe broken\n")


def test_a_receiver_that_is_down_holds_up_nothing_but_its_deliveries(tmp_path: Path, receiver: Receiver) -> None:
    folder, rules = tmp_path / "in", tmp_path / "rules.yaml"
    folder.mkdir()
    rules.write_text(
        f"""receivers:
  - {{name: down, type: webhook, url: "http://127.0.0.1:{free_port()}/", secret: "{SECRET}", allow_private: true}}
  - {{name: up, type: webhook, url: "{receiver.url}", secret: "{SECRET}", allow_private: true}}
rules:
  - {{name: any-apple, filter: "entities.id:AAPL", severity: info, group_by: [id], receivers: [down, up], threshold: {{}}}}
""",
        "utf-8",
    )
    write(folder / "news.jsonl", [news(n, title=f"Apple recalls product {n}") for n in range(20)])
    summary = run_on(folder, tmp_path, "--rules", rules, status=1)
    assert (summary["indexed"], summary["matches"]) == (20, 20)
    assert len(receiver.transitions) == summary["transitions"]
    assert (summary["delivered"], summary["pending"]) == (summary["transitions"], summary["transitions"])


def test_ctrl_c_finishes_what_is_in_flight(tmp_path: Path) -> None:
    folder, data, port = tmp_path / "in", tmp_path / "data", free_port()
    folder.mkdir()
    write(folder / "news.jsonl", [news(n, title=f"Shares of Apple fell {n} percent") for n in range(20_000)])
    run = start(["run", "--input", folder, "--data", data, "--port", str(port), "--speed", "60", "--json"])
    _wait_until_served(port, run)
    posted = httpx.post(f"http://127.0.0.1:{port}/api/events/news", json=[news(9_000, title="Posted"), {"title": "bad"}])
    assert (posted.status_code, posted.json()["accepted"], len(posted.json()["rejected"])) == (202, 1, 1)
    groundswell("ingest", "news", "-", "--data", data, stdin=json.dumps(news(9_001, title="Ingested")) + "\n")
    time.sleep(3)
    run.send_signal(signal.SIGINT)
    output, errors = run.communicate(timeout=700)
    assert run.returncode == 0, errors[-3000:]
    summary = summary_of(output)
    assert summary["read"] == summary["scored"] == summary["indexed"] < 20_000
    assert search_total(data, 'title:"Posted"') == search_total(data, 'title:"Ingested"') == 1
    (letter,) = [json.loads(line) for line in groundswell("dead", "list", "--json", "--data", data).stdout.splitlines()]
    assert letter["stage"] == "ingest"


def test_two_runs_on_one_folder_are_refused(tmp_path: Path) -> None:
    folder, port = tmp_path / "in", free_port()
    folder.mkdir()
    write(folder / "news.jsonl", [news(1)])
    first = start(["run", "--input", folder, "--data", tmp_path / "data", "--port", str(port), "--json"])
    _wait_until_served(port, first)
    refused = groundswell("run", "--input", folder, "--data", tmp_path / "data", "--port", str(free_port()), status=2)
    assert "another groundswell uses this folder" in refused.stderr
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--input", "/nowhere"], "no such folder"),
        (["run", "--rules", "/nowhere.yaml"], "nowhere.yaml"),
        (["run", "--speed", "fast"], "neither a positive number nor max"),
        (["search", "a:(b", "--data", "/tmp"], "^"),
        (["ingest", "transactions", "x.csv"], "needs --format"),
        (["worker", "--broker", "127.0.0.1:1"], "no Kafka broker answers"),
        (["models", "show", "none/1"], "no model 'none/1' in"),
    ],
)
def test_what_a_person_got_wrong_is_told_in_a_line(arguments: list[str], message: str) -> None:
    done = groundswell(*arguments, status=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def _wait_until_served(port: int, run: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert run.poll() is None, run.communicate()[1][-3000:]
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError("the page was not served in time")
