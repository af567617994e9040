"""Models: which are here, which of them serve, and how new ones are made."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli import training
from cli.options import JsonOption, ModelArgument, ModelsOption, SettingsOption, models_folder
from cli.training import SetsOption

models_app = typer.Typer(no_args_is_help=True, help="Models: which are here, and which of them serve.")
for name, sub in (("train", training.train_app), ("evaluate", training.evaluate_app), ("export", training.export_app)):
    models_app.add_typer(sub, name=name)


Task = Literal["sentiment", "topic"]
AliasOption = Annotated[str, typer.Option("--alias", help="champion, candidate, permissive, student, or your own.")]
SlotOption = Annotated[
    list[str] | None, typer.Option("--slot", help="fraud, sentiment.LANG or topic.LANG; all that there are, if none is named.")
]


@models_app.command("list")
def models_list(models: ModelsOption = None, settings: SettingsOption = None, json: JsonOption = False) -> None:
    """The models that are here and which aliases name them."""
    from commands.models import print_models

    print_models(models_folder(models, settings), json=json)


@models_app.command("show")
def models_show(name: ModelArgument, models: ModelsOption = None, settings: SettingsOption = None) -> None:
    """A model's manifest, after its files were checked against it."""
    from commands.models import show_model

    show_model(models_folder(models, settings), name)


@models_app.command("promote")
def models_promote(
    name: ModelArgument,
    alias: AliasOption = "champion",
    slots: SlotOption = None,
    models: ModelsOption = None,
    settings: SettingsOption = None,
) -> None:
    """Let a model fill slots of an alias; what runs takes it up at its next start."""
    from commands.models import promote_model

    promote_model(models_folder(models, settings), name, alias=alias, slots=slots)


@models_app.command("rollback")
def models_rollback(
    alias: AliasOption = "champion", slots: SlotOption = None, models: ModelsOption = None, settings: SettingsOption = None
) -> None:
    """Undo the last promotion of an alias, or that of each named slot."""
    from commands.models import rollback_models

    rollback_models(models_folder(models, settings), alias=alias, slots=slots)


@models_app.command("sets")
def models_sets(data: SetsOption) -> None:
    """The labelled sets, the copies and near copies in them, and how the leak-free split divides them."""
    from commands.training import print_sets

    print_sets(data)


@models_app.command("import")
def models_import(
    source: Annotated[str, typer.Argument(help="Folder, or name on the hub, of a fine-tuned Hugging Face classifier.")],
    name: ModelArgument,
    texts: Annotated[
        Path, typer.Option("--texts", help="JSON Lines {text, label?} to hold the export against; labels calibrate.")
    ],
    task: Annotated[Task, typer.Option("--task", help="What it answers.")] = "sentiment",
    language: Annotated[str, typer.Option("--language", help="The language that it reads.")] = "en",
    labels: Annotated[list[str] | None, typer.Option("--label", help="NUMBER=NAME, where its own names do not tell.")] = None,
    permissive: Annotated[bool, typer.Option("--permissive", help="Its licence and its data's allow any use.")] = False,
    models: ModelsOption = None,
    settings: SettingsOption = None,
) -> None:
    """Export a Hugging Face classifier to ONNX and hold it against the original; `models promote` then lets it serve."""
    from commands.training import Adopted, import_text

    adopted = Adopted(source, name, task, language, tuple(labels or ()), permissive)
    import_text(models_folder(models, settings), adopted, texts)
