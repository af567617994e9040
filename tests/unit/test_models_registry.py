"""Aliases say which model serves what; folders that are not what they say are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import groundswell
from core.errors import ModelError
from models.aliases import ALIASES, PERMISSIVE, aliases, assigned, promote, resolve, rollback, slots_of
from models.registry import find, load, read_manifest, write_manifest
from tests.unit.text_artifacts import SENTIMENT, config, head, write_text_model

BOTH = config(head("sentiment", ["en", "zh"], SENTIMENT), head("topic", ["en"], ["Oil", "Gold"], 3), languages=["en", "zh"])
WORDS = {"up": [0.0, 0.0, 4.0, 1.0, 0.0]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two text models of two languages, and one for research only."""
    for reference in ("mini/1", "mini/2"):
        write_text_model(tmp_path, reference, BOTH, WORDS)
    write_text_model(tmp_path, "big/1", BOTH, WORDS, licence="research-use")
    return tmp_path


def file(root: Path) -> Any:
    return json.loads((root / ALIASES).read_text())


def test_a_promotion_fills_every_slot_that_the_model_can_fill(root: Path) -> None:
    promote("mini/1", root=root)
    assert slots_of(read_manifest(root / "mini/1")) == ("sentiment.en", "sentiment.zh", "topic.en")
    assert assigned("champion", root) == {"sentiment.en": "mini/1", "sentiment.zh": "mini/1", "topic.en": "mini/1"}
    assert resolve("champion", "topic.en", root).manifest.reference == "mini/1"


def test_a_promotion_of_one_slot_leaves_the_others_and_the_other_aliases(root: Path) -> None:
    promote("mini/1", root=root)
    promote("mini/1", alias="candidate", root=root)
    promote("mini/2", slots=["sentiment.zh"], root=root)
    assert assigned("champion", root) == {"sentiment.en": "mini/1", "sentiment.zh": "mini/2", "topic.en": "mini/1"}
    assert set(assigned("candidate", root).values()) == {"mini/1"}


def test_a_rollback_undoes_the_promotions_one_by_one(root: Path) -> None:
    promote("mini/1", slots=["sentiment.en"], root=root)
    promote("mini/2", root=root)
    promote("big/1", slots=["topic.en"], root=root)
    assert rollback(root=root) == {"sentiment.en": "mini/2", "sentiment.zh": "mini/2", "topic.en": "mini/2"}
    assert rollback(root=root) == {"sentiment.en": "mini/1"}
    assert rollback(root=root) == {}
    with pytest.raises(ModelError, match="no promotion of alias 'champion' is left to undo"):
        rollback(root=root)


def test_a_slot_is_rolled_back_alone(root: Path) -> None:
    for reference in ("mini/1", "mini/2", "big/1"):
        promote(reference, root=root)
    assert rollback(slots=["topic.en"], root=root) == {"sentiment.en": "big/1", "sentiment.zh": "big/1", "topic.en": "mini/2"}
    assert rollback(root=root) == {"sentiment.en": "mini/2", "sentiment.zh": "mini/2", "topic.en": "mini/2"}
    with pytest.raises(ModelError, match=r"no promotion of topic\.fr"):
        rollback(slots=["topic.fr"], root=root)


def test_promoting_what_serves_already_is_no_promotion(root: Path) -> None:
    promote("mini/1", root=root)
    promote("mini/2", root=root)
    promote("mini/2", root=root)
    assert set(rollback(root=root).values()) == {"mini/1"}


def test_what_has_no_slot_is_refused(root: Path) -> None:
    with pytest.raises(ModelError, match=r"mini/1 cannot fill topic\.zh; it can fill sentiment\.en, sentiment\.zh, topic\.en"):
        promote("mini/1", slots=["topic.zh"], root=root)
    with pytest.raises(ModelError, match=r"no model 'mini/3'.*there are: big/1, mini/1, mini/2"):
        promote("mini/3", root=root)
    with pytest.raises(ModelError, match=r"no model '\.\./mini/1'"):
        find("../mini/1", root)
    with pytest.raises(ModelError, match="cannot name an alias"):
        promote("mini/1", alias="previous", root=root)
    assert not (root / ALIASES).exists()


