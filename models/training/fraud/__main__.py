"""`python -m models.training.fraud generate|sample`: generated payments as files. `groundswell models train fraud` learns from them."""

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import structlog

from models.fraud.history import DAY_S
from models.training.fraud.files import Written, write, write_sample
from models.training.fraud.generator import World, generate, label_times


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


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # results alone go to standard output
    main()
