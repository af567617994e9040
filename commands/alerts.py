"""`groundswell alerts` and `groundswell rules`."""

import sys
from pathlib import Path

from alerts.rules import describe, load_rules
from commands import wiring
from commands.output import print_json, print_table
from core.clock import rfc3339
from core.settings import Settings


def print_alerts(settings: Settings, *, limit: int, json: bool) -> None:
    """The newest alerts: with `json` one object a line."""
    found = wiring.open_alerts(settings).list_alerts(limit)
    if json:
        for alert in found:
            print_json(alert)
        return
    rows = [
        (rfc3339(alert.opened), alert.state, alert.severity, alert.rule, " ".join(alert.group.values()), alert.summary)
        for alert in found
    ]
    print_table(("opened", "state", "severity", "rule", "group", "summary"), rows)


def check_rules(file: Path) -> None:
    """Say what each rule of a file does; ConfigError with line and field where it is not valid."""
    rules = load_rules(file, wiring.compile_filter)
    for rule in rules.rules:
        sys.stdout.write(f"{describe(rule)}\n")
    sys.stdout.write(f"{file}: {len(rules.rules)} rules and {len(rules.receivers)} receivers are valid\n")
