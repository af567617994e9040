"""The parts of a running system, and what its servers must have."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import BrokerOption, DataOption, JsonOption, ParentOption, SettingsOption
from cli.speed import SpeedOption, parse_speed

app = typer.Typer()
db_app = typer.Typer(no_args_is_help=True, help="The database of alerts, deliveries and the ledger.")
index_app = typer.Typer(no_args_is_help=True, help="The index of scored events.")


@app.command()
def run(
    input: Annotated[Path | None, typer.Option("--input", help="Folder with news*.jsonl, social*.jsonl, …")] = None,  # noqa: A002
    rules: Annotated[Path | None, typer.Option("--rules", help="Alert rules, YAML.")] = None,
    speed: SpeedOption = "max",
    exit_when_idle: Annotated[
        bool, typer.Option("--exit-when-idle", help="End when all is scored, indexed and delivered.")
    ] = False,
    data: DataOption = None,
    servers: Annotated[
        Path | None, typer.Option("--servers", help="Folder for a real Kafka and all state, which outlive this run; needs Java.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port of the web page.")] = None,
    settings: SettingsOption = None,
    json: JsonOption = False,
) -> None:
    """Run everything in one process tree and replay the input (the bundled samples, if none is named).

    It runs on the embedded broker, or with --servers on a real one, where a second start goes on where the first has ended.
    """
    from commands.run import Options, print_summary
    from commands.run import run as run_embedded
    from commands.wiring import own_settings

    if data is not None and servers is not None:
        raise typer.BadParameter("name the folder with --servers or with --data, not with both", param_hint="--servers")
    chosen = own_settings(settings, data=servers or data, rules=rules, web_port=port)
    options = Options(
        input=input, speed=parse_speed(speed), exit_when_idle=exit_when_idle, json=json, servers=servers is not None
    )
    summary = run_embedded(chosen, options)
    print_summary(summary, json=json)
    if exit_when_idle and summary.pending:
        raise typer.Exit(1)


@app.command()
def worker(
    broker: BrokerOption = None,
    data: DataOption = None,
    rules: Annotated[Path | None, typer.Option("--rules", help="Alert rules, YAML.")] = None,
    settings: SettingsOption = None,
    end_with_parent: ParentOption = False,
) -> None:
    """Score, index, match and deliver from a Kafka broker."""
    from commands.wiring import settings_from
    from commands.worker import run_worker

    run_worker(settings_from(settings, broker=broker, data=data, rules=rules), end_with_parent=end_with_parent)


@app.command()
def web(
    broker: BrokerOption = None,
    data: DataOption = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to serve on.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to serve on.")] = None,
    settings: SettingsOption = None,
    end_with_parent: ParentOption = False,
) -> None:
    """Serve the page and the API."""
    from commands.web import run_web
    from commands.wiring import settings_from

    chosen = settings_from(settings, broker=broker, data=data, web_host=host, web_port=port)
    run_web(chosen, end_with_parent=end_with_parent)


@app.command()
def scheduler(
    broker: BrokerOption = None,
    data: DataOption = None,
    settings: SettingsOption = None,
    end_with_parent: ParentOption = False,
) -> None:
    """Poll the feeds of the settings, and delete alerts and indices that are older than is kept."""
    from commands.scheduler import run_scheduler
    from commands.wiring import attached

    run_scheduler(attached(settings, data=data, broker=broker), end_with_parent=end_with_parent)


@app.command()
def setup(broker: BrokerOption = None, data: DataOption = None, settings: SettingsOption = None) -> None:
    """Make what workers need of the servers: schema, topics, index templates. Again after each upgrade."""
    from commands.database import set_up
    from commands.wiring import settings_from

    set_up(settings_from(settings, broker=broker, data=data))


@db_app.command("upgrade")
def db_upgrade(data: DataOption = None, settings: SettingsOption = None) -> None:
    """Bring the database to this version's schema; two that do so at once wait for one another."""
    from commands.database import upgrade_database
    from commands.wiring import settings_from

    upgrade_database(settings_from(settings, data=data))


@db_app.command("current")
def db_current(data: DataOption = None, settings: SettingsOption = None) -> None:
    """The schema's revision, and the one that this version needs."""
    from commands.database import print_revisions
    from commands.wiring import settings_from

    print_revisions(settings_from(settings, data=data))


@index_app.command("upgrade")
def index_upgrade(data: DataOption = None, settings: SettingsOption = None) -> None:
    """Bring Elasticsearch's indices to this version's mapping, from the documents that they keep; stop the workers first."""
    from commands.index import upgrade_index
    from commands.wiring import settings_from

    upgrade_index(settings_from(settings, data=data))


@index_app.command("rebuild")
def index_rebuild(broker: BrokerOption = None, data: DataOption = None, settings: SettingsOption = None) -> None:
    """Index the events of the scored topics again, where the index was lost; the embedded one takes no writer beside a worker."""
    from commands.index import rebuild_index
    from commands.wiring import attached

    rebuild_index(attached(settings, data=data, broker=broker))
