"""The topics of `models/taxonomy.yaml`, and what the source sets' labels are called in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from core.errors import ConfigError

FILE = Path(__file__).parents[2] / "taxonomy.yaml"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    subjects: dict[str, str]
    regions: dict[str, str]
    sources: dict[str, dict[str | int, str]]


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """`sources`: set → its label → topic."""

    subjects: tuple[str, ...]
    regions: tuple[str, ...]
    sources: Mapping[str, Mapping[str, str]]

    def subjects_of(self, source: str) -> tuple[str, ...]:
        """The subjects that a set labels, in the taxonomy's order."""
        known = set(self.sources[source].values())
        return tuple(subject for subject in self.subjects if subject in known)


@cache
def taxonomy() -> Taxonomy:
    """The bundled taxonomy.

    >>> taxonomy().sources["twitter_topic"]["5"], taxonomy().sources["finnl"]["房地产"]
    ('Earnings', 'Real Estate')
    """
    return read_taxonomy(FILE)


def read_taxonomy(path: Path) -> Taxonomy:
    """The taxonomy in a file; `ConfigError` where two labels of a set share a topic or name one that is not listed."""
    try:
        file = msgspec.yaml.decode(path.read_bytes(), type=_File)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"not a taxonomy: {error}", file=str(path)) from error
    for source, names in file.sources.items():
        unlisted = set(names.values()) - file.subjects.keys() - file.regions.keys()
        if unlisted:
            raise ConfigError(f"sources.{source}: not a topic: {', '.join(sorted(unlisted))}", file=str(path))
        if len(set(names.values())) < len(names):
            raise ConfigError(f"sources.{source}: two labels share a topic", file=str(path))
    sources = {source: {str(label): topic for label, topic in names.items()} for source, names in file.sources.items()}
    return Taxonomy(tuple(file.subjects), tuple(file.regions), sources)
