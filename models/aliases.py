"""Aliases say which model serves what: `artifacts/aliases.json` maps each alias's slots to `name/version`.

A slot is `fraud`, `sentiment.<language>` or `topic.<language>`. Payments are served by the alias that the setting `fraud_model` names,
texts by that of `text_models`. Beside the aliases the file keeps, under `previous`, what each promotion replaced, the newest first;
null stands for a slot that was empty.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from core.errors import ModelError
from models.registry import ARTIFACTS, Artifact, Manifest, find
from models.text.config import config_of

ALIASES = "aliases.json"
CHAMPION = "champion"
PERMISSIVE = "permissive"
_PREVIOUS = "previous"
_ALIAS = re.compile(r"[a-z][a-z0-9_-]*")

Slots = dict[str, str]
"""Slot → `name/version`."""

_Replaced = dict[str, str | None]
_Previous = dict[str, list[_Replaced]]


def aliases(root: Path = ARTIFACTS) -> dict[str, Slots]:
    """Every alias with its slots; none in a folder in which nothing was promoted yet."""
    return _read(root, missing_ok=True)[0]


def slots_of(manifest: Manifest) -> tuple[str, ...]:
    """The slots that a model can fill."""
    if manifest.task == "fraud":
        return ("fraud",)
    heads = config_of(manifest).heads
    return tuple(f"{head.task}.{lang}" for head in heads if head.task != "region" for lang in head.languages)


def assigned(alias: str, root: Path = ARTIFACTS) -> Slots:
    """The slots of one alias."""
    known, _ = _read(root)
    if alias not in known:
        raise ModelError(f"no alias {alias!r} in {root / ALIASES}; there are: {', '.join(known) or 'none'}")
    return known[alias]


def resolve(alias: str, slot: str, root: Path = ARTIFACTS) -> Artifact:
    """The verified model that an alias names for a slot."""
    reference = assigned(alias, root).get(slot)
    if reference is None:
        raise ModelError(f"alias {alias!r} names no model for {slot}; `groundswell models promote` gives it one")
    artifact = find(reference, root)
    _refuse_restricted(artifact.manifest, alias)
    return artifact


def promote(reference: str, *, alias: str = CHAMPION, slots: Sequence[str] | None = None, root: Path = ARTIFACTS) -> Slots:
    """The slots of `alias` after a verified model has taken `slots` (all that it can fill, if None)."""
    if not _ALIAS.fullmatch(alias) or alias == _PREVIOUS:
        raise ModelError(f"{alias!r} cannot name an alias: use lower-case letters, digits, - and _, and not {_PREVIOUS!r}")
    manifest = find(reference, root).manifest
    _refuse_restricted(manifest, alias)
    able = slots_of(manifest)
    chosen = able if slots is None else tuple(slots)
    if wrong := [slot for slot in chosen if slot not in able]:
        raise ModelError(f"{reference} cannot fill {', '.join(wrong)}; it can fill {', '.join(able)}")
    known, previous = _read(root, missing_ok=True)
    before = known.get(alias, {})
    replaced = {slot: before.get(slot) for slot in chosen if before.get(slot) != reference}
    known[alias] = dict(sorted({**before, **dict.fromkeys(chosen, reference)}.items()))
    if replaced:
        previous[alias] = [replaced, *previous.get(alias, [])]
    _write(root, known, previous)
    return known[alias]


def rollback(alias: str = CHAMPION, *, slots: Sequence[str] | None = None, root: Path = ARTIFACTS) -> Slots:
    """The slots of `alias` after its last promotion is undone, or after each of `slots` is given back the model it had before."""
    now = assigned(alias, root)
    known, previous = _read(root)
    history = previous.get(alias, [])
    if not history:
        raise ModelError(f"no promotion of alias {alias!r} is left to undo")
    for slot in list(history[0]) if slots is None else slots:
        step = next((step for step in history if slot in step), None)
        if step is None:
            raise ModelError(f"no promotion of {slot} in alias {alias!r} is left to undo")
        before = step.pop(slot)
        now = {each: reference for each, reference in now.items() if each != slot}
        if before is not None:
            find(before, root)
            now[slot] = before
    known[alias] = dict(sorted(now.items()))
    previous[alias] = [step for step in history if step]
    _write(root, known, previous)
    return known[alias]


def _refuse_restricted(manifest: Manifest, alias: str) -> None:
    if alias == PERMISSIVE and manifest.licence != "Apache-2.0":
        licence = manifest.licence
        raise ModelError(f"{manifest.reference} is licensed for {licence}; the alias {PERMISSIVE!r} takes Apache-2.0 models only")


def _read(root: Path, *, missing_ok: bool = False) -> tuple[dict[str, Slots], _Previous]:
    path = root / ALIASES
    try:
        parts = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
        previous = msgspec.json.decode(parts.pop(_PREVIOUS, msgspec.Raw(b"{}")), type=_Previous)
        return {alias: msgspec.json.decode(raw, type=Slots) for alias, raw in parts.items()}, previous
    except FileNotFoundError as error:
        if missing_ok:
            return {}, {}
        raise ModelError(f"{path} is missing; `groundswell models promote NAME/VERSION` writes it") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ModelError(f"{path}: {error}") from error


def _write(root: Path, known: dict[str, Slots], previous: _Previous) -> None:
    """Replace the file in one step, so that a reader finds the old one or the new one."""
    path, written = root / ALIASES, root / f".{ALIASES}.new"
    whole = {**known, _PREVIOUS: {alias: steps for alias, steps in previous.items() if steps}}
    try:
        written.write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n")
        os.replace(written, path)
    except OSError as error:
        raise ModelError(f"cannot write {path}: {error.strerror}; name a folder of your own with --models") from error
