"""A finished run → a model folder that the registry accepts, with its card and report, all measured as served."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from tokenizers import Tokenizer

from core.clock import rfc3339
from core.errors import ConfigError
from models.registry import DataSource, Licence, Manifest, load, write_manifest
from models.text.config import Head
from models.text.score import GRAPH, TOKENIZER, TextScorer
from models.training.text import long_texts, variants
from models.training.text.baseline import baselines
from models.training.text.batches import encode
from models.training.text.card import card
from models.training.text.evaluate import judge
from models.training.text.heads import COLUMNS, HEADS, LANGUAGES, serving
from models.training.text.judge import ALSO, dev_figure, module_logits
from models.training.text.loop import finished, lineage
from models.training.text.measure import Logits, fit_temperature
from models.training.text.network import Network, build, open_tokenizer, pad_token
from models.training.text.onnx_export import OPSET, Served
from models.training.text.report.figures import Figures
from models.training.text.report.parity import Parity
from models.training.text.report.write import Aside, write_report
from models.training.text.sets import Example, data_sources
from models.training.text.split import Split

CARD = "CARD.md"
MAX_TOKENS = 128


def release(
    run: Path,
    parts: Split,
    out: Path,
    *,
    data: Path,
    now: datetime,
    languages: Sequence[str] = LANGUAGES,
    lead_tokens: int | None = None,
) -> tuple[Manifest, list[Figures]]:
    """The manifest of the model written to `out` (…/NAME/VERSION), and its figures on the development part.

    `parts` is the split of all sets; the model serves `languages`, those without a set of their own by the English heads. Of longer
    texts than it reads whole, it is asked the topic of the first `lead_tokens` in one piece.
    `ConfigError` where the export falls short of parity.
    """
    recipe = finished(run)
    used = parts.of({name for each in lineage(recipe) for name in each.get("sets", ())})
    dev = [each for each in used.dev if each.lang in languages]
    answering = {lang: names for lang, names in serving(_trained(used)).items() if lang in languages and names}
    if not answering:
        raise ConfigError(f"the run trained no head that answers for {', '.join(languages)}", file=str(run))
    columns = sorted({column for names in answering.values() for name in names for column in HEADS[name].columns})
    network = build(run, attn_implementation="eager").eval()
    tokenizer = open_tokenizer(run, max_tokens=lead_tokens or MAX_TOKENS)
    reference = _reference(network, tokenizer, dev, columns)
    parities, served = variants.export(Served(network, columns), tokenizer, out, reference)
    logits = _widened(served, columns)
    heads = served_heads(answering, columns, _temperatures(dev, logits))
    sources = data_sources(data, (*used.train, *used.dev))
    config = {
        "languages": list(answering),
        "max_tokens": MAX_TOKENS,
        "heads": msgspec.to_builtins(heads),
        "encoder": shape(network),
    }
    if lead_tokens is not None:
        config["lead_tokens"] = lead_tokens
    manifest = _manifest(out, sources, config, now=now)
    write_manifest(out, manifest)
    found = evaluate(out, parts, out, parity=parities)
    manifest = msgspec.structs.replace(manifest, metrics=metrics(found, parities))
    (out / CARD).write_text(card(manifest, recipe, found, parity=parities, limits=_limits(answering)), encoding="utf-8")
    write_manifest(out, manifest)
    return load(out).manifest, found


def evaluate(folder: Path, parts: Split, out: Path, *, parity: Sequence[Parity] = (), show_texts: bool = False) -> list[Figures]:
    """The figures of a model folder on the development part of every set that it serves; their report is written to `out`."""
    artifact = load(folder)
    scorer = TextScorer.open(artifact, device="cpu")
    languages = artifact.manifest.config["languages"]
    dev = [each for each in parts.dev if each.lang in languages]
    rows = judge(scorer.score, dev, baselines(parts.train, dev))
    aside = Aside(tuple(parity), (long_texts.section(scorer.score, dev),))
    return write_report(rows, out, title=artifact.manifest.reference, aside=aside, show_texts=show_texts)


def served_heads(answering: Mapping[str, Sequence[str]], columns: Sequence[int], temperatures: Mapping[str, float]) -> list[Head]:
    """The manifest's heads over the columns that were exported, each for the languages that it answers.

    >>> served_heads({"en": ("sentiment.en",)}, [0, 1, 2], {"sentiment.en": 1.5})[0].columns
    (0, 1, 2)
    """
    place = {column: at for at, column in enumerate(columns)}
    found = []
    for name in dict.fromkeys(name for names in answering.values() for name in names):
        head = HEADS[name]
        found.append(
            Head(
                task=head.task,
                languages=tuple(lang for lang, names in answering.items() if name in names),
                labels=head.labels,
                columns=tuple(place[column] for column in head.columns),
                temperature=temperatures.get(name, temperatures.get("topic.en", 1.0)),
                also=ALSO if head.task == "topic" else None,
            )
        )
    return found


def metrics(found: Sequence[Figures], parities: Sequence[Parity]) -> dict[str, float]:
    """What the manifest says of the model: F1, accuracy and calibration error by set and language, and the default's parity."""
    named: dict[str, float] = {}
    for each in found:
        prefix = f"dev.{each.name.replace(' ', '.')}"
        f1 = each.f1_name.replace("-", "_").lower()
        named |= {f"{prefix}.{f1}": each.f1.model.value, f"{prefix}.accuracy": each.accuracy.model.value}
        if each.gap is not None:
            named[f"{prefix}.calibration_error"] = each.gap
    shipped = variants.shipped(parities)
    named |= {"parity.same_label": shipped.same_label, "parity.macro_f1_loss": shipped.macro_f1_loss}
    named["parity.max_change_by_batch"] = shipped.max_change_by_batch
    return {name: round(value, 9) for name, value in named.items()}


