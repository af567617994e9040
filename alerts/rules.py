"""The rule file: receivers and rules, validated at load, each mistake named with its file, line and field."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

import httpx

from alerts.receivers.address import refused_literal
from alerts.receivers.spec import ConsoleSpec, ReceiverSpec, WebhookSpec, check_secret
from alerts.rule import Average, Condition, Filter, Frequency, Predicate, Rule, Severity, Surge, Threshold, describe
from alerts.yaml_fields import Scalar, Section, duration, read_yaml
from core.errors import QueryError

__all__ = ["CompileFilter", "Filter", "Predicate", "Rule", "RuleSet", "describe", "load_rules"]

CompileFilter = Callable[[str], Predicate]

MAX_GROUP_FIELDS = 16
MAX_COUNT = 1000  # a series remembers up to twice as many events, some 70 bytes each: 140 kB
_DEFAULT_COOLDOWN = timedelta(minutes=30)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_CONDITIONS = ("threshold", "frequency", "average", "surge")


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules and receivers of one file, in file order; names are unique and every receiver that a rule names is here."""

    rules: tuple[Rule, ...]
    receivers: tuple[ReceiverSpec, ...]

    def rule(self, name: str) -> Rule | None:
        """The rule of that name, or None."""
        return next((rule for rule in self.rules if rule.name == name), None)


def load_rules(path: Path, compile_filter: CompileFilter, *, environ: Mapping[str, str] | None = None) -> RuleSet:
    """The rules of the file; ConfigError names file, line and field of the first mistake.

    `compile_filter` turns KQL into a predicate and raises QueryError. A webhook whose url is empty is left out, also from the
    rules that name it.
    """
    top = read_yaml(path, os.environ if environ is None else environ)
    sections = top.sections("receivers") if "receivers" in top else []
    specs: dict[str, ReceiverSpec | None] = {}
    for section in sections:
        name = _unique_name(section, specs)
        specs[name] = _receiver(section, name)
    rules: dict[str, Rule] = {}
    for section in top.sections("rules"):
        name = _unique_name(section, rules)
        rules[name] = _rule(section, name, specs, compile_filter)
    top.end("receivers")
    return RuleSet(tuple(rules.values()), tuple(spec for spec in specs.values() if spec is not None))


def _unique_name(section: Section, taken: Mapping[str, object]) -> str:
    scalar = section.scalar("name")
    name = scalar.text()
    if not _NAME.fullmatch(name):
        scalar.fail("a name has up to 100 letters, digits, dots, dashes and underscores, and begins with a letter or digit")
    if name in taken:
        scalar.fail(f"the name {name!r} is taken; choose another")
    return name


def _receiver(section: Section, name: str) -> ReceiverSpec | None:
    kind = section.scalar("type").choice("console", "webhook")
    spec = ConsoleSpec(name) if kind == "console" else _webhook(section, name)
    section.end()
    return spec


def _webhook(section: Section, name: str) -> WebhookSpec | None:
    url, secret = section.scalar("url"), section.scalar("secret")
    allow_private = section.optional("allow_private", Scalar.flag, False)
    if not url.text(empty=True):
        return None
    _check_url(url, allow_private=allow_private)
    secrets = tuple(secret.text(empty=True).split())
    for one in secrets or ("",):
        try:
            check_secret(one)
        except ValueError as error:
            secret.fail(str(error))
    return WebhookSpec(name, url.text(), secrets, allow_private)


def _check_url(scalar: Scalar, *, allow_private: bool) -> None:
    try:
        url = httpx.URL(scalar.text())
    except httpx.InvalidURL:
        scalar.fail("write a web address such as https://alerts.example.com/hook")
    if url.scheme not in ("http", "https") or not url.host:
        scalar.fail("write a web address that begins with https:// or http://")
    if url.userinfo:
        scalar.fail("leave user and password out of the address; the receiver checks the signature instead")
    reason = None if allow_private else refused_literal(url.host)
    if reason is not None:
        scalar.fail(f"the host is {reason}; set `allow_private: true` if that is meant")


