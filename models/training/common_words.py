"""`python -m models.training.common_words --data DIR --out FILE`: the words that are no company unless written as one.

They come from the labelled texts themselves: what people write in lower case is a word (apple, target), and capitals that
appear without a cashtag more often than with one are an acronym (CEO, GDP). The encoder's vocabulary adds words of three or
four letters, the length of a ticker, that the texts hold too seldom (cat, dash).
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from core.errors import GroundswellError
from models.training.text.bases import minilm, whole_words
from models.training.text.sets import SETS, read_sets

_TAG = re.compile(r"\$(?P<cashtag>[A-Za-z]{1,6})\b|[@#]\w+")
_TOKEN = re.compile(r"(?<![\w'’.])[A-Za-z]{2,}(?![\w’]|\.\w)")
_WORD_COUNT = 2  # once may be a slip; twice in lower case is use
_ACRONYM_COUNT = 3
_ACRONYM_LETTERS = 5
_TICKER_LETTERS = (3, 4)
# Acronyms of finance and politics that the texts hold too seldom to be counted.
_ACRONYMS = (
    "adr api app apr arr atm bbc bls boe boj btc cagr capex cbo cdc cds ceo cfo cia cnn coo cpi cso cto dao dax dcf defi doe doj eba "
    "ebit ecb eia eps esg eta etf eth eu eur eurusd ev faa faq fbi fcc fda fdi fed ffr fomc forex ftc ftse gaap gbp gdp gmt gpu "
    "hft hq hr ico iea imf ipo irs ism ira iso jpy kyc lbo llc ltd mit mou mom nasa nasdaq nato nav nba nfl nft nfp nhl nhs nlp nsa nyc "
    "nymex nyse oecd opec otc pce pdf pmi ppi ppp pr qe qoq rba rbi reit roe roi rsi saas sba sdr sec spac spx ssr sec swift tarp "
    "bonk silo tips tron tsa tv uae uk un usa usd usda ust vat vc vix vpn vwap wfh who wsj wti wto ytd yoy"
)


def common_words(texts: Iterable[str]) -> list[str]:
    """Words and acronyms of the texts, in lower case, sorted.

    >>> words = common_words(["an apple a day", "apple is an apple", "$NVDA up", "NVDA", "its CEO", "CEO", "CEO of X"])
    >>> [word in words for word in ("apple", "ceo", "nvda")]
    [True, True, False]
    """
    words: Counter[str] = Counter()
    capitals: Counter[str] = Counter()
    cashtags: Counter[str] = Counter()
    for text in texts:
        cashtags.update(match["cashtag"].lower() for match in _TAG.finditer(text) if match["cashtag"])
        tokens = _TOKEN.findall(_TAG.sub(" ", text))
        words.update(token for token in tokens if token.islower())
        capitals.update(token.lower() for token in tokens if token.isupper() and len(token) <= _ACRONYM_LETTERS)
    found = {word for word, count in words.items() if count >= _WORD_COUNT and count >= cashtags[word]}
    found |= {word for word, count in capitals.items() if count >= _ACRONYM_COUNT and count > 2 * cashtags[word]}
    return sorted(found | set(_ACRONYMS.split()))


def main(
    data: Annotated[Path, typer.Option(help="Folder that holds the labelled sets.")],
    out: Annotated[Path, typer.Option(help="The word list to write, one word a line.")],
) -> None:
    """Write the words and acronyms of the labelled sets."""
    english = [each.name for each in SETS.values() if each.lang == "en"]
    found = set(common_words(example.text for example in read_sets(data, english)))
    words = sorted(found | {word for word in whole_words(minilm()) if len(word) in _TICKER_LETTERS})
    out.write_text("\n".join(words) + "\n", encoding="utf-8")
    print(f"{len(words)} words in {out}")


if __name__ == "__main__":
    try:
        typer.run(main)
    except GroundswellError as error:
        sys.exit(f"error: {error}")
