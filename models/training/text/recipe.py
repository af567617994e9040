"""The settings of a training run, read from a YAML file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from core.errors import ConfigError

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
RECIPES = Path(__file__).parent / "recipes"


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every kind of training has. A checkpoint resumes only under the settings and data that made it.

    `base` is `minilm`, `e5`, a Hugging Face folder or name, or the folder of a finished run. `data` is filled in by the run: a
    digest of its training examples.
    """

    base: str
    seed: int = 0
    epochs: int = 3
    batch_size: int = 16
    max_tokens: int = 96
    encoder_rate: float = 5e-5
    head_rate: float = 5e-4
    layer_decay: float = 1.0
    weight_decay: float = 0.01
    warmup_share: float = 0.06
    max_gradient_norm: float = 1.0
    encoder_dropout: float | None = None
    frozen_embeddings: bool = False
    checkpoint_steps: int = 200
    data: str = ""


class Finetuning(Schedule, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="finetune"):
    """Supervised training on labelled sets: name → the share of its rows that an epoch sees.

    `lora_rank` above 0 trains low-rank adapters in place of the encoder's weights. `patience` is how many epochs without a better
    development score end the run; the best epoch's weights are kept. `lend_sentiment` starts the
    Chinese and Spanish sentiment heads from the English one.
    `consistency` weighs how far two passes of a text, which dropout makes differ, are apart (R-Drop, Liang et al. 2021); above 0 a
    step costs twice as much.
    """

    sets: dict[str, Share]
    label_smoothing: float = 0.05
    lora_rank: int = 0
    patience: int = 2
    lend_sentiment: bool = False
    consistency: float = 0.0


class Pretraining(Schedule, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="pretrain"):
    """Masked-language training on the event streams named: folders of `streams` beside the labelled sets."""

    streams: tuple[str, ...]


class Distillation(Schedule, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="distil"):
    """A small encoder that learns a teacher's soft labels on the labelled sets' training part and the streams.

    `base` is a finished run, from which the student has its tokenizer and, projected, its word embeddings. `teachers` are finished
    runs by language, one or several that answer together; `base` teaches the others. The student has `layers` of `width`, or goes on
    as the finished run `start`. From the texts of the sets in `recombined` it also learns by their clauses, and by pairs of them;
    with `own_heads` a set's texts teach it the heads alone that the set has labels for.
    """

    sets: tuple[str, ...]
    streams: tuple[str, ...]
    teachers: dict[str, str | tuple[str, ...]] = {}
    start: str = ""
    layers: int = 4
    width: int = 256
    heads: int = 4
    softness: float = 2.0
    patience: int = 2
    recombined: tuple[str, ...] = ()
    own_heads: bool = False


def names_of(teachers: Mapping[str, str | Sequence[str]]) -> list[str]:
    """All teachers, in the order of their languages.

    >>> names_of({"en": "runs/one", "zh": ("runs/two", "runs/three")})
    ['runs/one', 'runs/two', 'runs/three']
    """
    return [name for named in teachers.values() for name in listed(named)]


def listed(named: str | Sequence[str]) -> Sequence[str]:
    """A language's teachers, where one may stand without a list."""
    return (named,) if isinstance(named, str) else named


Recipe = Finetuning | Pretraining | Distillation


def read_recipe(name: str) -> Recipe:
    """The recipe in a YAML file, or the bundled one of that name; `ConfigError` names the field that is wrong."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"
    try:
        recipe: Recipe = msgspec.yaml.decode(path.read_bytes(), type=Recipe)
    except FileNotFoundError as error:
        known = ", ".join(sorted(each.stem for each in RECIPES.glob("*.yaml")))
        raise ConfigError(f"no such recipe; the bundled ones are {known}", file=str(path)) from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"not a training recipe: {error}", file=str(path)) from error
    return recipe
