"""When a worker stands still, and when Faust's own settings are refused."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from core.errors import ConfigError, Retryable
from core.settings import Settings
from core.topics import LABELS_RAW
from streams.app import _faust_app
from streams.stalls import Stall, StallWatch


def test_what_waits_and_does_not_move_is_stalled_since_it_last_moved() -> None:
    stall = Stall()
    timeline = [(0.0, 1, True), (5.0, 1, True), (10.0, 2, True), (15.0, 2, True), (20.0, 2, False), (25.0, 2, True)]
    assert [stall.seconds(now, mark, waits=waits) for now, mark, waits in timeline] == [0.0, 5.0, 0.0, 5.0, 0.0, 5.0]


def test_exactly_once_is_refused_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCESSING_GUARANTEE", "exactly_once")
    with pytest.raises(ConfigError, match="unset PROCESSING_GUARANTEE"):
        _faust_app(Settings())


def test_at_least_once_is_not() -> None:
    assert _faust_app(Settings()).conf.processing_guarantee.value == "at_least_once"


def test_a_database_that_is_away_is_no_stall_and_no_crash() -> None:
    place = TP(LABELS_RAW.name, 0)

    async def position(_: TP) -> int:
        return 0

    def worked_to(*_: Any) -> int:
        raise Retryable("the database did not answer")

    consumer = SimpleNamespace(
        assignment=lambda: {place}, highwater=lambda _: 0, _read_offset={place: 5}, position=position, _committed_offset={}
    )
    recovery = SimpleNamespace(applied=0)
    app = SimpleNamespace(consumer=consumer, rebalancing=False, in_recovery=False, tables=SimpleNamespace(recovery=recovery))
    runner: Any = SimpleNamespace(steps=0, places=SimpleNamespace(worked_to=worked_to, settled=lambda _: None))
    seconds = iter((0.0, 400.0))
    watch = StallWatch(app, runner, limit_s=300.0, now_s=lambda: next(seconds))
    assert [asyncio.run(watch._unworked_s()) for _ in range(2)] == [0.0, 0.0]
