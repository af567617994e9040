"""The command line: `groundswell` and `python -m groundswell`. Its commands are in `cli/`, and their work is in `commands/`."""

import os
import sys

import typer

from cli import dead, events, inquiry, models, parts
from core import log
from core.errors import GroundswellError, Retryable

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Scores news, posts and payments as they stream in, makes them searchable, and warns when something surges.",
)
app.add_typer(parts.app)
app.add_typer(inquiry.app)
for name, sub in (
    ("ingest", events.ingest_app),
    ("score", events.score_app),
    ("rules", inquiry.rules_app),
    ("alerts", inquiry.alerts_app),
    ("topics", inquiry.topics_app),
    ("dead", dead.dead_app),
    ("db", parts.db_app),
    ("index", parts.index_app),
    ("models", models.models_app),
):
    app.add_typer(sub, name=name)


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
