"""How the rows of a CSV file become payments and labels: a YAML file of templates over the columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import yaml

from core.errors import ConfigError, InvalidRecord
from core.records import Label, Transaction

_FOLDER = Path(__file__).parent
_EPOCH = "epoch_s"
_RFC3339 = "rfc3339"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A format file. `fields` maps a field of Transaction to a template such as `{User}-{Card}`; the rest explain themselves."""

    fields: dict[str, str]
    time_format: str = _RFC3339
    time_zone: str = "UTC"
    fraud_column: str | None = None
    fraud_values: tuple[str, ...] = ("1",)
    label_delay_days: float = 7.0


@dataclass(frozen=True, slots=True)
class Format:
    """Maps rows to records; `InvalidRecord` for a row that it cannot map."""

    name: str
    file: _File

    def check_columns(self, columns: Sequence[str], *, file: str) -> None:
        """Refuse a CSV file that lacks a column of the format."""
        needed = {name for template in self.file.fields.values() for name in _columns(template)}
        missing = sorted(needed - set(columns))
        if missing:
            raise ConfigError(f"format {self.name!r} needs the columns {', '.join(missing)}", file=file, line=1)

    def transaction(self, row: Mapping[str, Any]) -> Transaction:
        """The payment of a row; columns that no template names are kept in `extra`."""
        values: dict[str, Any] = {name: self._fill(template, row) for name, template in self.file.fields.items()}
        values["time"] = self._time(values["time"])
        used = {name for template in self.file.fields.values() for name in _columns(template)} | {self.file.fraud_column}
        values["extra"] = {name: value for name, value in row.items() if name and name not in used and value not in ("", None)}
        try:
            values["amount"] = float(values["amount"].replace("$", ""))
            return msgspec.convert(values, Transaction)
        except (ValueError, msgspec.ValidationError) as error:
            raise InvalidRecord(str(error)) from error

    def label(self, row: Mapping[str, Any]) -> Label:
        """The label of a row, arriving `label_delay_days` after its payment."""
        column = self.file.fraud_column
        if column is None or row.get(column) is None:
            raise InvalidRecord(f"format {self.name!r}: no label in the row", field=column)
        transaction = self.transaction(row)
        arrival = transaction.time + timedelta(days=self.file.label_delay_days)
        return Label(transaction_id=transaction.id, fraud=row[column].strip() in self.file.fraud_values, time=arrival)

    def _fill(self, template: str, row: Mapping[str, Any]) -> str:
        try:
            return template.format_map({name: value or "" for name, value in row.items() if name}).strip()
        except (KeyError, ValueError, IndexError) as error:
            raise InvalidRecord(f"template {template!r} cannot be filled: {error}") from error

    def _time(self, text: str) -> datetime:
        try:
            if self.file.time_format == _EPOCH:
                return datetime.fromtimestamp(float(text), UTC)
            moment = _parse_time(text, self.file.time_format)
        except (ValueError, OverflowError, OSError) as error:
            raise InvalidRecord(f"{text!r} is no time of format {self.file.time_format}", field="time") from error
        return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(self.file.time_zone))


def _parse_time(text: str, time_format: str) -> datetime:
    return datetime.fromisoformat(text) if time_format == _RFC3339 else datetime.strptime(text, time_format)  # noqa: DTZ007


def _columns(template: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(template) if name]


def built_in() -> list[str]:
    """The names of the formats that come with Groundswell."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_format(name: str) -> Format:
    """The built-in format of that name, or the one in a YAML file."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else _FOLDER / f"{name}.yaml"
    try:
        file = msgspec.convert(yaml.safe_load(path.read_text("utf-8")), _File)
        ZoneInfo(file.time_zone)
    except FileNotFoundError as error:
        known = ", ".join(built_in())
        raise ConfigError(f"no format {name!r}: the built-in ones are {known}; or name a .yaml file") from error
    except (yaml.YAMLError, msgspec.ValidationError, KeyError, ValueError) as error:
        raise ConfigError(f"not a format file: {error}", file=str(path)) from error
    needed = {"id", "time", "customer_id", "terminal_id", "amount", "currency"}
    if not needed <= set(file.fields):
        raise ConfigError(f"needs {', '.join(sorted(needed - set(file.fields)))}", file=str(path), field="fields")
    return Format(name, file)
