"""The rule file: what it means, and where each mistake stands."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from alerts.receivers.spec import ConsoleSpec, WebhookSpec
from alerts.rule import Average, Frequency, Surge, Threshold
from alerts.rules import describe, load_rules
from core.clock import utc_now
from core.errors import ConfigError, QueryError
from search.kql import parse
from search.predicate import compile_predicate

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SAMPLE = Path(__file__).parents[2] / "samples" / "rules.yaml"
GOOD = """\
receivers:
  - name: console
    type: console
rules:
  - name: burst
    filter: fraud_score >= 0.9
    severity: warning
    receivers: [console]
    frequency: {count: 5, within: 10m}
"""


def compile_text(query: str) -> Callable[[dict[str, Any]], bool]:
    """A filter language of the tests: anything but two colons in a row."""
    if "::" in query:
        raise QueryError("two colons", query=query, position=query.index("::"))
    return lambda document: query in str(document)


def compile_kql(query: str) -> Callable[[dict[str, Any]], bool]:
    return compile_predicate(parse(query), clock=utc_now)


def write(folder: Path, text: str) -> Path:
    path = folder / "rules.yaml"
    path.write_text(text)
    return path


def test_a_rule_and_its_defaults(tmp_path: Path) -> None:
    rules = load_rules(write(tmp_path, GOOD), compile_text, environ={})
    assert rules.receivers == (ConsoleSpec("console"),)
    rule = rules.rules[0]
    assert rules.rule("burst") is rule
    assert rules.rule("other") is None
    assert rule.condition == Frequency(5, timedelta(minutes=10))
    assert (rule.group_by, rule.cooldown, rule.severity) == ((), timedelta(minutes=30), "warning")
    assert rule.filter.accepts({"x": "fraud_score >= 0.9"})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("threshold: {}", Threshold()),
        (
            "average: {field: sentiment.score, within: 1h, below: -0.3}",
            Average("sentiment.score", timedelta(hours=1), 10, below=-0.3),
        ),
        ("average: {field: amount, within: 1h, above: 9, min_events: 2}", Average("amount", timedelta(hours=1), 2, above=9.0)),
    ],
)
def test_conditions(tmp_path: Path, condition: str, expected: object) -> None:
    text = GOOD.replace("frequency: {count: 5, within: 10m}", condition)
    assert load_rules(write(tmp_path, text), compile_text, environ={}).rules[0].condition == expected


def test_threshold_is_grouped_by_event(tmp_path: Path) -> None:
    text = GOOD.replace("frequency: {count: 5, within: 10m}", "threshold: {}")
    assert load_rules(write(tmp_path, text), compile_text, environ={}).rules[0].group_by == ("id",)


# each: what is replaced in GOOD, by what, the line and field that the error names, and a part of its message
BAD = [
    ("severity: warning", "severity: urgent", 7, "rules[burst].severity", "info, warning, critical"),
    ("    severity: warning\n", "", 5, "rules[burst].severity", "missing"),
    ("    filter: fraud_score >= 0.9\n", "", 5, "rules[burst].filter", "missing"),
    ("fraud_score >= 0.9", "a::b", 6, "rules[burst].filter", "character 2"),
    ("[console]\n", "[pager]\n", 8, "rules[burst].receivers[0]", "no receiver is named 'pager'"),
    ("[console]\n", "console\n", 8, "rules[burst].receivers", "list"),
    ("[console]\n", "[console, console]\n", 8, "rules[burst].receivers[1]", "twice"),
    ("count: 5", "count: 0", 9, "rules[burst].frequency.count", "from 1 to 1000"),
    ("count: 5", "count: many", 9, "rules[burst].frequency.count", "whole number"),
    ("count: 5", "count: null", 9, "rules[burst].frequency.count", "single value"),
    ("within: 10m", "within: 10 minutes", 9, "rules[burst].frequency.within", "90s, 30m"),
    ("within: 10m", "within: 9999d", 9, "rules[burst].frequency.within", "366d"),
    ("within: 10m", "within: 10m, every: 1m", 9, "rules[burst].frequency.every", "unknown key; known here: count, within"),
    ("within: 10m}", "within: 10m, count: 6}", 9, "rules[burst].frequency.count", "twice"),
    ("frequency: {count: 5, within: 10m}", "cooldown: 5m", 5, "rules[burst]", "exactly one of"),
    ("frequency: {count", "threshold: {}\n    frequency: {count", 10, "rules[burst].frequency", "exactly one of"),
    (
        "frequency: {count: 5, within: 10m}",
        "average: {field: a b, within: 1h, below: 0}",
        9,
        "rules[burst].average.field",
        "field name",
    ),
    ("frequency: {count: 5, within: 10m}", "average: {field: a, within: 1h}", 9, "rules[burst].average", "below and above"),
    (
        "frequency: {count: 5, within: 10m}",
        "surge: {of: 'a::', within: 1h, reference: 1d}",
        9,
        "rules[burst].surge.of",
        "character 2",
    ),
    (
        "frequency: {count: 5, within: 10m}",
        "surge: {of: a, within: 1h, reference: 1h}",
        9,
        "rules[burst].surge.reference",
        "2 to 200",
    ),
    (
        "frequency: {count: 5, within: 10m}",
        "surge: {of: a, within: 1h, reference: 1d, sensitivity: 2}",
        9,
        "rules[burst].surge.sensitivity",
        "1e-12 to 0.5",
    ),
    ("name: burst", "name: -x", 5, "rules[-x].name", "begins with a letter"),
    ("name: burst", "title: burst", 5, "rules[0].name", "missing"),
    ("severity: warning", "severity: warning\n    group_by: [id, id]", 8, "rules[burst].group_by[1]", "twice"),
    (
        "severity: warning",
        f"severity: warning\n    group_by: [{', '.join('abcdefghijklmnopq')}]",
        8,
        "rules[burst].group_by",
        "at most 16",
    ),
    ("severity: warning", "severity: ${SEVERITY}", 7, "rules[burst].severity", "environment variable SEVERITY"),
    ("type: console", "type: carrier-pigeon", 3, "receivers[console].type", "console, webhook"),
    ("receivers:\n", "recievers: []\nreceivers:\n", 1, "recievers", "unknown key"),
    ("rules:\n", "rules: 5\nmore:\n", 4, "rules", "list"),
    ("type: console", "type: [", 3, None, "is not YAML"),
]


@pytest.mark.parametrize(("old", "new", "line", "field", "message"), BAD)
def test_mistakes_are_named_with_line_and_field(
    tmp_path: Path, old: str, new: str, line: int, field: str | None, message: str
) -> None:
    assert GOOD.count(old) >= 1
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_rules(path, compile_text, environ={})
    error = caught.value
    assert (error.file, error.field) == (str(path), field)
    assert error.line == line or (field is None and error.line is not None)
    assert message in str(error)


def test_names_are_unique(tmp_path: Path) -> None:
    twice = GOOD + GOOD.split("rules:\n")[1]
    with pytest.raises(ConfigError, match=r"rules.yaml:10: rules\[burst\].name: the name 'burst' is taken"):
        load_rules(write(tmp_path, twice), compile_text, environ={})


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="check the path"):
        load_rules(tmp_path / "none.yaml", compile_text)
    with pytest.raises(ConfigError, match="is empty"):
        load_rules(write(tmp_path, "# nothing\n"), compile_text)
    (tmp_path / "latin.yaml").write_bytes(b"rules:\n  - name: \xe9\n")
    with pytest.raises(ConfigError, match=r"latin.yaml:2: is not UTF-8"):
        load_rules(tmp_path / "latin.yaml", compile_text)
    with pytest.raises(ConfigError, match="`rules` is missing"):
        load_rules(write(tmp_path, "receivers: []\n"), compile_text)


def webhook(url: str, secret: str = SECRET, extra: str = "") -> str:
    hook = f"  - name: hook\n    type: webhook\n    url: {url}\n    secret: {secret}\n{extra}"
    return GOOD.replace("rules:\n", hook + "rules:\n").replace("[console]", "[console, hook]")


def test_a_webhook(tmp_path: Path) -> None:
    rules = load_rules(write(tmp_path, webhook("https://alerts.example.com/in/token-1")), compile_text, environ={})
    spec = rules.receivers[1]
    assert spec == WebhookSpec("hook", "https://alerts.example.com/in/token-1", (SECRET,), False)
    assert SECRET not in repr(rules)
    assert "token-1" not in repr(rules)
    assert rules.rules[0].receivers == ("console", "hook")


def test_a_webhook_without_url_is_left_out_everywhere(tmp_path: Path) -> None:
    path = write(tmp_path, webhook("${HOOK:-}", "${KEY:-}", "    allow_private: ${PRIVATE:-false}\n"))
    without = load_rules(path, compile_text, environ={"KEY": ""})
    assert (without.receivers, without.rules[0].receivers) == ((ConsoleSpec("console"),), ("console",))
    environ = {"HOOK": "http://127.0.0.1:8080/x", "KEY": f"{SECRET} {SECRET}", "PRIVATE": "true"}
    spec = load_rules(path, compile_text, environ=environ).receivers[1]
    assert spec == WebhookSpec("hook", "http://127.0.0.1:8080/x", (SECRET, SECRET), True)


@pytest.mark.parametrize(
    ("url", "secret", "message"),
    [
        ("ftp://example.com", SECRET, "https:// or http://"),
        ("https://user:pw@example.com", SECRET, "user and password"),
        ("http://127.0.0.1/x", SECRET, "allow_private"),
        ("http://169.254.169.254/latest", SECRET, "link-local"),
        ("https://example.com", "whsec_c2hvcnQ=", "24 to 64"),
        ("https://example.com", "topsecretvalue", "whsec_"),
        ("https://example.com", "''", "whsec_"),
    ],
)
def test_webhook_mistakes_never_quote_the_secret(tmp_path: Path, url: str, secret: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_rules(write(tmp_path, webhook(url, secret)), compile_text, environ={})
    assert message in str(caught.value)
    assert caught.value.line in (6, 7)
    assert secret.strip("'") == "" or secret not in str(caught.value)


def test_variables(tmp_path: Path) -> None:
    text = GOOD.replace("fraud_score >= 0.9", "'${A} ${B:-b} $${C} ${D:-}'")
    assert load_rules(write(tmp_path, text), compile_text, environ={"A": "a"}).rules[0].filter.text == "a b ${C}"


def test_the_sample_file_is_valid_and_says_what_it_does() -> None:
    rules = load_rules(SAMPLE, compile_kql, environ={})
    assert [rule.name for rule in rules.rules][:3] == ["fraud-payment", "fraud-terminal", "negative-surge-company"]
    assert rules.receivers == (ConsoleSpec("console"),)
    assert any(isinstance(rule.condition, Surge) for rule in rules.rules)
    for rule in rules.rules:
        assert describe(rule).startswith(f"{rule.name} ({rule.severity}): per ")
    fraud = rules.rules[0].filter.accepts
    assert fraud({"kind": "transaction", "fraud_score": 0.95})
    assert not fraud({"kind": "transaction", "fraud_score": 0.85})
    surge = rules.rules[2]
    assert surge.filter.accepts({"kind": "news", "sentiment": {"label": "neutral"}})
    assert not surge.filter.accepts({"kind": "news", "sentiment": None})


def test_the_sample_file_with_a_webhook() -> None:
    environ = {
        "GROUNDSWELL_WEBHOOK_URL": "http://127.0.0.1:9/hook",
        "GROUNDSWELL_WEBHOOK_SECRET": SECRET,
        "GROUNDSWELL_WEBHOOK_ALLOW_PRIVATE": "true",
    }
    rules = load_rules(SAMPLE, compile_kql, environ=environ)
    assert rules.rules[0].receivers == ("console", "webhook")
