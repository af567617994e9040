"""Splitting news into sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text.sentences import paragraphs, sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Profit rose. Sales fell.", ["Profit rose.", "Sales fell."]),
        ("Apple Inc. fell 3.5 percent. It recovered.", ["Apple Inc. fell 3.5 percent.", "It recovered."]),
        ("The U.S. Senate voted. J. P. Morgan did not.", ["The U.S. Senate voted.", "J. P. Morgan did not."]),
        ('"We are done." Shares sank.', ['"We are done."', "Shares sank."]),
        ("Is it over? $TSLA says no!", ["Is it over?", "$TSLA says no!"]),
        ("See https://example.com/a.b for more. Thanks.", ["See https://example.com/a.b for more.", "Thanks."]),
        ("恒大回应：“没有违约。”股价仍跌8%！原因不明", ["恒大回应：“没有违约。”", "股价仍跌8%！", "原因不明"]),
        (
            "La banca cae. ¿Qué pasa? El Sr. Pérez, de EE.UU. Nada dijo.",
            ["La banca cae.", "¿Qué pasa?", "El Sr. Pérez, de EE.UU. Nada dijo."],
        ),
        ("Headline without a stop\n\nBody begins here. It ends.", ["Headline without a stop", "Body begins here.", "It ends."]),
    ],
)
def test_ends_sentences_where_a_reader_would(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet=st.sampled_from('aB1 .!?。！”"\n…¿'), max_size=200))
def test_loses_nothing_but_blanks(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_a_single_line_break_is_no_paragraph() -> None:
    assert paragraphs("one\ntwo\n \nthree") == ["one\ntwo", "three"]
