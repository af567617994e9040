"""The settings of a training run, read from a YAML file."""

from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec

from core.errors import ConfigError
from models.training.fraud.generator import World
from models.training.fraud.network import Shape
from models.training.fraud.train import Plan

RECIPES = Path(__file__).parent / "recipes"


class Generated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="generator"):
    """Worlds of our own generator: one to learn from, one to calibrate on, one to measure on."""

    training: World
    calibration: World
    test: World


class Handbook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="handbook"):
    """The payments of the Fraud Detection Handbook from `start` to before `end`; without `start`, from the fifth week on.

    The last `held_days` are not learned from: they calibrate the logit, set the cascade's threshold and measure both. Without them
    the model has no first stage of its own to serve with.
    """

    end: date
    start: date | None = None
    held_days: int = 7


class Further(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Payments of another source, from which further boosted trees learn, with labels after 7 days: the history at hand, beside
    generated payments.

    The logit that is served is theirs by `share`, and for the rest that of the network on the trees that it learned on.
    """

    data: Handbook
    share: Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is learned from, how, and by which network.

    With `first_stage`, boosted trees on the sums learn first, and the network learns what to add to their logit; `further` needs that.
    """

    data: Generated | Handbook
    plan: Plan
    shape: Shape = Shape()
    first_stage: bool = True
    further: Further | None = None

    def __post_init__(self) -> None:
        if self.further is not None and not self.first_stage:
            raise ValueError("further trees need first_stage: true")


def read_recipe(name: str) -> Recipe:
    """The recipe in a YAML file, or the bundled one of that name; `ConfigError` names the field that is wrong."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=Recipe)
    except FileNotFoundError as error:
        known = ", ".join(sorted(each.stem for each in RECIPES.glob("*.yaml")))
        raise ConfigError(f"no such recipe; the bundled ones are {known}", file=str(path)) from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"not a recipe for fraud: {error}", file=str(path)) from error
