"""`python -m models.training.fraud generate|sample|train|export|evaluate`: from generated payments to a served model."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import structlog

from models.fraud.history import DAY_S
from models.registry import ARTIFACTS, load
from models.training.fraud.files import Written, write, write_sample
from models.training.fraud.generator import World, generate, label_times
from models.training.fraud.protocol import FIRST_TEST_FOLD


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command."""
    options = _parser().parse_args(arguments)
    options.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.training.fraud", description=__doc__)
    commands = parser.add_subparsers(required=True)
    _generate_options(commands.add_parser("generate", help="write transactions.jsonl and labels.jsonl of a generated world"))
    sample = commands.add_parser("sample", help="write the demo's 20,000 transactions and their labels")
    sample.add_argument("--out", type=Path, default=Path("samples"))
    sample.set_defaults(run=_sample)
    train = commands.add_parser("train", help="train the encoder on a generated world; goes on from a checkpoint")
    train.add_argument("--work", type=Path, required=True, help="folder of the checkpoint")
    train.add_argument("--steps", type=int, default=11_000)
    train.set_defaults(run=_train)
    export = commands.add_parser("export", help="calibrate a trained encoder, measure it, and write its model folder")
    export.add_argument("--work", type=Path, required=True, help="folder of the checkpoint")
    export.add_argument("--version", default="1")
    export.add_argument("--artifacts", type=Path, default=ARTIFACTS)
    export.add_argument("--measured", type=Path, help="Markdown that `evaluate` printed, to become part of the card")
    export.set_defaults(run=_export)
    evaluate = commands.add_parser("evaluate", help="measure on a fold of the Fraud Detection Handbook's data")
    evaluate.add_argument("--handbook", type=Path, required=True, help="folder of transactions.parquet")
    evaluate.add_argument("--model", type=Path, help="model folder to apply unchanged")
    evaluate.add_argument(
        "--fold", type=date.fromisoformat, default=FIRST_TEST_FOLD.date(), help="first day of its training week"
    )
    evaluate.add_argument("--work", type=Path, required=True, help="folder of the checkpoint")
    evaluate.set_defaults(run=_evaluate)
    return parser


def _generate_options(parser: argparse.ArgumentParser) -> None:
    usual = World()
    parser.add_argument("--customers", type=int, default=usual.customers)
    parser.add_argument("--terminals", type=int, default=usual.terminals)
    parser.add_argument("--days", type=int, default=usual.days)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--start", type=date.fromisoformat, default=usual.start)
    parser.add_argument("--delay-days", type=float, default=7.0, help="until a label is known")
    parser.add_argument("--jitter", type=float, default=0.0, help="share of the delay by which it varies, 0 to 1")
    parser.add_argument("--out", type=Path, required=True)
    parser.set_defaults(run=_generate)


def _generate(options: argparse.Namespace) -> None:
    world = World(
        customers=options.customers, terminals=options.terminals, days=options.days, seed=options.seed, start=options.start
    )
    payments = generate(world)
    known_s = label_times(payments, delay_s=options.delay_days * DAY_S, jitter=options.jitter, seed=options.seed)
    _tell(write(options.out, payments, known_s))


def _sample(options: argparse.Namespace) -> None:
    _tell(write_sample(options.out))


def _tell(written: tuple[Written, Written]) -> None:
    for one in written:
        print(f"{one.path}: {one.rows:,} records")


def _train(options: argparse.Namespace) -> None:
    from models.training.fraud.release import learn

    learn(options.work, options.steps)


def _export(options: argparse.Namespace) -> None:
    from models.training.fraud.release import release

    measured = options.measured.read_text(encoding="utf-8") if options.measured else ""
    print(release(options.work, options.version, root=options.artifacts, measured=measured))


def _evaluate(options: argparse.Namespace) -> None:
    from models.training.fraud.evaluate import evaluate, table
    from models.training.fraud.ledger import read_handbook

    start = datetime(options.fold.year, options.fold.month, options.fold.day, tzinfo=UTC)
    shipped = load(options.model) if options.model else None
    print(table(evaluate(read_handbook(options.handbook), start, shipped=shipped, work=options.work)))


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # results alone go to standard output
    main()
