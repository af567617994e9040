"""Model folders on disk: `artifacts/<name>/<version>/manifest.json` beside the files it lists with their SHA-256.

A folder whose files differ from its manifest is refused. `artifacts/champions.json` names the version that serves each task.
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
CHAMPIONS = "champions.json"

Task = Literal["text", "fraud"]


class DataSource(msgspec.Struct, frozen=True, kw_only=True):
    """One data set that a model was trained on; `sha256` fingerprints the very file."""

    name: str
    licence: str
    rows: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All that a reader or a loader must know of a model. `config` is the task's own: labels, temperature, lengths."""

    name: str
    version: str
    task: Task
    created: str
    licence: str
    opset: int
    files: dict[str, str]
    data: tuple[DataSource, ...]
    metrics: dict[str, float]
    config: dict[str, Any]

    @property
    def ref(self) -> ModelRef:
        return ModelRef(name=self.name, version=self.version)


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


def champions(root: Path = ARTIFACTS) -> dict[str, str]:
    """Task → `name/version` of the model that serves it."""
    path = root / CHAMPIONS
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError as error:
        raise ModelError(f'{path} is missing; it names the model of each task, as in {{"text": "name/version"}}') from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ModelError(f"{path}: {error}") from error


def champion(task: Task, root: Path = ARTIFACTS) -> Artifact:
    """The verified model that serves `task`."""
    reference = champions(root).get(task)
    if reference is None:
        raise ModelError(f"{root / CHAMPIONS} names no model for task {task!r}")
    return load(root / reference)


def versions(root: Path = ARTIFACTS) -> list[Manifest]:
    """The manifests of all model folders, by name and version."""
    return [read_manifest(path.parent) for path in sorted(root.glob(f"*/*/{MANIFEST}"))]
