"""Records that no schema foresees, one in a hundred of a load."""

import json

import pytest

from tests.live.faults.conftest import Tell
from tests.live.faults.load import item, under_load
from tests.live.faults.pipeline import Pipeline, naive_harm, outcome

pytestmark = pytest.mark.live
EVERY = 100
FIRST = 33  # so that no event that alerts is one


def poison(source: str, number: int) -> bytes:
    """The record in place of an event; the kinds take turns."""
    whole = item(source, number)
    kinds = [
        whole[:-1],
        f"{source} {number}".encode(),
        json.dumps([source, number]).encode(),
        json.dumps({"id": number, "source": source, "published": 5, "title": ["a"]}).encode(),
        item(source, number, title="x" * 899_000),
        whole.replace(b"Event", b"Ev\0ent"),
        whole.replace(b"Event", b"Ev\xff\xfeent"),
        item(source, number, published="9999-12-31T00:00:00Z"),
    ]
    return kinds[number // EVERY % len(kinds)]


def test_poison(pipeline: Pipeline, source: str, tell: Tell) -> None:
    """What cannot be a record is a dead letter with its bytes; an escaped NUL in a text is a character like others."""
    pipeline.only("a")
    sent: dict[int, bytes] = {}

    def make(name: str, number: int) -> bytes:
        if number % EVERY != FIRST:
            return item(name, number, body="Ev\0ent") if number % EVERY == FIRST + 1 else item(name, number)
        sent[number] = poison(name, number)
        return sent[number]

    with under_load(pipeline.settings, source, rate_s=100, make=make) as load:
        pipeline.start_naive(source)
        load.wait_for(1_000)
    pipeline.wait_until_done()
    pipeline.wait_for_naive(source)
    assert pipeline.letters(source) == dict.fromkeys(sent.values(), 1)
    control = naive_harm(load, pipeline.naive_documents(source), dead=set(sent))
    pipeline.wait_for_alerts(load.alerting())
    tell("1 % poison", outcome(load, pipeline.documents(source), dead=set(sent)), control, letters=len(sent))
