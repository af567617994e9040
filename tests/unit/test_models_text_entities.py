"""Watchlists and the linking of their entities."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from models.text.entities import EntityLinker
from models.text.watchlist import Watchlist, WatchlistEntry, load_watchlist

WATCHLISTS = Path(__file__).parents[2] / "models" / "watchlists"
WORDS = frozenset({"apple", "target", "best", "buy", "all", "ceo"})

SMALL = Watchlist(
    (
        WatchlistEntry(id="AAPL", name="Apple", tickers=("AAPL",)),
        WatchlistEntry(id="APLE", name="Apple Hospitality REIT", tickers=("APLE",)),
        WatchlistEntry(id="TGT", name="Target", tickers=("TGT",), excludes=("price target",)),
        WatchlistEntry(id="BBY", name="Best Buy", tickers=("BBY",)),
        WatchlistEntry(id="ALL", name="Allstate", tickers=("ALL",)),
        WatchlistEntry(id="MCD", name="McDonald's", tickers=("MCD",)),
        WatchlistEntry(id="T", name="AT&T", tickers=("T",)),
        WatchlistEntry(id="BRK.B", name="Berkshire Hathaway", tickers=("BRK.B",)),
        WatchlistEntry(id="3333.HK", name="中国恒大", aliases=("恒大", "恒大集团", "Evergrande"), tickers=("3333.HK",)),
    )
)


@pytest.fixture(scope="module")
def linker() -> EntityLinker:
    return EntityLinker(SMALL, common_words=WORDS)


@pytest.fixture(scope="module")
def shipped() -> EntityLinker:
    return EntityLinker(load_watchlist(WATCHLISTS / "us.json").merged(load_watchlist(WATCHLISTS / "zh.yaml")))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Apple's new phone", ["AAPL:Apple"]),
        ("an apple a day, APPLE", []),
        ("Pineapple and Apples", []),
        ("Apple Hospitality REIT pays", ["APLE:Apple Hospitality REIT"]),
        ("Apple Hospitality REITs pay", ["AAPL:Apple"]),
        ("Raises Price Target at Target", ["TGT:Target"]),
        ("the best buy is Best Buy", ["BBY:Best Buy"]),
        ("buy $aapl, $BRK.B and AAPL. ALL in! $ALL", ["AAPL:$aapl", "BRK.B:$BRK.B", "AAPL:AAPL", "ALL:$ALL"]),
        ("$AAPLX, A$AAPL, aapl, AAPL-like", []),
        ("mcdonald’s and AT&amp;T and AT&T", ["MCD:mcdonald’s", "T:AT&amp;T", "T:AT&T"]),
        (
            "恒大集团回应：中国恒大没有违约，恒大Evergrande",
            ["3333.HK:恒大集团", "3333.HK:中国恒大", "3333.HK:恒大", "3333.HK:Evergrande"],
        ),
        ("$3333.HK", ["3333.HK:$3333.HK"]),
        ("read https://example.com/Apple now", []),
    ],
)
def test_links_whole_names_and_tickers(linker: EntityLinker, text: str, expected: list[str]) -> None:
    assert [f"{entity.id}:{entity.mention}" for entity in linker.link(text)] == expected


@given(st.text(alphabet=st.sampled_from("AaPpLle $T恒大İß\ud800’&\n"), max_size=60))
def test_offsets_index_the_text_as_given_and_mentions_do_not_overlap(text: str) -> None:
    entities = EntityLinker(SMALL, common_words=WORDS).link(text)
    assert all(text[entity.start : entity.end] == entity.mention for entity in entities)
    assert all(one.end <= other.start for one, other in itertools.pairwise(entities))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tesla and Ford slip as Goldman cuts its price target; Target rises", {"TSLA", "F", "GS", "TGT"}),
        ("$FB falls after Facebook outage, CEO says", {"META"}),
        ("FTX files for bankruptcy; Sam Bankman-Fried resigns", {"ftx"}),
        ("First Republic shares sink after SVB collapse", {"FRC", "SIVB"}),
        ("恒大财富暂停兑付，河南村镇银行储户", {"3333.HK", "rural-banks-henan"}),
        ("US GDP grew; the Fed and the SEC met ALL expectations", set()),
    ],
)
def test_the_shipped_lists_know_the_names_of_the_news(shipped: EntityLinker, text: str, expected: set[str]) -> None:
    assert {entity.id for entity in shipped.link(text)} == expected


def test_the_shipped_list_is_small_and_holds_the_market() -> None:
    path = WATCHLISTS / "us.json"
    assert path.stat().st_size < 1_000_000
    assert len(load_watchlist(path).entries) > 4000


def test_an_empty_watchlist_finds_nothing() -> None:
    assert EntityLinker(Watchlist(())).link("Apple $AAPL") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("entries:\n  - id: X\n    name: [a]\n", r"w\.yaml:3: name: Expected `str`"),
        ("entries:\n  - {id: X}\n", r"w\.yaml:2: .*missing required field `name`"),
        ("entries:\n  - {id: X, name: Ex}\n  - {id: X, name: Ey}\n", r"w\.yaml:3: id: id 'X' is used twice"),
        (
            "entries:\n  - {id: X, name: Ex}\n  - id: Y\n    name: Ey\n    aliases: [ex]\n",
            r"w\.yaml:5: aliases: 'ex' belongs to both",
        ),
        ("entries:\n  - id: X\n    name: Ex\n    tickers: [abc]\n", r"w\.yaml:4: tickers"),
        ("entries:\n  - {id: X, name: Ex, alias: y}\n", r"w\.yaml:2: .*unknown field `alias`"),
        ("entries: 3\n", r"w\.yaml:1: a watchlist is a mapping"),
        ("- a\n", r"w\.yaml:1: a watchlist is a mapping"),
        ("entries:\n  - {id: X\n", r"w\.yaml:\d"),
    ],
)
def test_a_broken_watchlist_is_refused_with_line_and_field(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_watchlist(path)


@pytest.mark.parametrize("text", ["{", "[]", '{"entries": 1}', '{"entries": [{"id": "x", "name": 1}]}'])
def test_broken_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "w.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"watchlist|Expecting|Expected"):
        load_watchlist(path)


def test_a_missing_watchlist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the watchlist"):
        load_watchlist(tmp_path / "none.yaml")


def test_yaml_values_stay_as_written(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("entries:\n  - {id: 0700, name: 'Yes', tickers: [ON, 0700.HK]}\n", encoding="utf-8")
    (entry,) = load_watchlist(path).entries
    assert (entry.id, entry.tickers) == ("0700", ("ON", "0700.HK"))


def test_merging_joins_an_id_and_lets_the_first_list_keep_a_name() -> None:
    first = Watchlist((WatchlistEntry(id="BABA", name="Alibaba", tickers=("BABA",)),))
    second = Watchlist(
        (
            WatchlistEntry(id="BABA", name="阿里巴巴", aliases=("Alibaba",), tickers=("BABA", "9988.HK")),
            WatchlistEntry(id="other", name="Alibaba", aliases=("Ali Other",)),
        )
    )
    baba, other = first.merged(second).entries
    assert (baba.surfaces, baba.tickers) == (("Alibaba", "阿里巴巴"), ("BABA", "9988.HK"))
    assert other.surfaces == ("Ali Other",)
