"""What is deployed fits the code: settings, metrics and fields by their names, and nothing is open that should not be."""

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import fields
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from prometheus_client.metrics import MetricWrapperBase

import groundswell
from core import metrics
from core.settings import Settings
from deploy.grafana import dashboard
from deploy.kibana import saved_objects
from search.mapping import field_of

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {name for name in SERVICES if name.startswith("setup")}
PROFILES = ("gpu", "monitoring")
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
CONSOLE = [
    line[2:].split(" #")[0].strip()
    for block in re.findall(r"```console\n(.*?)```", OPERATIONS, re.S)
    for line in block.splitlines()
]
# Read where rules are read, not as settings
OF_RULES = {"GROUNDSWELL_WEBHOOK_URL", "GROUNDSWELL_WEBHOOK_SECRET"}


def compose_command() -> list[str]:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and subprocess.run([*command, "version"], capture_output=True).returncode == 0:
            return command
    pytest.skip("neither `docker compose` nor `docker-compose` is installed")


@pytest.mark.parametrize("profiles", chain.from_iterable(combinations(PROFILES, count) for count in range(3)))
def test_compose_takes_the_file_with_every_profile(profiles: tuple[str, ...], tmp_path: Path) -> None:
    command = [*compose_command(), "-f", str(ROOT / "docker-compose.yml"), "-f", str(ROOT / "deploy" / "publish.yml")]
    for profile in profiles:
        command += ["--profile", profile]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GROUNDSWELL_")}
    done = subprocess.run([*command, "config"], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)["services"]
    wanted = {name for name, service in SERVICES.items() if set(service.get("profiles", ())) <= set(profiles)}
    assert {"worker", "web", "setup", "kafka", "postgres", "elasticsearch", "kibana"} <= wanted <= set(shown)