def _rule(section: Section, name: str, specs: Mapping[str, ReceiverSpec | None], compile_filter: CompileFilter) -> Rule:
    condition = _condition(section, compile_filter)
    default_group = ("id",) if isinstance(condition, Threshold) else ()
    rule = Rule(
        name=name,
        description=section.optional("description", Scalar.text, ""),
        filter=_filter(section.scalar("filter"), compile_filter),
        condition=condition,
        severity=cast(Severity, section.scalar("severity").choice("info", "warning", "critical")),
        group_by=_group_by(section) if "group_by" in section else default_group,
        cooldown=section.optional("cooldown", duration, _DEFAULT_COOLDOWN),
        receivers=_receiver_names(section, specs),
    )
    section.end("group_by")
    return rule


def _group_by(section: Section) -> tuple[str, ...]:
    fields: list[str] = []
    for scalar in section.scalars("group_by"):
        field = _field(scalar)
        if field in fields:
            scalar.fail(f"{field} stands twice; keep one")
        fields.append(field)
    if len(fields) > MAX_GROUP_FIELDS:
        section.fail(f"group by at most {MAX_GROUP_FIELDS} fields", "group_by")
    return tuple(fields)


def _field(scalar: Scalar) -> str:
    name = scalar.text()
    return name if _FIELD.fullmatch(name) else scalar.fail(f"write a field name such as entities.id, not {name!r}")


def _receiver_names(section: Section, specs: Mapping[str, ReceiverSpec | None]) -> tuple[str, ...]:
    names: list[str] = []
    for scalar in section.scalars("receivers"):
        name = scalar.text()
        if name not in specs:
            scalar.fail(f"no receiver is named {name!r}; known: {', '.join(specs) or 'none'}")
        if name in names:
            scalar.fail(f"{name} stands twice; keep one")
        if specs[name] is not None:
            names.append(name)
    return tuple(names)


def _filter(scalar: Scalar, compile_filter: CompileFilter) -> Filter:
    text = scalar.text()
    try:
        return Filter(text, compile_filter(text))
    except QueryError as error:
        return scalar.fail(f"character {error.position + 1}: {error}")


def _condition(section: Section, compile_filter: CompileFilter) -> Condition:
    named = [kind for kind in _CONDITIONS if kind in section]
    if len(named) != 1:
        found = f"found {' and '.join(named)}" if named else "found none"
        section.fail(f"write exactly one of {', '.join(_CONDITIONS)}; {found}", named[-1] if named else None)
    body = section.section(named[0])
    condition: Condition
    match named[0]:
        case "threshold":
            condition = Threshold()
        case "frequency":
            condition = Frequency(body.scalar("count").whole(1, MAX_COUNT), duration(body.scalar("within")))
        case "average":
            condition = _average(body)
        case _:
            condition = _surge(body, compile_filter)
    body.end()
    return condition


def _average(body: Section) -> Average:
    if ("below" in body) == ("above" in body):
        body.fail("write exactly one of below and above")
    bound = "below" if "below" in body else "above"
    limit = body.scalar(bound).number(-1e15, 1e15)
    return Average(
        field=_field(body.scalar("field")),
        within=duration(body.scalar("within")),
        min_events=body.optional("min_events", lambda scalar: scalar.whole(1, 500), 10),
        below=limit if bound == "below" else None,
        above=limit if bound == "above" else None,
    )


def _surge(body: Section, compile_filter: CompileFilter) -> Surge:
    surge = Surge(
        of=_filter(body.scalar("of"), compile_filter),
        within=duration(body.scalar("within")),
        reference=duration(body.scalar("reference")),
        min_events=body.optional("min_events", lambda scalar: scalar.whole(1, 500), 8),
        min_negative=body.optional("min_negative", lambda scalar: scalar.whole(1, 500), 5),
        sensitivity=body.optional("sensitivity", lambda scalar: scalar.number(1e-12, 0.5), 0.001),
    )
    if surge.within < timedelta(minutes=1):
        body.fail("a surge window is at least 1m", "within")
    if not 2 <= surge.reference / surge.within <= 200:
        body.fail("make the reference 2 to 200 times as long as `within`", "reference")
    if surge.min_negative > surge.min_events:
        body.fail("min_negative cannot exceed min_events", "min_negative")
    return surge
