"""From a recipe to a trained network: what `groundswell models train text` runs."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch

from core.errors import ConfigError
from models.training.text.bases import base_folder, stream_texts
from models.training.text.distil import distil, transfer_texts
from models.training.text.finetune import finetune
from models.training.text.loop import remember
from models.training.text.pretrain import pretrain
from models.training.text.recipe import Finetuning, Pretraining, Recipe, names_of, read_recipe
from models.training.text.sets import SETS, read_sets
from models.training.text.split import Split, split


def read_split(data: Path) -> Split:
    """The one split of all sets in `data`; a recipe that trains on some of them takes its part of it."""
    return split(read_sets(data, SETS))


@dataclass(frozen=True, slots=True)
class Job:
    """A recipe's name or file, the folder of the labelled sets (the event streams lie in `streams` beside it), and where to write.

    `base` replaces the encoder that the recipe starts from. With `resume` training goes on from the checkpoint in `out`. `project`
    names a project on Weights & Biases that is sent what TensorBoard is.
    """

    recipe: str
    data: Path
    out: Path
    base: str | None = None
    resume: bool = False
    project: str | None = None


def train(job: Job) -> None:
    """Train by a recipe."""
    torch.set_num_threads(1)  # two spinning threads were four times slower on a busy machine
    recipe, data, out, resume = read_recipe(job.recipe), job.data, job.out, job.resume
    if job.base is not None:
        recipe = msgspec.structs.replace(recipe, base=job.base)
    if job.project is not None:
        _follow(job.project, out, recipe)
    start = base_folder(recipe.base, data, out)
    if isinstance(recipe, Pretraining):
        texts = list(dict.fromkeys(filter(None, stream_texts(data, recipe.streams))))
        pretrain(start, texts, out, recipe=recipe, resume=resume)
        remember(out, [start])
        return
    parts = read_split(data).of(recipe.sets)
    print(f"{len(parts.train)} training examples, {len(parts.dev)} for development", flush=True)
    if isinstance(recipe, Finetuning):
        finetune(start, parts, out, recipe=recipe, resume=resume)
        remember(out, [start])
    else:
        streamed = list(stream_texts(data, recipe.streams))
        transfer = transfer_texts(parts.train, streamed, recombine=recipe.recombined, own=recipe.own_heads)
        distil(Path(start), transfer, parts.dev, out, recipe=recipe, resume=resume)
        remember(out, [start, *names_of(recipe.teachers), *filter(None, [recipe.start])])


def _follow(project: str, out: Path, recipe: Recipe) -> None:
    try:
        import wandb
    except ImportError as error:
        raise ConfigError("Weights & Biases is asked for but not installed: `pip install wandb`") from error
    out.mkdir(parents=True, exist_ok=True)
    wandb.init(project=project, dir=str(out), config=msgspec.to_builtins(recipe), sync_tensorboard=True)
