"""Watchlists: the companies, people and products to look for, read from YAML or, for thousands of entries, from JSON."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml

from core.errors import ConfigError

Surface = Annotated[str, msgspec.Meta(min_length=2, max_length=200)]
Ticker = Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]{1,10}([.\-][A-Z0-9]{1,4})?$")]

_ERROR_PATH = re.compile(r"^(?P<message>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_FORM = "a watchlist is a mapping with the key `entries`: a list of {id, name, aliases, tickers, excludes}"


class WatchlistEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entity; `name` and `aliases` are looked for as written, `tickers` as `$AAPL` or, if unambiguous, `AAPL`.

    `excludes` are longer phrases in which a name means something else: "price target" for Target.
    """

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    name: Surface
    aliases: tuple[Surface, ...] = ()
    tickers: tuple[Ticker, ...] = ()
    excludes: tuple[Surface, ...] = ()

    @property
    def surfaces(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)


@dataclass(frozen=True, slots=True)
class Watchlist:
    """Entries with distinct ids; no name, alias or ticker belongs to two of them."""

    entries: tuple[WatchlistEntry, ...]

    def merged(self, other: "Watchlist") -> "Watchlist":
        """Both lists' entries; an id in both gets the names of both, and this list's entries win a name that two claim.

        >>> apple = Watchlist((WatchlistEntry(id="AAPL", name="Apple"),))
        >>> apple.merged(Watchlist((WatchlistEntry(id="AAPL", name="苹果公司"),))).entries[0].surfaces
        ('Apple', '苹果公司')
        """
        entries = {entry.id: entry for entry in self.entries}
        taken = {_claim(surface): entry.id for entry in self.entries for surface in (*entry.surfaces, *_cashtags(entry))}
        for entry in other.entries:
            names = [each for each in entry.surfaces if taken.setdefault(_claim(each), entry.id) == entry.id]
            tickers = [each for each in entry.tickers if taken.setdefault(f"${each}", entry.id) == entry.id]
            known = entries.get(entry.id)
            if known is not None:
                aliases = _distinct([*known.aliases, *(name for name in names if name != known.name)])
                tickers = [*known.tickers, *tickers]
                excludes = _distinct([*known.excludes, *entry.excludes])
                entries[entry.id] = msgspec.structs.replace(known, aliases=aliases, tickers=_distinct(tickers), excludes=excludes)
            elif names:
                renamed = msgspec.structs.replace(entry, name=names[0], aliases=tuple(names[1:]), tickers=tuple(tickers))
                entries[entry.id] = renamed
        return Watchlist(tuple(entries.values()))


def load_watchlist(path: Path) -> Watchlist:
    """The watchlist in a .yaml, .yml or .json file; `ConfigError` with line and field where it breaks the form."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the watchlist: {error.strerror}", file=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the watchlist is not UTF-8: {error.reason} at byte {error.start}", file=str(path)) from error
    rows = _json_rows(text, path) if path.suffix == ".json" else _yaml_rows(text, path)
    entries = tuple(_entry(row, path) for row in rows)
    _refuse_shared(rows, entries, path)
    return Watchlist(entries)


@dataclass(frozen=True, slots=True)
class _Row:
    """An entry before validation, with the line of the entry and of each of its fields; 0 where JSON keeps none."""

    value: Any
    line: int
    field_lines: dict[str, int]


def _json_rows(text: str, path: Path) -> list[_Row]:
    try:
        entries = json.loads(text)["entries"]
    except json.JSONDecodeError as error:
        raise ConfigError(error.msg, file=str(path), line=error.lineno) from error
    except (KeyError, TypeError) as error:
        raise ConfigError(_FORM, file=str(path)) from error
    if not isinstance(entries, list):
        raise ConfigError(_FORM, file=str(path))
    return [_Row(value=entry, line=0, field_lines={}) for entry in entries]


def _yaml_rows(text: str, path: Path) -> list[_Row]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root = yaml.compose(text, Loader=loader)
        listed = _value_of(root, "entries")
        if not isinstance(listed, yaml.SequenceNode):
            raise ConfigError(_FORM, file=str(path), line=1)
        return [_yaml_row(node) for node in listed.value]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = getattr(error, "problem", None) or str(error)
        raise ConfigError(message, file=str(path), line=None if mark is None else mark.line + 1) from error


def _value_of(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _yaml_row(node: yaml.Node) -> _Row:
    lines = {}
    if isinstance(node, yaml.MappingNode):
        lines = {str(name.value): name.start_mark.line + 1 for name, _ in node.value}
    return _Row(value=_plain(node), line=node.start_mark.line + 1, field_lines=lines)


def _plain(node: yaml.Node) -> Any:
    """The node as dict, list and text: `id: 0700` or `ON` stay as written instead of turning into a number or True."""
    if isinstance(node, yaml.MappingNode):
        return {str(name.value): _plain(value) for name, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(value) for value in node.value]
    return node.value


def _entry(row: _Row, path: Path) -> WatchlistEntry:
    try:
        return msgspec.convert(row.value, WatchlistEntry)
    except msgspec.ValidationError as error:
        match = _ERROR_PATH.match(str(error))
        field = (match["path"] or "").lstrip(".") if match else ""
        line = row.field_lines.get(re.split(r"[.\[]", field)[0], row.line)
        name = row.value.get("id", "?") if isinstance(row.value, dict) else "?"
        message = f"{match['message'] if match else error} (entry {name!r}); {_FORM}"
        raise ConfigError(message, file=str(path), line=line or None, field=field or None) from error


def _refuse_shared(rows: list[_Row], entries: tuple[WatchlistEntry, ...], path: Path) -> None:
    """Refuse an id, name or ticker that two entries claim: which of them a text means could not be told."""
    owners: dict[str, str] = {}
    ids: set[str] = set()
    for row, entry in zip(rows, entries, strict=True):
        if entry.id in ids:
            raise ConfigError(f"id {entry.id!r} is used twice", file=str(path), line=row.line or None, field="id")
        ids.add(entry.id)
        for field, surface in _claims(entry):
            owner = owners.setdefault(_claim(surface), entry.id)
            if owner != entry.id:
                message = f"{surface!r} belongs to both {owner!r} and {entry.id!r}; keep it in one of them"
                line = row.field_lines.get(field, row.line)
                raise ConfigError(message, file=str(path), line=line or None, field=field)


def _claims(entry: WatchlistEntry) -> Iterator[tuple[str, str]]:
    yield "name", entry.name
    for alias in entry.aliases:
        yield "aliases", alias
    for cashtag in _cashtags(entry):
        yield "tickers", cashtag


def _cashtags(entry: WatchlistEntry) -> tuple[str, ...]:
    return tuple(f"${ticker}" for ticker in entry.tickers)


def _claim(surface: str) -> str:
    return surface if surface.startswith("$") else surface.lower()


def _distinct(names: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
