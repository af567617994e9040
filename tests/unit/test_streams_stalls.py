"""When a worker stands still, and when Faust's own settings are refused."""

import pytest

from core.errors import ConfigError
from core.settings import Settings
from streams.app import _faust_app
from streams.stalls import Stall


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
