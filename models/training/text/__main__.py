"""`python -m models.training.text train|export|evaluate`."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import torch
import typer

from core.clock import utc_now
from core.errors import GroundswellError
from models.registry import load
from models.training.text.base import base_folder
from models.training.text.data import read_sets, split
from models.training.text.evaluate import baseline_labels, by_group, table
from models.training.text.finetune import Recipe, finetune, read_recipe
from models.training.text.release import crown, release, score_dev

app = typer.Typer(help="Train, export and evaluate the English text model.", no_args_is_help=True, add_completion=False)

Data = Annotated[Path, typer.Option("--data", help="Folder that holds the labelled sets.")]


@app.callback()
def main() -> None:
    """Train, export and evaluate the English text model."""


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and the trained weights.")],
    base: Annotated[str | None, typer.Option(help="Folder of a pretrained BERT encoder.")] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 3,
    seed: Annotated[int, typer.Option()] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")] = False,
) -> None:
    """Fine-tune on the training part of the sets; about 35 minutes on one core."""
    torch.set_num_threads(1)
    parts = split(read_sets(data), seed=seed)
    print(f"{len(parts.train)} training examples, {len(parts.dev)} for development", flush=True)
    finetune(base_folder(base), parts.train, out, recipe=Recipe(seed=seed, epochs=epochs), resume=resume)


@app.command()
def export(
    data: Data,
    checkpoint: Annotated[Path, typer.Option(help="Folder of a finished training run.")],
    out: Annotated[Path, typer.Option(help="The model folder to write, …/NAME/VERSION.")],
    champion: Annotated[bool, typer.Option("--champion", help="Let it serve the task from now on.")] = False,
) -> None:
    """Export to ONNX with int8 weights, calibrate and measure on the development part, and write manifest and card."""
    torch.set_num_threads(1)
    parts = split(read_sets(data), seed=read_recipe(checkpoint).seed)
    manifest = release(checkpoint, parts, out, data=data, now=utc_now())
    if champion:
        crown(out)
    typer.echo(msgspec.json.format(msgspec.json.encode(manifest.metrics)).decode())


@app.command()
def evaluate(
    data: Data,
    artifact: Annotated[Path, typer.Option(help="Folder of an exported model, …/NAME/VERSION.")],
) -> None:
    """Score the development part with an exported model, and print it beside the baseline."""
    found = load(artifact)
    parts = split(read_sets(data), seed=int(found.manifest.config["seed"]))
    typer.echo(table(by_group(parts.dev, score_dev(found, parts.dev)), by_group(parts.dev, baseline_labels(parts))))


if __name__ == "__main__":
    try:
        app()
    except GroundswellError as error:
        sys.exit(f"error: {error}")