def test_only_the_page_is_published_and_on_the_loopback_address() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert list(published) == ["web"]
    extra = yaml.safe_load((ROOT / "deploy" / "publish.yml").read_text("utf-8"))["services"]
    for port in chain(published["web"], *(service["ports"] for service in extra.values())):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_restarts_is_watched_and_limited(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
    assert ("healthcheck" in service) != (name in ONE_SHOT)
    assert {"cpus", "memory"} == set(service["deploy"]["resources"]["limits"])
    assert "container_name" not in service
    assert service["image"].startswith("groundswell:") or re.search(r":v?\d+(\.\d+)*(-bookworm)?$", service["image"])


def test_workers_can_be_scaled() -> None:
    for name in ("worker", "worker-gpu"):
        assert "ports" not in SERVICES[name]
        assert "/data" in SERVICES[name]["volumes"], "each replica has a folder of its own"


def test_passwords_come_from_files_that_make_secrets_makes(tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run(["make", "-f", str(ROOT / "Makefile"), "secrets"], cwd=tmp_path, check=True, capture_output=True)
        made = {file.name: file.read_text("ascii") for file in (tmp_path / "deploy" / "secrets").iterdir()}
    assert {f"./deploy/secrets/{name}" for name in made} == {secret["file"] for secret in COMPOSE["secrets"].values()}
    assert all(re.fullmatch("[0-9a-f]{48}", secret) for secret in made.values())
    assert len(set(made.values())) == len(made)
    assert (tmp_path / "deploy" / "secrets").stat().st_mode & 0o777 == 0o700
    used = set(chain.from_iterable(service.get("secrets", ()) for service in SERVICES.values()))
    assert used == set(made)
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable:
                assert str(value).startswith("/run/secrets/"), variable


def test_every_variable_is_a_setting() -> None:
    names = {field.name for field in fields(Settings)}
    variables = set(chain.from_iterable(service.get("environment", ()) for service in SERVICES.values()))
    ours = {name for name in variables if name.startswith("GROUNDSWELL_")} - OF_RULES
    settings = {name.removeprefix("GROUNDSWELL_").lower() for name in ours}
    assert {name for name in settings if name not in names and name.removesuffix("_file") not in names} == set()


def test_files_that_are_mounted_and_copied_are_there() -> None:
    mounts = re.findall(r"(?:\$\{RULES:-)?(\./[\w./-]+)\}?:/", (ROOT / "docker-compose.yml").read_text("utf-8"))
    assert len(mounts) >= 6
    for mount in mounts:
        assert (ROOT / mount).exists(), mount
    ignored = (ROOT / ".dockerignore").read_text("utf-8")
    for copied in re.findall(r"^!(\S+)$", ignored, re.M):
        assert (ROOT / copied).exists(), copied
    for copied in re.findall(r"^COPY (locks/\S+)", (ROOT / "Dockerfile").read_text("utf-8"), re.M):
        assert f"!{copied}\n" in ignored


@pytest.mark.parametrize("line", CONSOLE)
def test_a_command_of_the_guide_exists(line: str) -> None:
    words = shlex.split(line.split(" &&")[0].split(" <")[0].split(" >")[0])
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.M)
    elif words[0] == "groundswell" or "ingest" in words:
        command: Any = typer.main.get_command(groundswell.app)
        words = words[words.index("ingest" if "ingest" in words else "groundswell") + ("ingest" not in words) :]
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context("groundswell", words)
    elif words[:2] == ["docker", "compose"]:
        named = {word for word in words if word in SERVICES}
        assert named or words[-1] in {"ps", "-d", "--build"} or "up" in words
    else:
        assert words[0] in {"export", "createuser"}


def exported() -> set[str]:
    """The names under which our metrics reach Prometheus."""
    found = {"up", "ALERTS", *metrics.GAUGES}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            for family in metric.describe():
                ends = {"gauge": ("",), "counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}[family.type]
                found |= {family.name + end for end in ends}
    return found


def test_alarms_and_panels_use_metrics_that_exist() -> None:
    rules = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"][0]["rules"]
    expressions = [rule["expr"] for rule in rules] + [panel[1] for panel in dashboard.PANELS]
    used = set(chain.from_iterable(re.findall(r"\b(?:groundswell_\w+|up|ALERTS)\b", each) for each in expressions))
    assert used - exported() == set()
    for rule in rules:
        assert f"`{rule['alert']}`" in OPERATIONS, "an alarm that docs/operations.md does not explain"
    for name in exported() - {"up", "ALERTS"}:
        assert re.sub("_(bucket|sum|count)$", "", name) in OPERATIONS, "a metric that docs/operations.md does not explain"


def test_prometheus_takes_its_files() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    subprocess.run(["promtool", "check", "config", str(ALERTS.with_name("prometheus.yml"))], check=True, capture_output=True)


def test_the_dashboards_files_are_the_codes() -> None:
    assert json.loads(dashboard.FILE.read_text("utf-8")) == dashboard.dashboard()
    written = saved_objects.FILE.read_text("utf-8")
    assert written == saved_objects.to_ndjson(saved_objects.saved_objects()), "run `python -m deploy.kibana.saved_objects`"


def test_kibanas_objects_hold_together() -> None:
    objects = saved_objects.saved_objects()
    known = {(each["type"], each["id"]) for each in objects}
    assert len(known) == len(objects)
    for each in objects:
        names = {reference["name"] for reference in each["references"]}
        assert {(reference["type"], reference["id"]) for reference in each["references"]} <= known
        attributes = each["attributes"]
        if "kibanaSavedObjectMeta" in attributes:
            source = json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])
            assert source.get("indexRefName") in {None, *names}
        for panel in json.loads(attributes.get("panelsJSON", "[]")):
            assert panel["gridData"]["i"] == panel["panelIndex"]
            assert f"{panel['panelIndex']}:{panel['panelRefName']}" in names
            assert panel["gridData"]["x"] + panel["gridData"]["w"] <= 48


def test_kibanas_objects_name_fields_that_are_indexed() -> None:
    text = saved_objects.FILE.read_text("utf-8")
    named = {*re.findall(r'"sourceField":"([\w.]+)"', text), *saved_objects.COLUMNS, "time"} - {"___records___"}
    assert {name for name in named if field_of(name) is None} == set()
