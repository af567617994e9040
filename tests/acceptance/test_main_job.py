"""The main job as a user runs it: the bundled samples, all parts, real models, a real receiver."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from alerts.evaluate import SeriesState, evaluate
from alerts.match import matches
from commands import wiring
from core.settings import load_settings
from servers.process import free_port
from tests.acceptance.product import Receiver, groundswell, open_receiver, start, summary_of

pytestmark = pytest.mark.acceptance
SAMPLES = wiring.SAMPLES
RUN: list[str | Path] = ["run", "--speed", "max", "--exit-when-idle", "--json"]


@dataclass(frozen=True)
class SampleRun:
    """A finished run over the samples."""

    data: Path
    summary: dict[str, Any]
    receiver: Receiver


@pytest.fixture(scope="module")
def sample_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleRun]:
    """One uninterrupted run, shared by the tests that look at its results."""
    data = tmp_path_factory.mktemp("run")
    with open_receiver() as receiver:
        done = groundswell(*RUN, "--data", data, "--port", str(free_port()), receiver=receiver)
        yield SampleRun(data, summary_of(done.stdout), receiver)


def lines(pattern: str) -> int:
    """How many records the sample files of a pattern hold."""
    return sum(len(path.read_bytes().splitlines()) for path in SAMPLES.glob(pattern))


def hits(data: Path, query: str) -> list[dict[str, Any]]:
    """All hits of a query, as `groundswell search` prints them."""
    done = groundswell("search", query, "--json", "--size", "10000", "--data", data)
    found = json.loads(done.stdout)
    assert found["total"] == len(found["hits"]) or found["total"] > 10_000
    return list(found["hits"])


def test_everything_read_is_scored_and_indexed_and_alerts_are_delivered(sample_run: SampleRun) -> None:
    summary = sample_run.summary
    assert summary["read"] == lines("news*.jsonl") + lines("social*.jsonl") + lines("transactions*.jsonl")
    assert summary["read"] == summary["scored"] + summary["dead"]
    assert summary["dead"] == 0
    assert summary["indexed"] == summary["scored"]
    assert summary["labels"] == lines("labels*.jsonl")
    assert summary["pending"] == 0
    delivered = sample_run.receiver.transitions
    assert sample_run.receiver.refused == []
    assert len(delivered) == summary["transitions"]  # the webhook gets each; the console's deliveries come on top
    assert summary["delivered"] == 2 * summary["transitions"]
    opened = {transition["rule"] for transition in delivered if transition["state"] == "active"}
    assert "fraud-payment" in opened


def test_an_alert_explains_itself(sample_run: SampleRun) -> None:
    surges = [
        each
        for each in sample_run.receiver.transitions
        if each["rule"].startswith("negative-surge") and each["state"] == "active"
    ]
    for surge in surges:
        assert surge["reason"] == "negative share surged"
        assert surge["evidence"]
        behind = {hit["id"] for hit in hits(sample_run.data, surge["query"])}
        assert set(surge["event_ids"]) <= behind


def test_no_alert_on_texts_is_lost(sample_run: SampleRun) -> None:
    """What fires over the same texts in event-time order has fired, though the topics raced and hold years that are far apart.

    More may fire: a window that holds few events yet is judged by what has come.
    """
    rules = wiring.open_rules(load_settings(environ={}, options={"rules": SAMPLES / "rules.yaml"}))
    states: dict[tuple[str, str], SeriesState] = {}
    expected = set()
    for document in sorted(hits(sample_run.data, "kind:(news or social)"), key=lambda hit: hit["time"]):
        for rule in rules.rules:
            for match in matches(rule, document):
                key = rule.name, json.dumps(match.group, sort_keys=True)
                states[key], transitions = evaluate(rule, states.get(key), match, decided=match.time)
                expected |= {key for each in transitions if each.state == "active"}
    active = [each for each in sample_run.receiver.transitions if each["state"] == "active"]
    found = {(each["rule"], json.dumps(each["group"], sort_keys=True)) for each in active}
    assert {rule for rule, _ in expected} >= {"negative-surge-company", "gloomy-company"}
    assert expected - found == set()


def test_alerts_are_listed(sample_run: SampleRun) -> None:
    done = groundswell("alerts", "list", "--json", "--limit", "10000", "--data", sample_run.data)
    listed = {json.loads(line)["alert_id"] for line in done.stdout.split("\n") if line}
    assert listed == {transition["alert_id"] for transition in sample_run.receiver.transitions}


def test_search_agrees_with_offline_scores(sample_run: SampleRun, tmp_path: Path) -> None:
    """The count of negative news in the index is that of the very texts scored by `groundswell score text`."""
    records = [json.loads(line) for path in sorted(SAMPLES.glob("news*.jsonl")) for line in path.read_bytes().splitlines()]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(
        "".join(
            json.dumps({"id": number, "text": record["title"], "lang": record.get("lang")}) + "\n"
            for number, record in enumerate(records)
        ),
        "utf-8",
    )
    groundswell("score", "text", "--input", source, "--output", target)
    scored = [json.loads(line) for line in target.read_bytes().splitlines()]
    assert [line["id"] for line in scored] == list(range(len(records)))
    offline = sum(line["sentiment"] is not None and line["sentiment"]["label"] == "negative" for line in scored)
    found = hits(sample_run.data, "kind:news and sentiment.label:negative and topic.label:*")
    assert len(found) == offline > 100
    chinese = hits(sample_run.data, "lang:zh")
    assert len(chinese) >= lines("news-hotlist-zh.jsonl")
    assert {hit["model"]["name"] for hit in chinese} == {"text-zh"}
    assert {hit["sentiment"]["label"] for hit in chinese} == {"negative", "neutral", "positive"}


def test_fraud_scores_agree_with_offline_scores(sample_run: SampleRun, tmp_path: Path) -> None:
    """Streamed scores are those of `groundswell score transactions`, whatever partitions the events raced through."""
    target = tmp_path / "out.jsonl"
    source, labels = SAMPLES / "transactions.jsonl", SAMPLES / "labels.jsonl"
    groundswell("score", "transactions", "--input", source, "--labels", labels, "--output", target)
    offline = {line["id"]: line["fraud_score"] for line in map(json.loads, target.read_bytes().splitlines())}
    streamed: dict[str, float] = {}
    for low, high in pairwise(shares_of(sorted(offline.values()), 8_000)):
        found = hits(sample_run.data, f"fraud_score >= {low:.9f} and fraud_score < {high:.9f}")
        streamed |= {hit["id"]: hit["fraud_score"] for hit in found}
    assert set(streamed) == set(offline)
    assert {name: score for name, score in streamed.items() if abs(score - offline[name]) > 1e-5} == {}


def shares_of(scores: list[float], most: int) -> list[float]:
    """Bounds between which lie at most `most` of the sorted scores, so that a search shows them all."""
    return [0.0, *(scores[place] for place in range(most, len(scores), most)), 1.1]


def test_a_worker_killed_in_mid_replay_loses_and_doubles_nothing(tmp_path: Path, receiver: Receiver) -> None:
    """kill -9 of the worker, three times, against the same broker: every event is indexed once and every alert is delivered."""
    source, data = tmp_path / "in", tmp_path / "data"
    texts, payments = third_of_the_samples(source)
    run = start([*RUN, "--input", source, "--data", data, "--port", str(free_port())], receiver)
    kills = 0
    for share in (0.1, 0.4, 0.7):
        _wait_until_scored(data, run, share * (texts + payments))
        os.kill(_worker_of(run.pid), signal.SIGKILL)
        kills += 1
    output, errors = run.communicate(timeout=900)
    assert run.returncode == 0, errors[-3000:]
    assert errors.count("child_restarted") >= kills == 3
    summary = summary_of(output)
    assert summary["read"] == summary["indexed"] == texts + payments
    assert 0 <= summary["scored"] - summary["read"] <= kills * 64  # at least once: texts of the batch at a kill
    assert summary["dead"] == summary["pending"] == 0
    assert len({hit["id"] for hit in hits(data, "kind:(news or social)")}) == texts
    frauds = {hit["id"] for hit in hits(data, "fraud_score >= 0.9")}
    alerted = {each["group"]["id"] for each in receiver.transitions if each["rule"] == "fraud-payment"}
    assert alerted == frauds != set()
    assert len(receiver.got) == summary["transitions"]  # one webhook-id each, however often it was sent


def third_of_the_samples(folder: Path) -> tuple[int, int]:
    """How many texts and payments the files hold that were written to the folder: the first third of each of the samples'."""
    folder.mkdir()
    counts = {}
    for path in SAMPLES.glob("*.jsonl"):
        records = path.read_bytes().splitlines(keepends=True)
        counts[path.stem] = len(records) // 3
        (folder / path.name).write_bytes(b"".join(records[: counts[path.stem]]))
    return sum(counts[name] for name in counts if name.startswith(("news", "social"))), counts["transactions"]


def _wait_until_scored(data: Path, run: "subprocess.Popen[str]", count: float) -> None:
    from streams.totals import totals

    until = time.monotonic() + 800
    while time.monotonic() < until:
        assert run.poll() is None, run.communicate()[1][-3000:]
        if (data / wiring.RUNNING).exists():
            settings = wiring.attached(None, data=data)
            if totals(wiring.open_ledger(settings).entries()).scored >= count:
                return
        time.sleep(0.2)
    raise AssertionError(f"{count:.0f} events were not scored in time")


def _worker_of(parent: int) -> int:
    """The process id of the worker that `groundswell run` with that process id started."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (worker,) = [int(child) for child in children if b"worker" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return worker
