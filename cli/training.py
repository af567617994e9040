"""Models from data of one's own: train, evaluate, export; needs the `train` extra."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import ModelArgument, ModelsOption, SettingsOption, models_folder

train_app = typer.Typer(no_args_is_help=True, help="Train a network; needs the `train` extra.")
evaluate_app = typer.Typer(no_args_is_help=True, help="Measure a model; needs the `train` extra.")
export_app = typer.Typer(no_args_is_help=True, help="Make a model of a trained network; needs the `train` extra.")

SetsOption = Annotated[Path, typer.Option("--data", help="Folder of the labelled sets, `streams` beside it.")]
PaymentsOption = Annotated[
    Path | None, typer.Option("--data", help="Folder of transactions.parquet, where the recipe does not generate its payments.")
]
Protocol = Literal["handbook", "s-ffsd"]
Folds = Literal["validation", "test"]


@train_app.command("text")
def models_train_text(
    recipe: Annotated[str, typer.Argument(help="A recipe, YAML, or the name of a bundled one.")],
    data: SetsOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoints, logs and the trained network.")],
    base: Annotated[str | None, typer.Option("--base", help="Start from this folder in place of the recipe's base.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")] = False,
    wandb: Annotated[
        str | None, typer.Option("--wandb", help="Project on Weights & Biases to log to, if that is installed.")
    ] = None,
) -> None:
    """Fine-tune, pretrain or distil a text network by a recipe."""
    from commands.training import train_text

    train_text(recipe, data, out, base=base, resume=resume, project=wandb)


@evaluate_app.command("text")
def models_evaluate_text(
    name: ModelArgument,
    data: SetsOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for report.html and report.md.")],
    show_texts: Annotated[bool, typer.Option("--show-texts", help="Show texts of sets that state no licence too.")] = False,
    models: ModelsOption = None,
    settings: SettingsOption = None,
) -> None:
    """Score the development part of the sets that a model serves, beside TF-IDF, and write the report."""
    from commands.training import evaluate_text

    evaluate_text(models_folder(models, settings), name, data, out, show_texts=show_texts)


@export_app.command("text")
def models_export_text(
    run: Annotated[Path, typer.Argument(help="Folder of a finished training run.")],
    name: ModelArgument,
    data: SetsOption,
    languages: Annotated[
        list[str] | None, typer.Option("--language", help="Serve this language; all three if none is named.")
    ] = None,
    pieces: Annotated[
        int | None,
        typer.Option(help="Keep this many word pieces, those that the languages use most; all if not given.", min=1000),
    ] = None,
    lead_tokens: Annotated[
        int | None,
        typer.Option(help="Ask the topic of a text above 128 tokens of so many of its first in one piece.", min=129, max=512),
    ] = None,
    models: ModelsOption = None,
    settings: SettingsOption = None,
) -> None:
    """Export to ONNX, hold every variant against torch, calibrate, measure, and write manifest, card and report."""
    from commands.training import Exported, export_text

    exported = Exported(run, name, tuple(languages or ()), pieces, lead_tokens)
    export_text(models_folder(models, settings), exported, data)


@train_app.command("fraud")
def models_train_fraud(
    recipe: Annotated[str, typer.Argument(help="A recipe, YAML, or the name of a bundled one.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoints and the trained network.")],
    data: PaymentsOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")] = False,
) -> None:
    """Train boosted trees and a network on payments by a recipe."""
    from commands.training import train_fraud

    train_fraud(recipe, data, out, resume=resume)


@evaluate_app.command("fraud")
def models_evaluate_fraud(
    data: Annotated[
        Path, typer.Option("--data", help="Folder of the protocol's payments: transactions.parquet, first60.csv.gz.")
    ],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME/VERSION]…", help="Models to measure beside the trees, by the Handbook's.")
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(
            "--protocol",
            help="The Handbook's: train, wait and test for 7 days each. S-FFSD's: trees on our sums against its plain columns.",
        ),
    ] = "handbook",
    folds: Annotated[Folds, typer.Option("--folds", help="To choose on, or to report.")] = "validation",
    samples: Annotated[int, typer.Option("--samples", min=20, help="Bootstrap samples over customers for the intervals.")] = 200,
    delays: Annotated[
        str, typer.Option("--delays", help="Score also as if every label came after so many days; '' does not.")
    ] = "7,3,1,0",
    out: Annotated[
        Path | None, typer.Option("--out", help="Write each model's report.html and report.md to NAME/VERSION in this folder.")
    ] = None,
    models: ModelsOption = None,
    settings: SettingsOption = None,
) -> None:
    """Measure boosted trees on our sums, and models, fold by fold beside the published figures, with labels sooner too."""
    from commands.training import cross_check_fraud, evaluate_fraud

    if protocol == "s-ffsd":
        if names or out is not None:
            raise typer.BadParameter(
                "s-ffsd measures trees alone, learned there: name no models and no --out", param_hint="--protocol"
            )
        cross_check_fraud(data, samples=samples)
        return
    asked = {"folds": folds, "samples": samples, "delays": parse_days(delays), "out": out}
    evaluate_fraud(models_folder(models, settings), names or (), data, **asked)


@export_app.command("fraud")
def models_export_fraud(
    run: Annotated[Path, typer.Argument(help="Folder of a finished training run.")],
    name: ModelArgument,
    data: PaymentsOption = None,
    models: ModelsOption = None,
    settings: SettingsOption = None,
) -> None:
    """Calibrate, measure and export to ONNX: encoder, first stage, manifest, card and report."""
    from commands.training import export_fraud

    export_fraud(models_folder(models, settings), run, name, data)


def parse_days(text: str) -> tuple[float, ...]:
    """Numbers of days, divided by commas; none of an empty text.

    >>> parse_days("7,0.5"), parse_days("")
    ((7.0, 0.5), ())
    """
    try:
        days = tuple(float(each) for each in text.split(",")) if text.strip() else ()
    except ValueError:
        days = (-1.0,)
    if not all(0 <= each < float("inf") for each in days):
        raise typer.BadParameter(f"{text!r} is not a list of days as in 7,3,1,0", param_hint="--delays")
    return days
