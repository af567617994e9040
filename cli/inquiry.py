"""What is there: events, alerts, topics, and whether anything was lost."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from cli.options import BrokerOption, DataOption, JsonOption, SettingsOption

app = typer.Typer()
alerts_app = typer.Typer(no_args_is_help=True, help="Alerts that were raised.")
rules_app = typer.Typer(no_args_is_help=True, help="Alert rules.")
topics_app = typer.Typer(no_args_is_help=True, help="Kafka topics.")


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="KQL, as in 'sentiment.label:negative and entities.id:AAPL'.")] = "",
    start: Annotated[str | None, typer.Option("--from", help="Earliest time: RFC 3339 or date math such as now-2w.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Time to stop before.")] = None,
    size: Annotated[int, typer.Option("--size", min=0, max=10_000)] = 20,
    sort: Annotated[str, typer.Option("--sort", help="FIELD:asc or FIELD:desc.")] = "time:desc",
    data: DataOption = None,
    settings: SettingsOption = None,
    json: JsonOption = False,
) -> None:
    """Search the scored events."""
    from commands.search import Search, print_search
    from commands.wiring import settings_from

    asyncio.run(print_search(settings_from(settings, data=data), Search(query, start, end, size, sort), json=json))


@alerts_app.command("list")
def alerts_list(
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 50,
    data: DataOption = None,
    settings: SettingsOption = None,
    json: JsonOption = False,
) -> None:
    """The newest alerts."""
    from commands.alerts import print_alerts
    from commands.wiring import settings_from

    print_alerts(settings_from(settings, data=data), limit=limit, json=json)


@rules_app.command("check")
def rules_check(file: Annotated[Path, typer.Argument(help="Rules, YAML.")]) -> None:
    """Validate a rule file and say what each rule does."""
    from commands.alerts import check_rules

    check_rules(file)


@topics_app.command("list")
def topics_list(
    broker: BrokerOption = None, data: DataOption = None, settings: SettingsOption = None, json: JsonOption = False
) -> None:
    """The topics, their partitions and messages."""
    from commands.topics import print_topics
    from commands.wiring import attached

    print_topics(attached(settings, data=data, broker=broker), json=json)


@topics_app.command("lag")
def topics_lag(
    broker: BrokerOption = None, data: DataOption = None, settings: SettingsOption = None, json: JsonOption = False
) -> None:
    """How far the workers are behind, by topic and partition."""
    from commands.topics import print_lag
    from commands.wiring import attached

    print_lag(attached(settings, data=data, broker=broker), json=json)


@app.command()
def ledger(
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Read the topics too: count their messages, and look every scored event up in the index."),
    ] = False,
    wait: Annotated[float | None, typer.Option("--wait", min=0, help="Seconds to wait until nothing is in flight.")] = None,
    broker: BrokerOption = None,
    data: DataOption = None,
    settings: SettingsOption = None,
    json: JsonOption = False,
) -> None:
    """Check that nothing was lost: what came to each stage, what became of it, its dead letters, and the index.

    Ends with 1 where something does not hold, and says on standard error what to do.
    """
    from commands.ledger import Asked, check_ledger
    from commands.wiring import attached

    if not check_ledger(attached(settings, data=data, broker=broker), Asked(deep, wait, json)):
        raise typer.Exit(1)
