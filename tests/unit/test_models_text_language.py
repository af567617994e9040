"""Language identification and the normalisation before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text.language import detect
from models.text.normalize import clean, duplicate_key, normalize


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$TSLA Tesla shares plunge after recall https://t.co/abc", "en"),
        ("RT @trader: $AAPL $GOOG $FB http://t.co/x", "en"),
        ("$AAPL +2% premkt", "en"),
        ("L$D", "en"),
        ("恒大集团债务危机持续发酵", "zh"),
        ("iPhone 15 Pro Max 发布：苹果股价跌2%", "zh"),
        ("SASA聚酯选用英威达PTA技术", "zh"),
        ("El Ibex 35 cae un 2 % arrastrado por la banca", "es"),
        ("Telefónica vende su filial y dispara el beneficio", "es"),
        ("トヨタ自動車の株価が下落した", "ja"),
        ("삼성전자 주가 하락", "ko"),
        ("Не много торговых возможностей в $AAPL", "ru"),
        ("Die Aktie der Deutschen Bank ist nach den Zahlen gefallen", "de"),
        ("Le titre de la banque chute après les résultats", "fr"),
        ("As ações da Petrobras não caíram após o balanço", "pt"),
        ("Het aandeel van de bank is met 5 procent gedaald", "nl"),
        ("", "und"),
        ("123,45 % 🚀", "und"),
        ("https://t.co/onlyalink", "und"),
    ],
)
def test_detects_what_the_texts_of_the_streams_are_in(text: str, expected: str) -> None:
    assert detect(text) == expected


@given(st.text(alphabet=st.characters(), max_size=300))
def test_no_string_is_too_odd_to_detect(text: str) -> None:
    assert 2 <= len(detect(text)) <= 3


def test_a_megabyte_costs_no_more_than_its_beginning() -> None:
    assert detect("the share price of the company fell " * 30_000) == "en"


def test_entities_are_decoded_and_urls_go_while_chinese_after_them_stays() -> None:
    assert normalize("AT&amp;T &gt; Verizon  https://t.co/x恒大违约 www.example.com/a?b=1") == "AT&T > Verizon 恒大违约"


def test_lone_surrogates_and_control_characters_become_blanks() -> None:
    assert normalize("a\ud800b\x00c\u200b d") == "a b c d"


def test_clean_keeps_the_paragraphs_that_long_texts_are_split_by() -> None:
    assert clean("Title\n\nBody") == "Title\n\nBody"


def test_copies_with_another_short_link_have_one_key() -> None:
    assert duplicate_key("Fed raises rates! https://t.co/aaa") == duplicate_key("fed raises rates https://t.co/bbb #")


@given(st.text(alphabet=st.characters(), max_size=300))
def test_normalised_text_can_be_encoded_and_is_one_line(text: str) -> None:
    result = normalize(text)
    result.encode()
    assert result == " ".join(result.split())
