"""The command line: `groundswell` and `python -m groundswell`. Each command's work is in `commands/`."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from core import log
from core.errors import GroundswellError, Retryable

Task = Literal["sentiment", "topic"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Scores news, posts and payments as they stream in, makes them searchable, and warns when something surges.",
)
ingest_app = typer.Typer(no_args_is_help=True, help="Bring events in: from files, standard input or feeds.")
score_app = typer.Typer(no_args_is_help=True, help="Score offline, with the code that the worker runs.")
rules_app = typer.Typer(no_args_is_help=True, help="Alert rules.")
alerts_app = typer.Typer(no_args_is_help=True, help="Alerts that were raised.")
topics_app = typer.Typer(no_args_is_help=True, help="Kafka topics.")
dead_app = typer.Typer(no_args_is_help=True, help="Records that could not go on.")
db_app = typer.Typer(no_args_is_help=True, help="The database of alerts, deliveries and the ledger.")
index_app = typer.Typer(no_args_is_help=True, help="The index of scored events.")
models_app = typer.Typer(no_args_is_help=True, help="Models: which are here, and which of them serve.")
for name, sub in (
    ("ingest", ingest_app),
    ("score", score_app),
    ("rules", rules_app),
    ("alerts", alerts_app),
    ("topics", topics_app),
    ("dead", dead_app),
    ("db", db_app),
    ("index", index_app),
    ("models", models_app),
):
    app.add_typer(sub, name=name)

DataOption = Annotated[Path | None, typer.Option("--data", help="Folder for state.")]
BrokerOption = Annotated[str | None, typer.Option("--broker", help="Kafka bootstrap servers, host:port.")]
SettingsOption = Annotated[Path | None, typer.Option("--settings", help="Settings file, TOML.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ParentOption = Annotated[bool, typer.Option("--end-with-parent", hidden=True)]
InputOption = Annotated[Path, typer.Option("--input", help="JSON Lines; - is standard input.")]
OutputOption = Annotated[Path, typer.Option("--output", help="JSON Lines; - is standard output.")]
FormatOption = Annotated[str | None, typer.Option("--format", help="CSV format: tabformer, sparkov, handbook, or a YAML file.")]
SpeedOption = Annotated[str, typer.Option("--speed", help="Times real time by event time, or max.")]


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


ModelsOption = Annotated[Path | None, typer.Option("--models", help="Folder of models; the bundled one, if none is named.")]
ModelArgument = Annotated[str, typer.Argument(metavar="NAME/VERSION", help="As `models list` prints it.")]
AliasOption = Annotated[str, typer.Option("--alias", help="champion, candidate, permissive, student, or your own.")]
SlotOption = Annotated[
    list[str] | None, typer.Option("--slot", help="fraud, sentiment.LANG or topic.LANG; all that there are, if none is named.")
]


def _models_folder(models: Path | None, settings: Path | None) -> Path:
    from commands import wiring

    return wiring.models(wiring.settings_from(settings, models=models))


@models_app.command("list")
def models_list(models: ModelsOption = None, settings: SettingsOption = None, json: JsonOption = False) -> None:
    """The models that are here and which aliases name them."""
    from commands.models import print_models

    print_models(_models_folder(models, settings), json=json)


@models_app.command("show")
def models_show(name: ModelArgument, models: ModelsOption = None, settings: SettingsOption = None) -> None:
    """A model's manifest, after its files were checked against it."""
    from commands.models import show_model

    show_model(_models_folder(models, settings), name)


@models_app.command("promote")
def models_promote(
    name: ModelArgument,
    alias: AliasOption = "champion",
    slots: SlotOption = None,
    models: ModelsOption = None,
    settings: SettingsOption = None,
) -> None:
    """Let a model fill slots of an alias; what runs takes it up at its next start."""
    from commands.models import promote_model

    promote_model(_models_folder(models, settings), name, alias=alias, slots=slots)


@models_app.command("rollback")
def models_rollback(
    alias: AliasOption = "champion", slots: SlotOption = None, models: ModelsOption = None, settings: SettingsOption = None
) -> None:
    """Undo the last promotion of an alias, or that of each named slot."""
    from commands.models import rollback_models

    rollback_models(_models_folder(models, settings), alias=alias, slots=slots)


train_app = typer.Typer(no_args_is_help=True, help="Train a network; needs the `train` extra.")
evaluate_app = typer.Typer(no_args_is_help=True, help="Measure a model; needs the `train` extra.")
export_app = typer.Typer(no_args_is_help=True, help="Make a model of a trained network; needs the `train` extra.")
for name, sub in (("train", train_app), ("evaluate", evaluate_app), ("export", export_app)):
    models_app.add_typer(sub, name=name)

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


@models_app.command("sets")
def models_sets(data: SetsOption) -> None:
    """The labelled sets, the copies and near copies in them, and how the leak-free split divides them."""
    from commands.training import print_sets

    print_sets(data)


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

    evaluate_text(_models_folder(models, settings), name, data, out, show_texts=show_texts)


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
    models: ModelsOption = None,
    settings: SettingsOption = None,
) -> None:
    """Export to ONNX, hold every variant against torch, calibrate, measure, and write manifest, card and report."""
    from commands.training import Exported, export_text

    exported = Exported(run, name, tuple(languages or ()), pieces)
    export_text(_models_folder(models, settings), exported, data)


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
    evaluate_fraud(_models_folder(models, settings), names or (), data, **asked)


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

    export_fraud(_models_folder(models, settings), run, name, data)


@models_app.command("import")
def models_import(
    source: Annotated[str, typer.Argument(help="Folder, or name on the hub, of a fine-tuned Hugging Face classifier.")],
    name: ModelArgument,
    texts: Annotated[
        Path, typer.Option("--texts", help="JSON Lines {text, label?} to hold the export against; labels calibrate.")
    ],
    task: Annotated[Task, typer.Option("--task", help="What it answers.")] = "sentiment",
    language: Annotated[str, typer.Option("--language", help="The language that it reads.")] = "en",
    labels: Annotated[list[str] | None, typer.Option("--label", help="NUMBER=NAME, where its own names do not tell.")] = None,
    permissive: Annotated[bool, typer.Option("--permissive", help="Its licence and its data's allow any use.")] = False,
    models: ModelsOption = None,
    settings: SettingsOption = None,
) -> None:
    """Export a Hugging Face classifier to ONNX and hold it against the original; `models promote` then lets it serve."""
    from commands.training import Adopted, import_text

    adopted = Adopted(source, name, task, language, tuple(labels or ()), permissive)
    import_text(_models_folder(models, settings), adopted, texts)


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


def main() -> None:
    """Run the command line; an error that a person can mend ends it with one line and status 2, one that passes with 75 (EX_TEMPFAIL)."""
    log.configure(level=os.environ.get("GROUNDSWELL_LOG_LEVEL", "INFO"))
    try:
        app()
    except GroundswellError as error:
        sys.stderr.write(f"groundswell: {error}\n")
        sys.exit(os.EX_TEMPFAIL if isinstance(error, Retryable) else 2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
