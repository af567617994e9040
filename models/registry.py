"""Model folders on disk: `artifacts/<name>/<version>/manifest.json` beside the files it lists with their SHA-256.

A folder whose files differ from its manifest is refused. Which model serves what is said by the aliases: see `models/aliases.py`.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from core.errors import ModelError
from core.records import ModelRef

ARTIFACTS = Path(__file__).parent / "artifacts"
MANIFEST = "manifest.json"

Task = Literal["text", "fraud"]
Licence = Literal["Apache-2.0", "research-use"]


class DataSource(msgspec.Struct, frozen=True, kw_only=True):
    """One data set that a model was trained on; `sha256` fingerprints the very file."""

    name: str
    licence: str
    rows: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All that a reader or a loader must know of a model. `config` is the task's own: heads, temperatures, lengths.

    `licence` is the strictest of all that the model was made from; "research-use" excludes commercial use.
    """

    name: str
    version: str
    task: Task
    created: str
    licence: Licence
    opset: int
    files: dict[str, str]
    data: tuple[DataSource, ...]
    metrics: dict[str, float]
    config: dict[str, Any]

    @property
    def ref(self) -> ModelRef:
        return ModelRef(name=self.name, version=self.version)

    @property
    def reference(self) -> str:
        """`name/version`, as commands and aliases spell it."""
        return f"{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A verified model folder."""

    folder: Path
    manifest: Manifest

    def path(self, file: str) -> Path:
        """The path of a file that the manifest lists."""
        if file not in self.manifest.files:
            raise ModelError(f"{self.folder / MANIFEST} lists no file {file!r}; export the model again")
        return self.folder / file


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder, not yet held against its files."""
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise ModelError(f"no model in {folder}: {MANIFEST} is missing; see `groundswell models list`") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ModelError(f"{path}: {error}; export the model again") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest beside its files, filling in their hashes from the files that `manifest.files` names."""
    files = {name: sha256_of(folder / name) for name in sorted(manifest.files)}
    filled = msgspec.structs.replace(manifest, files=files)
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(filled), indent=2) + b"\n")


def load(folder: Path) -> Artifact:
    """A folder whose every file has the hash its manifest states; otherwise `ModelError`."""
    manifest = read_manifest(folder)
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ModelError(f"{folder}: {name} is missing; fetch the repository again or export the model again")
        if sha256_of(path) != expected:
            raise ModelError(f"{folder}: {name} differs in SHA-256 from {MANIFEST}; export the model again")
    return Artifact(folder=folder, manifest=manifest)


def find(reference: str, root: Path = ARTIFACTS) -> Artifact:
    """The verified model that `reference` (name/version) names; `ModelError` with the known ones where there is none."""
    known = [str(path.parent.relative_to(root)) for path in _manifests(root)]
    if reference not in known:
        raise ModelError(f"no model {reference!r} in {root}; there are: {', '.join(known) or 'none'}")
    artifact = load(root / reference)
    if artifact.manifest.reference != reference:
        raise ModelError(f"{artifact.folder}: {MANIFEST} says {artifact.manifest.reference}; give the folder that name")
    return artifact


def versions(root: Path = ARTIFACTS) -> list[Manifest]:
    """The manifests of all model folders, by name and version."""
    return [read_manifest(path.parent) for path in _manifests(root)]


def _manifests(root: Path) -> list[Path]:
    return sorted(root.glob(f"*/*/{MANIFEST}"))
