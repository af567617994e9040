"""Typed reading of a YAML file that knows the line of every field, so that each mistake is reported where it stands."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import NoReturn, TypeVar

import yaml

from alerts.durations import parse_duration
from core.errors import ConfigError

_VARIABLE = re.compile(r"\$(\$)?\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_MAX_BYTES = 1_000_000  # the largest rule files people show in public are some 100 kB
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a file came from, and the variables that `${NAME}` in it may name."""

    file: str
    environ: Mapping[str, str]

    def fail(self, node: yaml.Node, field: str, message: str) -> NoReturn:
        """Never returns: a ConfigError with the node's line, counted from 1."""
        raise ConfigError(message, file=self.file, line=node.start_mark.line + 1, field=field or None)


class Scalar:
    """One value of the file, with `${NAME}` and `${NAME:-default}` expanded."""

    __slots__ = ("_path", "_source", "_text", "node")

    def __init__(self, source: Source, path: str, node: yaml.Node) -> None:
        if not isinstance(node, yaml.ScalarNode) or node.tag.endswith(":null"):
            source.fail(node, path, "write a single value here")
        self._source = source
        self._path = path
        self.node = node
        self._text = _VARIABLE.sub(self._expand, str(node.value))

    def fail(self, message: str) -> NoReturn:
        """Never returns: a ConfigError at this value."""
        self._source.fail(self.node, self._path, message)

    def text(self, *, empty: bool = False) -> str:
        """The value as text; `empty` says whether nothing is allowed."""
        if not self._text.strip() and not empty:
            self.fail("write a text that is not empty")
        return self._text.strip()

    def choice(self, *allowed: str) -> str:
        """The value, one of `allowed`."""
        return self._text if self._text in allowed else self.fail(f"write one of {', '.join(allowed)}, not {self._text!r}")

    def flag(self) -> bool:
        """True or false."""
        return self.choice("true", "false") == "true"

    def whole(self, least: int, most: int) -> int:
        """A whole number in least..most."""
        if not re.fullmatch(r"[+-]?\d{1,18}", self._text) or not least <= int(self._text) <= most:
            self.fail(f"write a whole number from {least} to {most}, not {self._text!r}")
        return int(self._text)

    def number(self, least: float, most: float) -> float:
        """A finite number in least..most."""
        try:
            value = float(self._text)
        except ValueError:
            value = float("nan")
        return value if least <= value <= most else self.fail(f"write a number from {least:g} to {most:g}, not {self._text!r}")

    def parsed(self, parse: Callable[[str], T]) -> T:
        """What `parse` makes of the text; its ValueError becomes a ConfigError here."""
        try:
            return parse(self.text())
        except ValueError as error:
            return self.fail(str(error))

    def _expand(self, found: re.Match[str]) -> str:
        escaped, name, default = found.groups()
        if escaped:  # $${NAME} stands for the literal ${NAME}
            return found.group(0)[1:]
        value = self._source.environ.get(name) or default
        if value is None:
            self.fail(f"set the environment variable {name}, or write ${{{name}:-default}}")
        return value


class Section:
    """A mapping of the file. Every key must be asked for: `end` refuses the ones that were not."""

    __slots__ = ("_asked", "_fields", "_path", "_source", "node")

    def __init__(self, source: Source, path: str, node: yaml.Node) -> None:
        if not isinstance(node, yaml.MappingNode):
            source.fail(node, path, "write `key: value` lines here")
        self._source = source
        self._path = path
        self.node = node
        self._asked: list[str] = []
        self._fields: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, value in node.value:
            name = str(key.value)
            if name in self._fields:
                source.fail(key, self.at(name), "this key stands twice; keep one")
            self._fields[name] = (key, value)

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def at(self, name: str) -> str:
        """The dotted path of a key, for messages."""
        return f"{self._path}.{name}" if self._path else name

    def fail(self, message: str, name: str | None = None) -> NoReturn:
        """Never returns: a ConfigError at the key `name`, or at the section."""
        node = self._fields[name][0] if name in self._fields else self.node
        self._source.fail(node, self._path if name is None else self.at(name), message)

    def scalar(self, name: str) -> Scalar:
        """The required value of `name`."""
        return Scalar(self._source, self.at(name), self._value(name))

    def optional(self, name: str, read: Callable[[Scalar], T], default: T) -> T:
        """What `read` makes of the value of `name`; `default` where the key is absent."""
        self._asked.append(name)
        return read(self.scalar(name)) if name in self._fields else default

    def scalars(self, name: str) -> list[Scalar]:
        """The values of the list `name`."""
        nodes = self._items(name)
        return [Scalar(self._source, f"{self.at(name)}[{i}]", node) for i, node in enumerate(nodes)]

    def section(self, name: str) -> "Section":
        """The mapping under `name`."""
        return Section(self._source, self.at(name), self._value(name))

    def sections(self, name: str) -> list["Section"]:
        """The mappings of the list `name`; their path carries the name each gives itself."""
        found = []
        for i, node in enumerate(self._items(name)):
            label = _own_name(node)
            found.append(Section(self._source, f"{self.at(name)}[{label or i}]", node))
        return found

    def end(self, *optional: str) -> None:
        """Nothing, where every key of the section was asked for; `optional` names the keys that need not have been."""
        known = {*self._asked, *optional}
        for name, (key, _) in self._fields.items():
            if name not in known:
                self._source.fail(key, self.at(name), f"unknown key; known here: {', '.join(sorted(known))}")

    def _value(self, name: str) -> yaml.Node:
        self._asked.append(name)
        if name not in self._fields:
            self.fail(f"`{name}` is missing", name)
        return self._fields[name][1]

    def _items(self, name: str) -> Sequence[yaml.Node]:
        node = self._value(name)
        if not isinstance(node, yaml.SequenceNode):
            self._source.fail(node, self.at(name), "write a list here, as [a, b] or lines that begin with `- `")
        items: list[yaml.Node] = node.value
        return items


def duration(scalar: Scalar) -> timedelta:
    """The scalar as a duration."""
    return scalar.parsed(parse_duration)


def read_yaml(path: Path, environ: Mapping[str, str]) -> Section:
    """The file's top-level mapping; ConfigError where it cannot be read or is not YAML."""
    file = str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror}); check the path", file=file) from error
    if len(raw) > _MAX_BYTES:
        raise ConfigError("is larger than 1 MB; split it into several rule files", file=file)
    try:
        node = yaml.compose(raw.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError("is not UTF-8; save it as UTF-8", file=file, line=line) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = None if mark is None else mark.line + 1
        raise ConfigError(f"is not YAML: {error.problem or error.context}", file=file, line=at) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"is not YAML: {error}", file=file) from error
    if node is None:
        raise ConfigError("is empty; write `receivers:` and `rules:`", file=file, line=1)
    return Section(Source(file, environ), "", node)


def _own_name(node: yaml.Node) -> str | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if key.value == "name" and isinstance(value, yaml.ScalarNode):
            return str(value.value)
    return None
