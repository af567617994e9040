"""How fast a replay goes, as an option."""

from typing import Annotated

import typer

SpeedOption = Annotated[str, typer.Option("--speed", help="Times real time by event time, or max.")]


def parse_speed(text: str) -> float | None:
    """Times real time; None for `max`.

    >>> parse_speed("max"), parse_speed("60")
    (None, 60.0)
    """
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise typer.BadParameter(f"{text!r} is neither a positive number nor max", param_hint="--speed")
    return speed
