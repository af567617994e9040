"""Dates of a query: periods, date math, and bounds."""

from datetime import UTC, datetime

import pytest

from search.dates import Period, bounds_ms, epoch_ms, is_relative, period, text_ms

NOW = datetime(2022, 11, 11, 14, 29, 37, 123456, tzinfo=UTC)  # a Friday


def ms(text: str) -> int:
    return epoch_ms(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2022", "2022-01-01", "2023-01-01"),
        ("2022-12", "2022-12-01", "2023-01-01"),
        ("2024-02", "2024-02-01", "2024-03-01"),
        ("2022-11-30", "2022-11-30", "2022-12-01"),
        ("2022-11-11T14", "2022-11-11T14:00", "2022-11-11T15:00"),
        ("2022-11-11T14:29", "2022-11-11T14:29", "2022-11-11T14:30"),
        ("2022-11-11T14:29:37", "2022-11-11T14:29:37", "2022-11-11T14:29:38"),
        ("2022-11-11T14:29:37.1", "2022-11-11T14:29:37.100", "2022-11-11T14:29:37.101"),
        ("2022-11-11T14:29:37.123456789Z", "2022-11-11T14:29:37.123", "2022-11-11T14:29:37.124"),
        ("2022-11-11T14:29+08:00", "2022-11-11T06:29", "2022-11-11T06:30"),
        ("2022-11-11T14-0530", "2022-11-11T19:30", "2022-11-11T20:30"),
        ("now", "2022-11-11T14:29:37.123", "2022-11-11T14:29:37.124"),
        ("now-2w", "2022-10-28T14:29:37.123", "2022-10-28T14:29:37.124"),
        ("now+1M", "2022-12-11T14:29:37.123", "2022-12-11T14:29:37.124"),
        ("now-9M-1y", "2021-02-11T14:29:37.123", "2021-02-11T14:29:37.124"),
        ("now/d", "2022-11-11", "2022-11-12"),
        ("now/w", "2022-11-07", "2022-11-14"),
        ("now/M", "2022-11-01", "2022-12-01"),
        ("now/y", "2022-01-01", "2023-01-01"),
        ("now-1d/d", "2022-11-10", "2022-11-11"),
        ("now/d-1h", "2022-11-10T23:00", "2022-11-10T23:00:00.001"),
        ("now-90m/h", "2022-11-11T12:00", "2022-11-11T13:00"),
        ("now-5H", "2022-11-11T09:29:37.123", "2022-11-11T09:29:37.124"),
        ("2024-01-31||+1M", "2024-02-29", "2024-02-29T00:00:00.001"),
        ("2024-12-31||+1M", "2025-01-31", "2025-01-31T00:00:00.001"),
        ("1668177000123", "2022-11-11T14:30:00.123", "2022-11-11T14:30:00.124"),
    ],
)
def test_a_date_names_its_period(text: str, start: str, end: str) -> None:
    assert period(text, NOW) == Period(ms(start), ms(end))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2022-13",
        "2022-02-30",
        "2022-11-11 14:29",
        "now-",
        "now-2",
        "now-2q",
        "now2w",
        "now-999999y",
        "2022||+",
        "22",
        "9" * 15,
    ],
)
def test_a_text_that_names_no_date_has_no_period(text: str) -> None:
    assert period(text, NOW) is None


def test_a_comparison_takes_the_period_whole() -> None:
    start, end = ms("2022-11-11"), ms("2022-11-12")
    assert bounds_ms(">=", "2022-11-11", NOW) == (start, None)
    assert bounds_ms(">", "2022-11-11", NOW) == (end, None)
    assert bounds_ms("<", "2022-11-11", NOW) == (None, start - 1)
    assert bounds_ms("<=", "2022-11-11", NOW) == (None, end - 1)
    assert bounds_ms(None, "2022-11-11", NOW) == (start, end - 1)


def test_only_now_moves_with_the_clock() -> None:
    assert is_relative("now-1d/d")
    assert not is_relative("2022-11-11||-1d")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2022-11-11T14:29:37Z", "2022-11-11T14:29:37"),
        ("2022-11-11T14:29:37.123999Z", "2022-11-11T14:29:37.123"),
        ("2022-11-11T22:29:37+08:00", "2022-11-11T14:29:37"),
        ("2022-11-11T14:29:37", "2022-11-11T14:29:37"),
    ],
)
def test_a_document_s_time_is_whole_milliseconds(text: str, moment: str) -> None:
    assert text_ms(text) == ms(moment)


def test_times_before_1970_round_down_too() -> None:
    assert text_ms("1969-12-31T23:59:59.9995Z") == -1
