"""What docs/operations.md advises on backups, in the middle of a load: a database restored from its dump, an index that was lost."""

import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from servers.postgres import find_binaries
from tests.live.faults.conftest import Tell
from tests.live.faults.load import under_load
from tests.live.faults.pipeline import Pipeline, outcome

pytestmark = pytest.mark.live
BETWEEN = 300  # events, between the dump and the worker's end


def test_postgresql_is_restored_from_a_dump(pipeline: Pipeline, source: str, tell: Tell, tmp_path: Path) -> None:
    pipeline.only("a")
    dump = tmp_path / "groundswell.dump"
    with under_load(pipeline.settings, source) as load:
        pipeline.wait(lambda: pipeline.indexed() > BETWEEN, "all stages have their rows in the ledger")
        _postgres(pipeline, "pg_dump", "-Fc", "-f", str(dump))
        begun = pipeline.indexed()
        pipeline.wait(lambda: pipeline.indexed() > begun + BETWEEN, "more is indexed")
        assert pipeline.end("a", signal.SIGTERM) == 0
        counted = pipeline.indexed()
        _postgres(pipeline, "pg_restore", "--clean", "--if-exists", "--single-transaction", str(dump))
        behind = counted - pipeline.indexed()
        assert behind >= BETWEEN, "the ledger that comes back is behind what is committed"
        pipeline.start("a")
        pipeline.wait_for_progress()
    pipeline.wait_until_done()
    pipeline.wait_for_alerts(load.alerting())
    tell("PostgreSQL restored from a dump", outcome(load, pipeline.documents(source)), f"the ledger was {behind} events behind")


def test_the_index_is_lost_and_built_again(pipeline: Pipeline, source: str, tell: Tell) -> None:
    pipeline.only("a")
    with under_load(pipeline.settings, source) as load:
        load.wait_for(BETWEEN)
        pipeline.wait_for_progress()
        _delete_indices(pipeline)
        assert pipeline.documents(source).total() < BETWEEN
        told = pipeline.command("index", "rebuild").strip()
    pipeline.wait_until_done()
    tell("Elasticsearch's indices lost, `index rebuild`", outcome(load, pipeline.documents(source)), told)


def _postgres(pipeline: Pipeline, program: str, *arguments: str) -> None:
    binaries, url = find_binaries(), pipeline.settings.database_url.replace("+psycopg", "")
    assert binaries is not None
    subprocess.run([binaries / program, "-d", url, *arguments], check=True)


def _delete_indices(pipeline: Pipeline) -> None:
    url, prefix = pipeline.settings.elasticsearch, pipeline.settings.elasticsearch_prefix
    names = httpx.get(f"{url}/_cat/indices/{prefix}*?h=index").raise_for_status().text.split()
    assert names
    httpx.delete(f"{url}/{','.join(names)}").raise_for_status()
