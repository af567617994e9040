"""Which language a text is in: script first, then function words, then lingua's n-gram models for short Latin-script text."""

import re
import unicodedata
from collections import Counter
from functools import cache

from lingua import IsoCode639_1, LanguageDetector, LanguageDetectorBuilder

from models.text.normalize import clean

UNDETERMINED = "und"  # ISO 639-2's code for undetermined
_SAMPLE = 600  # characters looked at: a headline is 80, a post 280, and a long text says its language at once
_NGRAM_SAMPLE = 160  # lingua's time grows with length; beyond this its answer did not change on 5,000 tweets and headlines
# Six languages cost 164 MB and 5,000 short texts a second, thirteen 320 MB and 2,500; the low-accuracy models take 13 MB but
# called 1.3 % of English financial tweets foreign instead of 0.5 %. The other languages are known by their function words alone.
_NGRAM_LANGUAGES = ("en", "es", "pt", "fr", "de", "it")
# Posts of English speakers carry names and jargon of every origin, so English wins near ties; each function word of a
# language multiplies its probability. A prior of 100 began to cost Spanish headlines (FinancES .991 -> .980).
_ENGLISH_PRIOR = 20.0
_WORD_ODDS = 8.0
_FUNCTION_WORDS = {
    "en": "the of to and in is for on with at by from as its it are was will be after has that this than not you your how why what i "
    "we they he she his her my me us our can could would should may says said new up down more but or if all about just now here "
    "today over into out off amid an do does did been were who when which there their some any so no",
    "es": "el la los las de del y en un una por para con que se al su lo es más sus ante tras sobre como según pero ya le",
    "pt": "o os as de do da dos das e em um uma por para com que não ao à seu sua mais na no nas nos é foi pelo pela ou",
    "fr": "le la les de du des et en un une pour par avec que qui dans sur au aux est pas plus ses son sa ne ce cette l d",
    "de": "der die das und von zu den dem des ein eine einen für mit auf ist im nicht sich aus nach bei wird auch als über",
    "it": "il lo la i gli le di del della dei e un una per con che non in al alla da dal più sono nel nella è si su ha",
    "nl": "de het een van en in is op voor met dat te zijn niet aan bij door uit naar over om ook als maar wordt",
    "ca": "el la els les de del i en un una per amb que al als es no més seva seu ha però són dels aquest",
    "tr": "ve bir bu için ile da de olarak en daha çok olan yüzde var gibi sonra kadar değil",
    "pl": "i w na z do się nie o że jest po za od przez dla jak ale oraz ma są to",
    "id": "dan yang di ke dari untuk dengan ini itu pada akan tidak dalam juga oleh bisa",
    "ro": "și în de la cu pe din un o pentru care este mai nu al ale să a fost prin",
    "sv": "och i att en ett det som på för med av är den till om inte har från",
}
_WORDS = {code: frozenset(words.split()) for code, words in _FUNCTION_WORDS.items()}
_SCRIPTS = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CYRILLIC": "ru",
    "ARABIC": "ar",
    "HEBREW": "he",
    "GREEK": "el",
    "THAI": "th",
    "DEVANAGARI": "hi",
    "BENGALI": "bn",
    "TAMIL": "ta",
    "ARMENIAN": "hy",
    "GEORGIAN": "ka",
}
_CASHTAG = re.compile(r"\$[A-Za-z]")
_TAGS = re.compile(r"[$@]\w+|#(?=\w)|\bRT\b")  # cashtags and names say nothing of the language; a hashtag's word does
_LATIN_WORD = re.compile(r"[^\W\d_]+")
_SHORTEST_WORD = 3  # tickers and initials such as "L$D" say nothing of a language
_HAN_WEIGHT = 4  # a Chinese character carries about four letters: Latin names do not make a Chinese title English


def detect(text: str) -> str:
    """The ISO 639-1 code of the text's language, or `und` where it has no letters.

    Cashtags and URLs are looked through; a text of nothing but cashtags is English, as they are an English-language custom.

    >>> detect("$TSLA Tesla shares slump after earnings miss https://t.co/x"), detect("恒大债务危机")
    ('en', 'zh')
    >>> detect("El Ibex cae un 2 % tras los resultados de la banca"), detect("123 %")
    ('es', 'und')
    """
    cleaned = clean(text[:_SAMPLE])
    if cleaned.isascii():
        return _latin(cleaned)
    script = _script(cleaned)
    return _latin(cleaned) if script is None else script


def _script(text: str) -> str | None:
    """The language that the text's script alone decides; None where Latin letters prevail or there are none."""
    scripts = Counter(_script_of(character) for character in _TAGS.sub(" ", text) if character > "\x7f" or character.isalpha())
    scripts.pop("", None)
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    han = scripts["CJK"]
    if han + kana > 0 and (han + kana) * _HAN_WEIGHT >= scripts["LATIN"] + scripts["HANGUL"]:
        return "ja" if kana * 10 > han else "zh"
    others = [(count, name) for name, count in scripts.items() if name in _SCRIPTS]
    count, name = max(others, default=(0, ""))
    return _SCRIPTS[name] if count > scripts["LATIN"] else None


@cache
def _script_of(character: str) -> str:
    """The first word of a letter's Unicode name, which names its script; empty for what is no letter."""
    return unicodedata.name(character, "").split(" ", 1)[0] if character.isalpha() else ""


def _latin(text: str) -> str:
    bare = _TAGS.sub(" ", text)
    words = _LATIN_WORD.findall(bare.lower())
    if not words:
        return "en" if _CASHTAG.search(text) else UNDETERMINED
    if max(map(len, words)) < _SHORTEST_WORD:
        return "en"
    distinct = set(words)
    hits = {code: len(distinct & vocabulary) for code, vocabulary in _WORDS.items()}
    best, second = sorted(hits.values(), reverse=True)[:2]
    if best >= second + 2:
        return max(hits, key=lambda code: hits[code])
    return _by_ngrams(bare[:_NGRAM_SAMPLE], hits)


def _by_ngrams(text: str, hits: dict[str, int]) -> str:
    weights = {}
    for confidence in _detector().compute_language_confidence_values(text):
        code = confidence.language.iso_code_639_1.name.lower()
        weights[code] = confidence.value * _WORD_ODDS ** hits[code] * (_ENGLISH_PRIOR if code == "en" else 1.0)
    best = max(weights, key=lambda code: weights[code], default="en")
    return best if weights.get(best, 0.0) > 0 else "en"


@cache
def _detector() -> LanguageDetector:
    codes = [IsoCode639_1.from_str(code.upper()) for code in _NGRAM_LANGUAGES]
    return LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()
