"""Events that come in, and scores of events in files."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import BrokerOption, DataOption, InputOption, OutputOption, SettingsOption
from cli.speed import SpeedOption, parse_speed

ingest_app = typer.Typer(no_args_is_help=True, help="Bring events in: from files, standard input or feeds.")
score_app = typer.Typer(no_args_is_help=True, help="Score offline, with the code that the worker runs.")


FormatOption = Annotated[str | None, typer.Option("--format", help="CSV format: tabformer, sparkov, handbook, or a YAML file.")]


def _ingest(
    kind: str, file: Path, speed: str, record_format: str | None, broker: str | None, data: Path | None, settings: Path | None
) -> None:
    from commands.ingest import ingest_file
    from commands.wiring import attached

    ingest_file(attached(settings, data=data, broker=broker), kind, file, speed=parse_speed(speed), record_format=record_format)


FileArgument = Annotated[Path, typer.Argument(help="JSON Lines, or CSV with --format; - is standard input.")]


@ingest_app.command("news")
def ingest_news(
    file: FileArgument,
    speed: SpeedOption = "max",
    broker: BrokerOption = None,
    data: DataOption = None,
    settings: SettingsOption = None,
) -> None:
    """News items: {published, source, title, body?, id?, url?, lang?}."""
    _ingest("news", file, speed, None, broker, data, settings)


@ingest_app.command("social")
def ingest_social(
    file: FileArgument,
    speed: SpeedOption = "max",
    broker: BrokerOption = None,
    data: DataOption = None,
    settings: SettingsOption = None,
) -> None:
    """Posts: {published, source, text, id?, author?, url?, followers?, lang?}."""
    _ingest("social", file, speed, None, broker, data, settings)


@ingest_app.command("transactions")
def ingest_transactions(
    file: FileArgument,
    record_format: FormatOption = None,
    speed: SpeedOption = "max",
    broker: BrokerOption = None,
    data: DataOption = None,
    settings: SettingsOption = None,
) -> None:
    """Payments: {id, time, customer_id, terminal_id, amount, currency, channel?, country?}."""
    _ingest("transactions", file, speed, record_format, broker, data, settings)


@ingest_app.command("labels")
def ingest_labels(
    file: FileArgument,
    record_format: FormatOption = None,
    speed: SpeedOption = "max",
    broker: BrokerOption = None,
    data: DataOption = None,
    settings: SettingsOption = None,
) -> None:
    """Findings about payments: {transaction_id, fraud, time}."""
    _ingest("labels", file, speed, record_format, broker, data, settings)


@ingest_app.command("generated")
def ingest_generated(
    customers: Annotated[int, typer.Option("--customers", min=1, help="Customers, with two terminals each.")] = 5_000,
    days: Annotated[int, typer.Option("--days", min=1, help="Days of payments.")] = 90,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same payments.")] = 0,
    rate: Annotated[float | None, typer.Option("--rate", min=0.01, help="Payments a second; all at once without.")] = None,
    label_delay_days: Annotated[float, typer.Option("--label-delay", min=0.0, help="Days of event time until a label.")] = 7.0,
    harder: Annotated[bool, typer.Option("--harder", help="Slow bust-outs, card testing and collusive terminals too.")] = False,
    broker: BrokerOption = None,
    data: DataOption = None,
    settings: SettingsOption = None,
) -> None:
    """Payments of our own making, some of them fraud, with labels that come late."""
    from commands.generated import Stream
    from commands.generated import ingest_generated as send
    from commands.wiring import attached
    from models.training.fraud.generator import World
    from models.training.fraud.harder import SOME, Harder

    world = World(customers=customers, terminals=2 * customers, days=days, seed=seed, harder=SOME if harder else Harder())
    send(attached(settings, data=data, broker=broker), Stream(world, rate, label_delay_days))


@ingest_app.command("rss")
def ingest_rss(
    urls: Annotated[list[str], typer.Argument(help="Feed addresses.")],
    every_s: Annotated[float, typer.Option("--every", help="Seconds between polls.", min=10)] = 300.0,
    once: Annotated[bool, typer.Option("--once", help="Poll once and end.")] = False,
    broker: BrokerOption = None,
    data: DataOption = None,
    settings: SettingsOption = None,
) -> None:
    """RSS and Atom feeds as news, polled until stopped."""
    from commands.ingest import ingest_feeds
    from commands.wiring import attached

    ingest_feeds(attached(settings, data=data, broker=broker), urls, every_s=every_s, once=once)


@score_app.command("text")
def score_text(input: InputOption = Path("-"), output: OutputOption = Path("-"), settings: SettingsOption = None) -> None:  # noqa: A002
    """Lines {id, text, lang?} → sentiment, topic and entities."""
    from commands.score import score_texts
    from commands.wiring import settings_from

    score_texts(settings_from(settings), input, output)


@score_app.command("transactions")
def score_transactions(
    input: InputOption = Path("-"),  # noqa: A002
    output: OutputOption = Path("-"),
    labels: Annotated[Path | None, typer.Option("--labels", help="Labels, JSON Lines; each counts from its own time on.")] = None,
    settings: SettingsOption = None,
) -> None:
    """Payments in time order → fraud scores with reasons."""
    from commands.score import score_payments
    from commands.wiring import settings_from

    score_payments(settings_from(settings), input, output, labels)