def test_a_research_model_never_becomes_permissive(root: Path) -> None:
    promote("mini/1", alias=PERMISSIVE, root=root)
    before = file(root)
    with pytest.raises(ModelError, match=r"big/1 is licensed for research-use; .* takes Apache-2\.0 models only"):
        promote("big/1", alias=PERMISSIVE, root=root)
    assert file(root) == before
    (root / ALIASES).write_text('{"permissive": {"topic.en": "big/1"}}')
    with pytest.raises(ModelError, match="research-use"):
        resolve(PERMISSIVE, "topic.en", root)


def test_a_write_that_fails_leaves_the_aliases_as_they_were(root: Path) -> None:
    promote("mini/1", root=root)
    before = file(root)
    (root / f".{ALIASES}.new").mkdir()
    with pytest.raises(ModelError, match="cannot write"):
        promote("mini/2", root=root)
    assert file(root) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "is missing"), ("{", "aliases.json"), ('{"champion": {"fraud": 1}}', "Expected `str`"), ("{}", "there are: none")],
)
def test_aliases_that_cannot_be_read_are_told(root: Path, text: str | None, message: str) -> None:
    if text is not None:
        (root / ALIASES).write_text(text)
    with pytest.raises(ModelError, match=message):
        resolve("champion", "fraud", root)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_an_altered_file_is_refused(root: Path, name: str) -> None:
    path = root / "mini/1" / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ModelError, match=f"{name} differs in SHA-256"):
        load(root / "mini/1")
    path.unlink()
    with pytest.raises(ModelError, match=f"{name} is missing"):
        promote("mini/1", root=root)


def test_a_folder_under_another_name_is_refused(root: Path) -> None:
    (root / "mini/1").rename(root / "mini/9")
    with pytest.raises(ModelError, match=r"manifest\.json says mini/1"):
        find("mini/9", root)


def test_a_licence_that_is_not_known_is_refused(root: Path) -> None:
    manifest = root / "mini/1/manifest.json"
    manifest.write_text(manifest.read_text().replace("Apache-2.0", "free"))
    with pytest.raises(ModelError, match="licence"):
        load(root / "mini/1")


def test_every_model_that_the_shipped_aliases_name_is_there() -> None:
    assert {"champion", "permissive"} <= set(aliases())
    for alias, slots in aliases().items():
        for slot in slots:
            assert slot in slots_of(resolve(alias, slot).manifest)


def command(root: Path, *arguments: str) -> str:
    done = CliRunner().invoke(groundswell.app, ["models", *arguments, "--models", str(root)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_commands_promote_list_and_roll_back(root: Path) -> None:
    assert len(command(root, "list", "--json").splitlines()) == 3, "a folder without promotions can be listed"
    command(root, "promote", "mini/1")
    assert "mini/2" in command(root, "promote", "mini/2", "--slot", "topic.en", "--slot", "sentiment.zh")
    rows = {row["model"]: row for row in map(json.loads, command(root, "list", "--json").splitlines())}
    assert rows["mini/1"]["aliases"] == {"champion": ["sentiment.en"]}
    assert rows["mini/2"]["aliases"] == {"champion": ["sentiment.zh", "topic.en"]}
    assert (rows["big/1"]["aliases"], rows["big/1"]["licence"], rows["big/1"]["languages"]) == ({}, "research-use", ["en", "zh"])
    assert rows["big/1"]["metrics"] == {"dev_sentiment_macro_f1": 0.5}
    assert "champion" in command(root, "list")
    assert "mini/2" not in command(root, "rollback", "--alias", "champion")
    assert json.loads(command(root, "show", "big/1"))["files"].keys() == {"model.onnx", "tokenizer.json"}


def test_a_manifest_takes_the_hashes_of_the_files_as_they_are(root: Path) -> None:
    tokenizer = root / "mini/1/tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    write_manifest(root / "mini/1", read_manifest(root / "mini/1"))
    assert load(root / "mini/1").manifest.reference == "mini/1"
