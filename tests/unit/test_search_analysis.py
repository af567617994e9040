"""One analyzer for texts and queries."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import utc_now
from search.analysis import MAX_TOKEN_CHARS, analyze, any_pattern, any_word, joined, phrase
from search.nodes import FieldMatch, FieldPhrase
from search.predicate import compile_predicate

LETTERS = "abAB09 _'’-.,$#恒大集团カナがé\u0301हिन्दีไทย\U00020000İß\ue000½ﬁＡ"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \n!?…", []),
        ("Evergrande MISSES payment", ["evergrande", "misses", "payment"]),
        ("$AAPL #earnings @bull", ["aapl", "earnings", "bull"]),
        ("Tesla's don't O’Neill’s", ["tesla", "don't", "o'neill"]),
        ("rose 3.5% to 1,250.75, then fell.", ["rose", "3.5", "to", "1,250.75", "then", "fell"]),
        ("S&P 500 U.S. covid-19", ["s", "p", "500", "u", "s", "covid", "19"]),
        ("恒大集团", ["恒大", "大集", "集团"]),
        ("恒", ["恒"]),
        ("恒大，碧桂园", ["恒大", "碧桂", "桂园"]),
        ("A股涨3.5%", ["a", "股涨", "3.5"]),
        ("東京タワー", ["東京", "京タ", "タワ", "ワー"]),
        ("ＡＢＣ ﬁnance ½", ["abc", "finance", "1", "2"]),
        ("naïve na\u0131ve cafe\u0301", ["naïve", "naıve", "café"]),
        ("हिन्दी समाचार", ["हिन्दी", "समाचार"]),
        ("снова ДЕФОЛТ", ["снова", "дефолт"]),
        ("snake_case a_b", ["snake_case", "a_b"]),
    ],
)
def test_a_text_is_cut_into_its_tokens(text: str, tokens: list[str]) -> None:
    assert analyze(text) == tokens


def test_a_token_is_cut_to_its_longest() -> None:
    assert analyze("x" * 300 + " é" + "y" * 300) == ["x" * MAX_TOKEN_CHARS, "é" + "y" * (MAX_TOKEN_CHARS - 1)]
    assert analyze("x" * 300) == ["x" * MAX_TOKEN_CHARS]
    assert len(analyze("恒大" * 200)) == 399


@given(st.text(alphabet=LETTERS, max_size=40) | st.text(max_size=40))
def test_tokens_hold_no_space_and_survive_being_joined(text: str) -> None:
    tokens = analyze(text)
    assert joined(text).split(" ")[1:-1] == (tokens or [""])
    assert not any(re.search(r"\s", token) for token in tokens)


@given(st.text(alphabet=[chr(code) for code in range(128)], max_size=60))
def test_the_fast_way_for_ascii_equals_the_general_one(text: str) -> None:
    general = analyze(f"{text} é")
    assert analyze(text) == general[:-1]


@given(st.text(alphabet="恒大集团违约", min_size=1, max_size=12), st.data())
def test_a_han_query_finds_exactly_the_texts_that_hold_it(text: str, data: st.DataObject) -> None:
    sought = data.draw(st.text(alphabet="恒大集团违约", min_size=1, max_size=4))
    for node in (FieldMatch("title", sought), FieldPhrase("title", sought)):
        assert compile_predicate(node, clock=utc_now)({"title": f"A {text}。"}) == (sought in text)


def test_a_bare_value_asks_for_any_word_and_a_han_group_for_all_of_it() -> None:
    assert any_word("covid-19 恒大集") == (((("covid",),),), ((("19",),),), ((("恒大",), ("大集",)),))
    assert any_word("!") == ()
    assert phrase("?") == ()


def test_a_lone_han_character_may_be_half_of_a_bigram() -> None:
    assert any_word("涨") == (((("", "涨", ""),),),)
    assert phrase("A股") == (((("a",), ("股", "")),),)
    assert phrase("股 A") == (((("", "股"), ("a",)),),)


def test_a_wildcard_stays_within_a_word() -> None:
    assert any_pattern(("", "")) == ()
    assert any_pattern(("covid-1", "")) == (((("covid",), ("1", "")),),)
    assert any_pattern(("x" * 300, "")) == ()
    assert any_pattern(("恒大", "")) == (((("恒大",),),),)


@given(st.text(alphabet=LETTERS, max_size=40))
def test_marks_elsewhere_in_a_text_change_no_token(text: str) -> None:
    assert analyze(f"{text} é न्") == [*analyze(f"{text} é"), "न्"]
