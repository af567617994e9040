"""The README cannot rot: its table of settings is the code's, its commands exist, its links lead somewhere."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

import groundswell
from tests.docs.settings_table import README, with_table

TEXT = README.read_text("utf-8")
CONSOLE = [
    line[2:] for block in re.findall(r"```console\n(.*?)```", TEXT, re.S) for line in block.splitlines() if line.startswith("$ ")
]
COMMANDS = [line for line in CONSOLE if "groundswell " in line]


def test_the_two_commands_come_first() -> None:
    assert [line.split("#")[0].strip() for line in CONSOLE[:2]] == ["make run", "make test"]


def test_the_table_of_settings_is_the_codes() -> None:
    assert with_table(TEXT) == TEXT, "run `python -m tests.docs.settings_table`"


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_exists_with_its_options(line: str) -> None:
    words = shlex.split(line.split(" #")[0].split("|")[-1].replace("…", "x"))
    words = words[words.index("groundswell") + 1 :]
    command: Any = typer.main.get_command(groundswell.app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context("groundswell", words)


@pytest.mark.parametrize("arguments", [part for line in CONSOLE for part in re.findall(r"ARGS='(.*?)'", line)])
def test_run_takes_the_arguments_shown(arguments: str) -> None:
    command: Any = typer.main.get_command(groundswell.app)
    command.commands["run"].make_context("run", shlex.split(arguments))


@pytest.mark.parametrize("file", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/operations.md", "samples/SOURCES.md"])
def test_links_and_named_files_are_there(file: str) -> None:
    text = (README.parent / file).read_text("utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    if file == "ARCHITECTURE.md":
        targets += re.findall(r"^\d\. `([^`]+)`", text, re.M)
    for target in targets:
        assert ((README.parent / file).parent / Path(target)).exists(), f"{file} names {target}"
