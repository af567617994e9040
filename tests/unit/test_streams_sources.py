"""Files, formats and replay."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from core.codec import decode_transaction
from core.errors import ConfigError
from core.records import Label
from streams.sources.files import SourceRecord, input_files, read_file
from streams.sources.formats import built_in, load_format
from streams.sources.replay import MAX_GAP_S, Pace, merge

START = datetime(2020, 1, 1, tzinfo=UTC)

SPARKOV = """,trans_date_trans_time,cc_num,merchant,category,amt,trans_num,is_fraud
0,2020-06-21 12:14:25,2291163933867244,fraud_Kirlin and Sons,personal_care,2.86,2da90c7d74,0
1,2020-06-21 12:14:33,3573030041201292,fraud_Sporer-Keebler,personal_care,x,324cc20440,1
2,2020-06-21 12:14:53,3598215285024754,"fraud_Swaniawski, Nitzsche",health,41.28,c81755dbbb,1
"""


def records(times: list[float | None], kind: str = "news") -> Iterator[SourceRecord]:
    for line, seconds in enumerate(times, start=1):
        yield SourceRecord(kind, b"{}", None if seconds is None else START + timedelta(seconds=seconds), line)


def test_merge_keeps_the_order_of_event_times_and_of_each_file() -> None:
    merged = list(merge([records([0, 5, None, 9]), records([1, 6, 7], "social")]))
    assert [(record.kind, record.line) for record in merged] == [
        ("news", 1),
        ("social", 1),
        ("news", 2),
        ("news", 3),
        ("social", 2),
        ("social", 3),
        ("news", 4),
    ]


def test_pace_follows_event_time_at_its_speed_and_skips_long_silence() -> None:
    clock = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    pace = Pace(60.0, now_s=lambda: clock[0], sleep=sleep)
    for seconds in (0, 60, 30, 120, 120 + 365 * 86400):
        pace.wait_for(START + timedelta(seconds=seconds))
    assert slept == pytest.approx([1.0, 1.0, MAX_GAP_S / 60])


def test_pace_without_a_speed_never_sleeps() -> None:
    pace = Pace(None, sleep=lambda _: pytest.fail("slept"))
    pace.wait_for(START)
    pace.wait_for(START + timedelta(days=1))


def test_a_csv_file_becomes_transactions_and_labels(tmp_path: Path) -> None:
    file = tmp_path / "s.csv"
    file.write_text(SPARKOV, "utf-8")
    found = list(read_file(file, "transactions", load_format("sparkov")))
    assert [record.reason is None for record in found] == [True, False, True]
    assert "could not convert string to float: 'x'" in (found[1].reason or "")
    transaction = decode_transaction(found[2].raw, datetime(2021, 1, 1, tzinfo=UTC))
    assert (transaction.terminal_id, transaction.amount, transaction.currency) == ("fraud_Swaniawski, Nitzsche", 41.28, "USD")
    labels = [
        msgspec.json.decode(record.raw, type=Label)
        for record in read_file(file, "labels", load_format("sparkov"))
        if not record.reason
    ]
    assert [label.fraud for label in labels] == [False, True]
    assert labels[1].time - transaction.time == timedelta(days=7)
    assert found[2].message().key == b"c81755dbbb"


def test_a_csv_file_without_the_columns_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "s.csv"
    file.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(ConfigError, match=r"s\.csv:1: format 'handbook' needs the columns CUSTOMER_ID"):
        list(read_file(file, "transactions", load_format("handbook")))


def test_a_users_own_format(tmp_path: Path) -> None:
    mapping = tmp_path / "mine.yaml"
    mapping.write_text(
        "fields: {id: '{n}', time: '{at}', customer_id: 'c{who}', terminal_id: '{shop}', amount: '{eur}', currency: EUR}\n"
        "time_format: '%d.%m.%Y %H:%M'\ntime_zone: Europe/Madrid\n",
        "utf-8",
    )
    file = tmp_path / "mine.csv"
    file.write_text("n,at,who,shop,eur,note\n7,21.06.2020 12:00,1,s,$2.5,hi\n8,June,1,s,2,\n", "utf-8")
    first, second = read_file(file, "transactions", load_format(str(mapping)))
    transaction = decode_transaction(first.raw, datetime(2021, 1, 1, tzinfo=UTC))
    assert transaction.time == datetime(2020, 6, 21, 10, tzinfo=UTC)
    assert (transaction.amount, transaction.extra) == (2.5, {"note": "hi"})
    assert second.reason == "time: 'June' is no time of format %d.%m.%Y %H:%M"


@pytest.mark.parametrize("text", ["fields: {id: x}", "fieldz: {}", "- 1", "{"])
def test_a_bad_format_file_is_refused(tmp_path: Path, text: str) -> None:
    mapping = tmp_path / "bad.yaml"
    mapping.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        load_format(str(mapping))


def test_the_built_in_formats_load() -> None:
    assert built_in() == ["handbook", "sparkov", "tabformer"]
    for name in built_in():
        assert load_format(name).file.fraud_column
    with pytest.raises(ConfigError, match="the built-in ones are handbook, sparkov, tabformer"):
        load_format("swift")


def test_an_input_folder_tells_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no file named"):
        input_files(tmp_path)
    (tmp_path / "social-x.jsonl").write_bytes(b"")
    assert input_files(tmp_path) == [("social", tmp_path / "social-x.jsonl")]
    with pytest.raises(ConfigError, match="no such folder"):
        input_files(tmp_path / "none")
