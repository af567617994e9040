"""Records that could not go on."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import BrokerOption, DataOption, JsonOption, SettingsOption

dead_app = typer.Typer(no_args_is_help=True, help="Records that could not go on.")


StageOption = Annotated[str | None, typer.Option("--stage", help="Only records that failed in this stage.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Only reasons with these words.")]
OpenOption = Annotated[bool, typer.Option("--open", help="Only letters that were not replayed.")]


@dead_app.command("list")
def dead_list(
    topic: Annotated[str | None, typer.Option("--topic", help="Only records that came from this topic.")] = None,
    stage: StageOption = None,
    reason: ReasonOption = "",
    is_open: OpenOption = False,
    limit: Annotated[int, typer.Option("--limit", min=1)] = 50,
    broker: BrokerOption = None,
    data: DataOption = None,
    settings: SettingsOption = None,
    json: JsonOption = False,
) -> None:
    """The newest dead letters with their reasons."""
    from commands.dead import print_dead
    from commands.wiring import attached
    from core.dead import DeadQuery

    query = DeadQuery(topic=topic, stage=stage, words=reason, open=is_open)
    print_dead(attached(settings, data=data, broker=broker), query, limit=limit, json=json)


PlaceArgument = Annotated[str, typer.Argument(help="TOPIC.dead:PARTITION:OFFSET, as `dead list` prints it.")]


@dead_app.command("show")
def dead_show(
    place: PlaceArgument, broker: BrokerOption = None, data: DataOption = None, settings: SettingsOption = None
) -> None:
    """One dead letter: its reason, where it came from, and its bytes."""
    from commands.dead import show_dead
    from commands.wiring import attached

    show_dead(attached(settings, data=data, broker=broker), place)


@dead_app.command("replay")
def dead_replay(
    places: Annotated[list[str] | None, typer.Argument(help="TOPIC.dead:PARTITION:OFFSET …")] = None,
    topic: Annotated[str | None, typer.Option("--topic", help="All dead letters that came from this topic.")] = None,
    stage: StageOption = None,
    reason: ReasonOption = "",
    is_open: OpenOption = False,
    with_file: Annotated[Path | None, typer.Option("--with", help="Send this file's bytes instead of the letter's.")] = None,
    broker: BrokerOption = None,
    data: DataOption = None,
    settings: SettingsOption = None,
) -> None:
    """Send dead letters to the topic that they came from, again."""
    from commands.dead import replay_dead
    from commands.wiring import attached
    from core.dead import DeadQuery

    query = DeadQuery(topic=topic, stage=stage, words=reason, open=is_open)
    replay_dead(attached(settings, data=data, broker=broker), places or [], query, with_file=with_file)
