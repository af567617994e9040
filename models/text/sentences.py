"""Sentences of English, Spanish and Chinese news, by punctuation and a list of abbreviations."""

import re
from collections.abc import Iterator

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
# Latin script: a stop, perhaps closing quotes, blanks, and something that begins a sentence. Chinese: the stop is enough.
_STOP = re.compile(
    r"""(?P<latin>[.!?…]+["'”’»)\]]*)\s+(?=["'“‘«(\[¿¡]*[A-ZÁÉÍÓÚÑÜ0-9$#@\u4e00-\u9fff¿¡])"""
    r"""|[。！？；]+[”’」』）》"]*\s*|(?<=[\u4e00-\u9fff])…+[”’」』）]*\s*"""
)
_LAST_WORD = re.compile(r"[^\s(\[“‘«\"']+$")
_ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st sr jr inc corp co ltd llc plc bros no nos vs etc e.g i.e u.s u.k u.n e.u ee.uu gov sen rep gen col lt sgt capt "
    "jan feb mar apr jun jul aug sep sept oct nov dec fig est approx avg vol ed dept univ assn "
    "sra dra srta ud uds pág págs art núm cía avda tel aprox p.ej s.a s.l d.c a.m p.m".split()
)


def paragraphs(text: str) -> list[str]:
    """The parts between blank lines, none of them empty.

    >>> paragraphs("Title\\n\\nFirst line\\nsecond line")
    ['Title', 'First line\\nsecond line']
    """
    return [part for part in _PARAGRAPH.split(text.strip()) if part]


def sentences(text: str) -> list[str]:
    """The text's sentences in order, with nothing lost but the blanks between them.

    >>> sentences("Tesla Inc. fell 3.5% on Friday. Mr. Musk said: 'Why?' Nobody knew.")
    ['Tesla Inc. fell 3.5% on Friday.', "Mr. Musk said: 'Why?'", 'Nobody knew.']
    >>> sentences("恒大否认违约。股价跌8%！")
    ['恒大否认违约。', '股价跌8%！']
    """
    return [sentence for paragraph in paragraphs(text) for sentence in _of_paragraph(paragraph)]


def _of_paragraph(paragraph: str) -> Iterator[str]:
    start = 0
    for stop in _STOP.finditer(paragraph):
        if stop["latin"] is not None and _is_abbreviation(paragraph[start : stop.end("latin")]):
            continue
        if sentence := paragraph[start : stop.end()].strip():
            yield sentence
        start = stop.end()
    if rest := paragraph[start:].strip():
        yield rest


def _is_abbreviation(before: str) -> bool:
    """Whether the text ends in an abbreviation or an initial, whose full stop ends no sentence."""
    if not before.endswith(".") or before.endswith(".."):
        return False
    word = _LAST_WORD.search(before)
    bare = "" if word is None else word[0].rstrip(".").lower()
    return bare in _ABBREVIATIONS or (len(bare) == 1 and bare.isalpha())
