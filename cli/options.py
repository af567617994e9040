"""Options that several commands share, under one name and meaning."""

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[Path | None, typer.Option("--data", help="Folder for state.")]
BrokerOption = Annotated[str | None, typer.Option("--broker", help="Kafka bootstrap servers, host:port.")]
SettingsOption = Annotated[Path | None, typer.Option("--settings", help="Settings file, TOML.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ParentOption = Annotated[bool, typer.Option("--end-with-parent", hidden=True)]
InputOption = Annotated[Path, typer.Option("--input", help="JSON Lines; - is standard input.")]
OutputOption = Annotated[Path, typer.Option("--output", help="JSON Lines; - is standard output.")]
ModelsOption = Annotated[Path | None, typer.Option("--models", help="Folder of models; the bundled one, if none is named.")]
ModelArgument = Annotated[str, typer.Argument(metavar="NAME/VERSION", help="As `models list` prints it.")]


def models_folder(models: Path | None, settings: Path | None) -> Path:
    """The folder of models that options ask for, or the settings."""
    from commands import wiring

    return wiring.models(wiring.settings_from(settings, models=models))
