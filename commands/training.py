"""`groundswell models train|evaluate|export|import`: needs the `train` extra."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from commands.output import print_table
from core.clock import utc_now
from core.errors import ConfigError
from models.registry import Licence, find


def train_text(recipe: str, data: Path, out: Path, **options: Any) -> None:
    """Train a text network by a recipe; `options` are the other fields of `models.training.text.train.Job`."""
    _need_training()
    from models.training.text.train import Job, train

    train(Job(recipe, data, out, **options))


def print_sets(data: Path) -> None:
    """The labelled sets, their repeats, and how the leak-free split divides them."""
    _need_training()
    from models.training.text.sets import SETS, read_sets
    from models.training.text.split import inventory

    header = ("set", "licence", "rows", "copies", "near copies", "train", "development")
    print_table(header, [tuple(map(str, astuple(each))) for each in inventory(read_sets(data, SETS))])


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished run to export: what it is to be called, the languages that it is to serve, how many word pieces it may keep, and how
    much of a long text's beginning it is asked the topic of in one piece."""

    run: Path
    reference: str
    languages: tuple[str, ...]
    pieces: int | None
    lead_tokens: int | None = None


def export_text(models: Path, exported: Exported, data: Path) -> None:
    """Export a finished run to a model folder, and print what it is worth."""
    _need_training()
    from models.training.text.heads import LANGUAGES
    from models.training.text.prune import has_word_pieces, prune, texts_of
    from models.training.text.release import release
    from models.training.text.train import read_split

    out, languages = models / _checked(exported.reference), exported.languages or LANGUAGES
    parts = read_split(data)
    with TemporaryDirectory() as folder:
        run = exported.run
        if exported.pieces is not None or has_word_pieces(run):
            run = Path(folder)
            prune(exported.run, run, texts_of(parts.train, languages), size=exported.pieces)
        now, lead = utc_now(), exported.lead_tokens
        manifest, found = release(run, parts, out, data=data, now=now, languages=languages, lead_tokens=lead)
    _print_figures(found)
    print(f"{manifest.reference}, licence {manifest.licence}: its card and report are in {out}")


def evaluate_text(models: Path, reference: str, data: Path, out: Path, *, show_texts: bool) -> None:
    """Score the development part of every set that a model serves, and write the report."""
    _need_training()
    from models.training.text.release import evaluate
    from models.training.text.train import read_split

    _print_figures(evaluate(find(reference, models).folder, read_split(data), out, show_texts=show_texts))
    print(f"the report is in {out}: report.html and report.md")


@dataclass(frozen=True, slots=True)
class Adopted:
    """A classifier to import: where it is, what it is to be called, and what it answers."""

    source: str
    reference: str
    task: Literal["sentiment", "topic"]
    language: str
    labels: tuple[str, ...]
    permissive: bool


def import_text(models: Path, adopted: Adopted, texts: Path) -> None:
    """Import a Hugging Face classifier, and print how its variants keep its answers."""
    _need_training()
    from models.training.text.adopt import Adoption, adopt

    licence: Licence = "Apache-2.0" if adopted.permissive else "research-use"
    adoption = Adoption(adopted.task, adopted.language, _labels(adopted.labels), licence)
    manifest, found = adopt(adopted.source, texts, models / _checked(adopted.reference), adoption, now=utc_now())
    rows = [
        (
            each.variant,
            f"{each.megabytes:.1f}",
            f"{each.same_label:.4f}",
            f"{each.max_change:.4f}",
            f"{each.max_change_by_batch:.1e}",
        )
        for each in found
    ]
    print_table(("variant", "MB", "same label", "largest change", "change by batch"), rows)
    for name, value in manifest.metrics.items():
        if name.startswith("texts."):
            print(f"{name.removeprefix('texts.')} on {texts.name}: {value:.3f}")
    slot = f"{adopted.task}.{adopted.language}"
    print(f"{manifest.reference} is here; `groundswell models promote {manifest.reference}` lets it serve {slot}")


def train_fraud(recipe: str, data: Path | None, out: Path, *, resume: bool) -> None:
    """Train a fraud network by a recipe."""
    _need_training()
    from models.training.fraud.release import learn

    print(f"{learn(recipe, data, out, resume=resume)} holds the trained network; `models export fraud` makes a model of it")


def export_fraud(models: Path, run: Path, reference: str, data: Path | None) -> None:
    """Export a finished run to a model folder, and print what it is worth."""
    _need_training()
    from models.training.fraud.release import release

    folder = release(run, _checked(reference), data, root=models)
    manifest = find(reference, models).manifest
    print_table(("measure", "value"), [(name, str(value)) for name, value in manifest.metrics.items()])
    print(
        f"{manifest.reference}, licence {manifest.licence}, is in {folder}; `groundswell models promote {reference}` lets it serve"
    )


def evaluate_fraud(models: Path, references: Sequence[str], data: Path, **options: Any) -> None:
    """Print the Fraud Detection Handbook's protocol for boosted trees and the named models, and write these models' reports.

    `options` are the fields of `models.training.fraud.evaluate.Asked`.
    """
    _need_training()
    from models.training.fraud.evaluate import Asked, evaluate
    from models.training.fraud.ledger import read_handbook

    asked = Asked(**options)
    if asked.out is not None and not references:
        raise ConfigError("--out is for the reports of models: name one, as in fraud-encoder/2")
    found = [find(each, models) for each in references]
    print(evaluate(read_handbook(data), found, asked))
    for each in references if asked.out is not None else ():
        print(f"\nthe report of {each} is in {asked.out}/{each}: report.html and report.md")


def cross_check_fraud(data: Path, *, samples: int) -> None:
    """Print what boosted trees make of S-FFSD, on our sums and on its plain columns."""
    _need_training()
    from models.training.fraud.sffsd import cross_check, read

    print(cross_check(read(data), samples=samples))


def _print_figures(found: Sequence[Any]) -> None:
    rows = [
        (
            each.name,
            str(each.texts),
            each.f1_name,
            str(each.f1.model),
            str(each.f1.baseline),
            str(each.accuracy.model),
            "" if each.gap is None else f"{each.gap:.3f}",
        )
        for each in found
    ]
    print_table(("development part", "texts", "figure", "model", "TF-IDF", "accuracy", "ECE"), rows)


def _labels(given: Sequence[str]) -> dict[int, str]:
    """Labels by number from NUMBER=NAME.

    >>> _labels(["0=negative"])
    {0: 'negative'}
    """
    found = {}
    for each in given:
        number, _, name = each.partition("=")
        if not number.isdigit() or not name:
            raise ConfigError(f"--label {each!r} is not NUMBER=NAME, as in 0=negative")
        found[int(number)] = name
    return found


def _checked(reference: str) -> str:
    """NAME/VERSION, or an error."""
    name, _, version = reference.partition("/")
    if not name or not version or "/" in version or ".." in reference:
        raise ConfigError(f"{reference!r} is not NAME/VERSION, as in text-mine/1")
    return reference


def _need_training() -> None:
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise ConfigError("training needs torch: install the `train` extra (`make .venv/.train`)")
