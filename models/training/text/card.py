"""The model card: what a person must know before trusting the scores."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import PurePath
from typing import Any

from core.errors import ConfigError
from models.registry import Manifest
from models.text.config import config_of
from models.training.report.document import Table
from models.training.report.markdown import cell, table_markdown
from models.training.text.loop import lineage
from models.training.text.near_duplicates import SIMILARITY
from models.training.text.recipe import listed, names_of
from models.training.text.report.figures import Figures
from models.training.text.report.parity import Parity
from models.training.text.report.sections import overview_tables, parity_table
from models.training.text.sets import SETS
from models.training.text.split import DEV_PERCENT

_PERMISSIVE = ("MIT", "Apache-2.0")
_HASH_DIGITS = 12
_BASES = {
    "minilm": "all-MiniLM-L6-v2 of the Sentence Transformers team (Apache-2.0)",
    "e5": "multilingual-e5-small of Microsoft (MIT), its vocabulary cut to the pieces that the languages need",
    "BAAI/bge-small-en-v1.5": "bge-small-en-v1.5 of BAAI (MIT)",
    "BAAI/bge-small-zh-v1.5": "bge-small-zh-v1.5 of BAAI (MIT)",
    "BAAI/bge-small-zh": "bge-small-zh of BAAI (MIT)",
}
_ORIGINS = {
    "twitter_sentiment": "zeroshot/twitter-financial-news-sentiment, tweets of 2019-11 to 2020-03",
    "twitter_topic": "zeroshot/twitter-financial-news-topic, tweets of 2022-06 to 2022-07",
    "sentfin": "SEntFiN 1.0 (Sinha, Kedas, Kumar and Malo 2022), headlines; those whose entities agree",
    "surge": "Surge AI stock sentiment, tweets",
    "finfe": "FinFE of BBT-FinCUGE, posts of a Chinese stock forum",
    "finnl": "FinNL of BBT-FinCUGE, Chinese financial news",
    "finnsp": "FinNSP of BBT-FinCUGE (CCF BDCI 2019), Chinese posts and news on lending platforms",
    "finances": "FinancES 2023 (IberLEF), Spanish financial headlines",
    "stocknet_tweets": "StockNet (Xu and Cohen 2018), tweets of 2014 to 2016; unlabelled",
    "hotlist_zh": "hot lists of Weibo and Zhihu; unlabelled",
}
_LIMITS = (
    "Headlines and posts taught it: of a long article each part is scored as if it were one.",
    "Sentiment is that of the text as a whole for an investor, not towards one of several companies that it names.",
    "The sets call a text neutral by different customs; a model of several sets learned the mixture.",
    "The development part chose the epoch and the temperatures, and it comes from the same sources and months as the training part: "
    "on other sources and times expect less than the figures above.",
    "Labels with few texts are known less well than the mean says: see the report's figures by label.",
    "Not for decisions on persons, and not investment advice.",
)


def card(
    manifest: Manifest, recipe: Mapping[str, Any], found: Sequence[Figures], *, parity: Sequence[Parity], limits: Sequence[str]
) -> str:
    """The card as Markdown; `recipe` is the run's recipe.json, `limits` are the model's own, `found` is what the report measured.

    `ConfigError` where the manifest claims a free licence for a model of data that has none.
    """
    sections = (
        _purpose(manifest, recipe),
        _licence(manifest),
        _data(manifest),
        _training(recipe),
        _figures(manifest, found),
        _export(parity),
        _limits(manifest, limits),
    )
    return f"# {manifest.name} {manifest.version}\n\n" + "\n\n".join(sections) + "\n"


def _purpose(manifest: Manifest, recipe: Mapping[str, Any]) -> str:
    config = config_of(manifest)
    heads = tuple(
        (
            head.task,
            ", ".join(head.languages),
            ", ".join(head.labels),
            f"{head.temperature:.2f}",
            f"{head.also:g}" if head.also else "",
        )
        for head in config.heads
    )
    header = ("Answers", "Languages", "Labels", "Temperature", "Lists also from")
    origin = _origin(recipe)
    made = "An encoder that goes on from"
    if recipe.get("kind") == "distil":
        start = f", which goes on from the trained network `{PurePath(recipe['start']).name}`," if recipe.get("start") else ""
        made = f"An encoder{start} that learned the answers of"
    lead = f", their topics by the first {config.lead_tokens} in one piece" if config.lead_tokens else ""
    return f"""\
{made} {origin}, with linear heads over the mean of its token
vectors. It scores headlines, posts and articles in {", ".join(config.languages)}; articles above {config.max_tokens} tokens by parts{lead}.

