"""Grafana's dashboard: `python -m deploy.grafana.dashboard` writes dashboards/groundswell.json anew."""

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "dashboards" / "groundswell.json"
# Title, PromQL, legend, unit: three panels a row
PANELS = (
    ("Events scored a second", 'groundswell_pipeline{counter="events_per_second"}', "events", "ops"),
    ("Records a second by stage", "sum by (stage) (rate(groundswell_records_total[5m]))", "{{stage}}", "ops"),
    ("Events indexed a second", "sum(rate(groundswell_records_indexed_total[5m]))", "indexed", "ops"),
    ("Lag by stage", "sum by (stage) (groundswell_lag_messages)", "{{stage}}", "short"),
    ("Worked off, not committed", "groundswell_uncommitted_messages", "{{topic}}", "short"),
    (
        "Seconds a batch, 95 %",
        "histogram_quantile(0.95, sum by (stage, le) (rate(groundswell_batch_seconds_bucket[5m])))",
        "{{stage}}",
        "s",
    ),
    ("Ledger: in flight by partition", "groundswell_ledger_in_flight_messages > 0", "{{stage}} {{topic}}/{{partition}}", "short"),
    ("Ledger: not counted", "groundswell_ledger_uncounted_messages", "{{stage}} {{topic}}/{{partition}}", "short"),
    ("Dead letters a second", "sum by (stage, topic) (rate(groundswell_records_dead_total[5m]))", "{{stage}} {{topic}}", "ops"),
    ("Tries again a second", "sum by (stage) (rate(groundswell_retries_total[5m]))", "{{stage}}", "ops"),
    ("Matches a second by rule", "sum by (rule) (rate(groundswell_matches_total[5m]))", "{{rule}}", "ops"),
    ("Alerts an hour", "sum by (rule, state) (increase(groundswell_transitions_total[1h]))", "{{rule}} {{state}}", "short"),
    ("Deliveries an hour", "sum by (outcome) (increase(groundswell_deliveries_total[1h]))", "{{outcome}}", "short"),
    ("Deliveries that wait", 'groundswell_pipeline{counter="pending"}', "pending", "short"),
    ("Alarms", 'ALERTS{alertstate="firing"}', "{{alertname}}", "short"),
)
_SOURCE = {"type": "prometheus", "uid": "prometheus"}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana provisions it."""
    return {
        "uid": "groundswell",
        "title": "Groundswell",
        "schemaVersion": 39,
        "editable": False,
        "refresh": "15s",
        "time": {"from": "now-3h", "to": "now"},
        "panels": [_panel(number, *each) for number, each in enumerate(PANELS)],
    }


def _panel(number: int, title: str, expression: str, legend: str, unit: str) -> dict[str, Any]:
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": _SOURCE,
        "gridPos": {"x": number % 3 * 8, "y": number // 3 * 8, "w": 8, "h": 8},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "datasource": _SOURCE, "expr": expression, "legendFormat": legend}],
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(dashboard(), indent=2) + "\n", "utf-8")
