"""`groundswell models`: which models are here, and which of them serve what."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from commands.output import print_json, print_table
from models.aliases import Slots, aliases, promote, rollback, slots_of
from models.registry import Manifest, find, versions
from models.text.config import config_of

# The list shows how good a model is, not how its export or its baseline did: those are in `models show` and the card.
_KEY_METRIC = re.compile(r"(?!baseline).*(macro_f1|average_precision|roc_auc)")


class Row(msgspec.Struct, frozen=True):
    """One model in the list; `aliases` maps each alias that names it to the slots that it fills there."""

    model: str
    task: str
    licence: str
    languages: tuple[str, ...]
    aliases: dict[str, tuple[str, ...]]
    megabytes: float
    metrics: dict[str, float]


def print_models(root: Path, *, json: bool) -> None:
    """The models of a folder."""
    known = aliases(root)
    found = versions(root)
    rows = [_row(manifest, known, root) for manifest in found]
    if json:
        for row in rows:
            print_json(row)
    else:
        columns = ("model", "task", "licence", "languages", "aliases", "MB", "metrics")
        print_table(columns, [_cells(row, slots_of(manifest)) for row, manifest in zip(rows, found, strict=True)])


def _row(manifest: Manifest, known: dict[str, Slots], root: Path) -> Row:
    serves = {
        alias: tuple(slot for slot, reference in slots.items() if reference == manifest.reference)
        for alias, slots in known.items()
    }
    return Row(
        model=manifest.reference,
        task=manifest.task,
        licence=manifest.licence,
        languages=config_of(manifest).languages if manifest.task == "text" else (),
        aliases={alias: slots for alias, slots in serves.items() if slots},
        megabytes=round(sum((root / manifest.reference / file).stat().st_size for file in manifest.files) / 1e6, 1),
        metrics={name: value for name, value in manifest.metrics.items() if _KEY_METRIC.fullmatch(name)},
    )


def _cells(row: Row, able: Sequence[str]) -> tuple[str, ...]:
    """The row for people: an alias is followed by the slots where the model does not fill all that it could."""
    serves = (alias if set(slots) == set(able) else f"{alias} ({' '.join(slots)})" for alias, slots in row.aliases.items())
    metrics = (f"{name} {value:.3f}" for name, value in row.metrics.items())
    size = f"{row.megabytes:.1f}"
    return (row.model, row.task, row.licence, " ".join(row.languages), "\n".join(serves), size, "\n".join(metrics))


def show_model(root: Path, reference: str) -> None:
    """A model's manifest as JSON, once its files have passed the check."""
    print_json(find(reference, root).manifest)


def promote_model(root: Path, reference: str, *, alias: str, slots: Sequence[str] | None) -> None:
    """Let a model fill slots of an alias, and print the alias."""
    _print_slots(alias, promote(reference, alias=alias, slots=slots, root=root))


def rollback_models(root: Path, *, alias: str, slots: Sequence[str] | None) -> None:
    """Undo the last promotion of an alias, or of some of its slots, and print the alias."""
    _print_slots(alias, rollback(alias, slots=slots, root=root))


def _print_slots(alias: str, slots: Slots) -> None:
    print_table(("alias", "slot", "model"), [(alias, slot, reference) for slot, reference in slots.items()])