{table_markdown(Table("Heads", header, heads, left=3))}"""


def _origin(recipe: Mapping[str, Any]) -> str:
    """What a network was made of, back to the pretrained encoders, which may lie in folders of their names; of a student, who taught it.

    >>> _origin({"base": "runs/b", "before": [{"base": "minilm"}]})
    'the trained network `b`, made of all-MiniLM-L6-v2 of the Sentence Transformers team (Apache-2.0)'
    >>> _origin({"base": "folder/bge-small-zh"})
    'bge-small-zh of BAAI (MIT)'
    """
    names = dict.fromkeys([str(recipe["base"]), *names_of(recipe.get("teachers", {}))])
    found = []
    for name, before in zip_longest(names, recipe.get("before", ())[: len(names)]):
        origin = _BASES.get(name, f"the trained network `{PurePath(name).name}`")
        if before is None:
            origin = next((told for base, told in _BASES.items() if PurePath(base).name == PurePath(name).name), origin)
        found.append(origin if before is None else f"{origin}, made of {_origin(before)}")
    return " and of ".join(found)


def _licence(manifest: Manifest) -> str:
    closed = [each.name for each in manifest.data if each.licence not in _PERMISSIVE]
    if closed and manifest.licence != "research-use":
        raise ConfigError(
            f"{', '.join(closed)} state no licence: the manifest's licence must be research-use, not {manifest.licence}"
        )
    if manifest.licence != "research-use":
        reason = "the encoder that it goes on from and all data that it learned from are under licences that allow any use."
    elif closed:
        reason = f"it learned from sets that state no licence: {', '.join(map(cell, closed))}."
    else:
        reason = "a network that it was made from is for research use."
    return f"## Licence\n\n{manifest.licence}: {reason}"


def _data(manifest: Manifest) -> str:
    rows = tuple(
        (each.name, _ORIGINS.get(each.name, ""), each.licence, f"{each.rows:,}", each.sha256[:_HASH_DIGITS])
        for each in manifest.data
    )
    table = Table("Sets", ("Set", "Origin", "Licence", "Texts used", "SHA-256 of the file"), rows, left=3)
    return f"""\
## Data

{table_markdown(table)}

Only the sets' training parts were used. HTML entities are decoded and URLs removed by the same function that scoring uses. Of texts
that are then equal but for case and punctuation a set counts one; where their labels contradict each other the majority decides.

{100 - DEV_PERCENT} % trained the model and {DEV_PERCENT} % are the development part; a hash of the text decides. Texts that are \
nearly the same, in
whatever set, go to the same side: MinHash finds candidates, and a Jaccard similarity of their character shingles of {SIMILARITY:g} or more
joins them. Early stopping looked at the development part, and the temperatures were fitted on it. The manifest has the SHA-256 of
each file in full."""


def _training(recipe: Mapping[str, Any]) -> str:
    tables = [
        Table(
            "Recipe",
            ("Setting", "Value"),
            tuple((name, _setting(name, value)) for name, value in each.items() if _told(name, value)),
            left=2,
        )
        for each in reversed(lineage(recipe))
    ]
    return f"""\
## Training

AdamW with a linear warm-up and linear decay; the epoch with the best F1 on the development part was kept.
{"" if len(tables) == 1 else "What it was made of was trained first."}

{chr(10).join(map(table_markdown, tables))}"""


def _told(name: str, value: object) -> bool:
    return name != "before" and value not in (None, "")


def _setting(name: str, value: object) -> str:
    """A setting as a reader wants it: of a base's path its name, of a digest the beginning.

    >>> _setting("sets", {"surge": 1.0, "finnsp": 0.5}), _setting("encoder_rate", 5e-05), _setting("teachers", {"en": "runs/research"})
    ('surge 1, finnsp 0.5', '5e-05', 'en research')
    """
    if name == "base":
        return value if value in _BASES else PurePath(str(value)).name
    if name == "data":
        return str(value)[:_HASH_DIGITS]
    if isinstance(value, Mapping):
        return ", ".join(
            f"{key} {f'{each:g}' if isinstance(each, int | float) else _teachers(each)}" for key, each in value.items()
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _teachers(named: str | Sequence[str]) -> str:
    return " + ".join(PurePath(each).name for each in listed(named))


def _figures(manifest: Manifest, found: Sequence[Figures]) -> str:
    trained = {each.name for each in manifest.data}
    carried = [each.name for each in found if each.name in SETS and each.name not in trained]
    transfer = f"\n\nNot trained on, and so a test of what carries over: {', '.join(map(cell, carried))}." if carried else ""
    return f"""\
## Figures on the development part

Measured on the exported file as it serves, with 95 % bootstrap intervals over 1,000 resamples of the texts, beside TF-IDF with
logistic regression trained on the same split, each set for itself; the difference is on the same resamples. A language's line pools
its sets. Sets with several labels a text have micro-F1. ECE is the expected calibration error over 15 bins of confidence: how far
from being right as often as it says the model is.

{chr(10).join(f"{table_markdown(table)}{chr(10)}" for table in overview_tables(found)).rstrip()}{transfer}"""


def _export(parity: Sequence[Parity]) -> str:
    return f"""\
## Export

ONNX, held against the trained network on the development part; by batch: a text scored alone against the same text among others.

{table_markdown(parity_table(parity))}"""


def _limits(manifest: Manifest, limits: Sequence[str]) -> str:
    languages = ", ".join(config_of(manifest).languages)
    lines = (f"Texts in other languages than {languages} get no score and a reason.", *limits, *_LIMITS)
    return "## Limits\n\n" + "\n".join(f"- {each}" for each in lines)
