"""Settings come from defaults, file, environment and options, in that order, and mistakes are told."""

from pathlib import Path

import pytest

from core.errors import ConfigError
from core.settings import Settings, as_environment, load_settings, rows


def test_each_source_wins_over_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "g.toml"
    file.write_text('web_port = 1\npartitions = 2\nlog_level = "ERROR"\n', "utf-8")
    environ = {"GROUNDSWELL_PARTITIONS": "3", "GROUNDSWELL_LOG_LEVEL": "DEBUG", "OTHER": "x", "GROUNDSWELL_UNKNOWN": "x"}
    settings = load_settings(file, environ=environ, options={"log_level": "INFO", "data": None})
    assert (settings.web_port, settings.partitions, settings.log_level) == (1, 3, "INFO")
    assert settings.data == Path("data")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("webport = 1", "unknown setting.*webport"),
        ("web_port =", "not TOML"),
        ('web_port = "x"', "web_port"),
        ('device = "tpu"', "device"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "g.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=message):
        load_settings(file, environ={})


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the settings"):
        load_settings(tmp_path / "none.toml", environ={})


def test_a_setting_can_be_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("pass word\n", "utf-8")
    settings = load_settings(environ={"GROUNDSWELL_DATABASE_PASSWORD_FILE": str(secret)})
    assert settings.database_password == "pass word"
    assert "pass word" not in repr(settings)


def test_a_file_of_a_setting_must_be_readable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the file that GROUNDSWELL_DATABASE_FILE names"):
        load_settings(environ={"GROUNDSWELL_DATABASE_FILE": str(tmp_path / "none")})


def test_the_variable_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "broker"
    file.write_text("kafka:1", "utf-8")
    assert load_settings(environ={"GROUNDSWELL_BROKER_FILE": str(file), "GROUNDSWELL_BROKER": "kafka:2"}).broker == "kafka:2"
    assert load_settings(environ={"GROUNDSWELL_BROKER_FILE": str(file), "GROUNDSWELL_BROKER": ""}).broker == "kafka:1"


def test_lists_are_separated() -> None:
    settings = load_settings(environ={"GROUNDSWELL_WEB_NAMES": "web,risk.example", "GROUNDSWELL_WATCHLISTS": "a.json:b.json"})
    assert settings.web_names == ("web", "risk.example")
    assert settings.watchlists == (Path("a.json"), Path("b.json"))


def test_every_setting_has_help() -> None:
    assert all(len(row.help) > 20 for row in rows())


def test_what_is_handed_on_by_the_environment_is_read_as_it_was() -> None:
    some = Settings(web_names=("a", "b"), feeds=("http://a/", "http://b/"), watchlists=(Path("x"), Path("y")), lateness_s=5.5)
    for settings in (Settings(), some):
        assert load_settings(environ=as_environment(settings)) == settings