def _trained(used: Split) -> set[str]:
    return {target.head for example in used.train for target in example.targets}


def _reference(network: Network, tokenizer: Tokenizer, dev: Sequence[Example], columns: Sequence[int]) -> variants.Reference:
    """The network's answers to the development part, each text asked its own set's first question."""
    chunks, pad = encode(tokenizer, [each.text for each in dev]), pad_token(tokenizer)
    place = {column: at for at, column in enumerate(columns)}
    asked: dict[str, list[int]] = {}
    for row, example in enumerate(dev):
        asked.setdefault(example.targets[0].head, []).append(row)
    return variants.Reference(
        chunks=chunks,
        logits=module_logits(network, chunks, pad=pad)[:, list(columns)],
        pad=pad,
        questions=[(rows, [place[column] for column in HEADS[name].columns]) for name, rows in asked.items()],
        figure=lambda logits: dev_figure(dev, _widened(logits, columns)),
    )


def _widened(logits: Logits, columns: Sequence[int]) -> Logits:
    """The logits in the places that they have in the network's output; 0 in those that are not served."""
    wide: Logits = np.zeros((len(logits), COLUMNS))
    wide[:, list(columns)] = logits
    return wide


def _temperatures(dev: Sequence[Example], logits: Logits) -> dict[str, float]:
    """The temperature of each head that the development part asks; of several true labels each counts as a text of its own."""
    rows: dict[str, list[tuple[int, int]]] = {}
    for row, example in enumerate(dev):
        for target in example.targets:
            if not target.one_of:
                rows.setdefault(target.head, []).extend((row, label) for label in target.labels)
    found = {}
    for name, known in rows.items():
        table = logits[[row for row, _ in known]][:, list(HEADS[name].columns)]
        found[name] = fit_temperature(table, np.array([label for _, label in known]))
    return found


def shape(network: Network) -> dict[str, int]:
    """The encoder's sizes, for the reader of a manifest."""
    config = network.encoder.config
    return {
        "layers": config.num_hidden_layers,
        "width": config.hidden_size,
        "heads": config.num_attention_heads,
        "inner": config.intermediate_size,
        "vocabulary": config.vocab_size,
    }


def _manifest(out: Path, sources: tuple[DataSource, ...], config: dict[str, Any], *, now: datetime) -> Manifest:
    licence: Licence = "Apache-2.0" if all(each.licence == "MIT" for each in sources) else "research-use"
    return Manifest(
        name=out.parent.name,
        version=out.name,
        task="text",
        created=rfc3339(now),
        licence=licence,
        opset=OPSET,
        files={GRAPH: "", TOKENIZER: ""},
        data=sources,
        metrics={},
        config=config,
    )


def _limits(answering: Mapping[str, Sequence[str]]) -> list[str]:
    """What the heads that serve a language owe to another."""
    carried = [lang for lang, names in answering.items() if names[0] != f"sentiment.{lang}"]
    found = (
        [f"No set taught it the sentiment of texts in {', '.join(carried)}: the encoder carries it over from English."]
        if carried
        else []
    )
    if "es" in answering and len(answering["es"]) > 1:
        found.append("No set taught it topics in es: the encoder carries them over; they were not measured.")
    return found
