"""What only an index in a folder can do: survive, be read by other processes, refuse a second writer, and outlive a full disk."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError, Retryable
from search.documents import Document
from search.index import SearchRequest
from search.kql import parse
from search.nodes import MatchAll
from search.tantivy_index import TantivyIndex

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]

# writes batches of 50 as fast as it can and prints how many are committed after each
WRITE_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from search.tantivy_index import TantivyIndex

async def write():
    index = TantivyIndex.open(Path(sys.argv[1]), writable=True)
    for batch in range(10_000):
        await index.write([{"id": f"{batch}-{i}", "time": "2022-11-11T00:00:00Z", "title": "debt default " * 20} for i in range(50)])
        print(50 * (batch + 1), flush=True)

asyncio.run(write())
"""

# a limit on the size of any file stands for a full disk: writes fail in the same place, with EFBIG instead of ENOSPC
WRITE_ON_A_FULL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from core.errors import Retryable
from search.kql import parse
from search.tantivy_index import TantivyIndex

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

async def write():
    index = TantivyIndex.open(Path(sys.argv[1]), writable=True)
    await index.write([{"id": "before", "title": "a"}])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    documents = [{"id": f"d{i}", "title": f"word{i} " * 50} for i in range(2000)]
    kept = []  # as a retrying caller does
    for _ in range(2):
        try:
            await index.write(documents)
            print("written")
        except Retryable as error:
            kept.append(error)
            print("retryable:", str(error).splitlines()[0])
    print(await index.count(parse("")))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    print(await index.write(documents), await index.count(parse("")))
    await index.close()

asyncio.run(write())
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def posts(*ids: str, **fields: Any) -> list[Document]:
    return [{"id": id, "kind": "social", "time": "2022-11-11T00:00:00Z", "text": "debt default"} | fields for id in ids]  # noqa: A001


def started(script: str, folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RUST_BACKTRACE": "0"}
    command = [sys.executable, "-c", script, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT)


async def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    index = TantivyIndex.open(tmp_path, writable=True)
    await index.write(posts("a", "b"))
    await index.close()
    again = TantivyIndex.open(tmp_path, writable=True)
    await again.write(posts("b", "c"))
    assert await again.count(MatchAll()) == 3
    await again.close()


async def test_a_reader_may_come_first_and_sees_each_commit(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    reader = TantivyIndex.open(folder, writable=False)
    assert (await reader.search(SearchRequest())).total == 0
    assert await reader.get("a") is None
    writer = TantivyIndex.open(folder, writable=True)
    assert await reader.count(MatchAll()) == 0
    for number in range(1, 25):  # more commits than tantivy lets segments stand unmerged
        await writer.write(posts(f"p{number}"))
        assert await reader.count(parse("debt")) == number
    await writer.write(posts("p1", text="paid"))
    assert await reader.count(parse("debt")) == 23
    await writer.close()
    assert await reader.count(MatchAll()) == 24
    await reader.close()


async def test_a_reader_follows_an_index_that_was_deleted_and_built_again(tmp_path: Path) -> None:
    folder, away = tmp_path / "index", tmp_path / "away"
    writer = TantivyIndex.open(folder, writable=True)
    await writer.write(posts("a", "b"))
    reader = TantivyIndex.open(folder, writable=False)
    assert await reader.count(MatchAll()) == 2
    await writer.close()
    folder.rename(away)
    assert await reader.count(MatchAll()) == 0
    writer = TantivyIndex.open(folder, writable=True)
    await writer.write(posts("c"))
    assert await reader.count(MatchAll()) == 1
    await writer.close()


async def test_a_reader_does_not_write(tmp_path: Path) -> None:
    reader = TantivyIndex.open(tmp_path, writable=False)
    with pytest.raises(ConfigError, match="open it with writable=True"):
        await reader.write(posts("a"))


async def test_a_second_writer_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    first = TantivyIndex.open(tmp_path, writable=True)
    with pytest.raises(ConfigError, match="another process writes this index; stop it"):
        TantivyIndex.open(tmp_path, writable=True)
    await first.close()
    second = TantivyIndex.open(tmp_path, writable=True)
    await second.write(posts("a"))
    await second.close()
    with pytest.raises(ConfigError, match="was closed"):
        await first.write(posts("b"))


async def test_closing_twice_is_fine(tmp_path: Path) -> None:
    index = TantivyIndex.open(tmp_path, writable=True)
    await index.close()
    await index.close()


@pytest.mark.parametrize("writable", [True, False])
async def test_an_index_of_another_mapping_is_refused(tmp_path: Path, *, writable: bool) -> None:
    index = TantivyIndex.open(tmp_path, writable=True)
    await index.write(posts("a"))
    await index.close()
    (tmp_path / "mapping.sha256").write_text("0" * 64)
    with pytest.raises(ConfigError, match="built by another version: delete the folder"):
        TantivyIndex.open(tmp_path, writable=writable)


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/index: the index cannot be made"):
        TantivyIndex.open(tmp_path / "file" / "index", writable=True)


async def test_a_damaged_index_is_named_and_not_retried_by_the_writer(tmp_path: Path) -> None:
    index = TantivyIndex.open(tmp_path, writable=True)
    await index.write(posts("a"))
    await index.close()
    (tmp_path / "meta.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be opened; delete the folder"):
        TantivyIndex.open(tmp_path, writable=True)
    with pytest.raises(Retryable, match="cannot be opened"):
        await TantivyIndex.open(tmp_path, writable=False).count(MatchAll())


async def test_concurrent_writes_and_searches_all_count(tmp_path: Path) -> None:
    index = TantivyIndex.open(tmp_path, writable=True)
    writes = [index.write(posts(f"w{n}a", f"w{n}b")) for n in range(10)]
    searches = [index.search(SearchRequest(parse("debt"))) for _ in range(10)]
    done = await asyncio.gather(*writes, *searches)
    assert done[:10] == [[]] * 10
    assert await index.count(MatchAll()) == 20
    await index.close()


async def test_a_large_batch_is_one_commit(tmp_path: Path) -> None:
    index = TantivyIndex.open(tmp_path, writable=True)
    await index.write(posts(*(f"l{number}" for number in range(2000)), text="debt default " * 60))
    assert await index.count(parse("default")) == 2000
    await index.close()


@pytest.mark.parametrize("batches", [1, 12])
def test_after_a_kill_exactly_the_committed_documents_are_there(tmp_path: Path, batches: int) -> None:
    process = started(WRITE_UNTIL_KILLED, tmp_path)
    assert process.stdout is not None
    for _ in range(batches):
        acknowledged = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate(timeout=30)
    acknowledged = max([acknowledged, *map(int, rest.split())])

    async def counted() -> tuple[int, int]:
        reader = TantivyIndex.open(tmp_path, writable=False)
        before = await reader.count(MatchAll())
        writer = TantivyIndex.open(tmp_path, writable=True)  # the lock went with the process
        await writer.write(posts("after"))
        await writer.close()
        return before, await reader.count(MatchAll())

    before, after = asyncio.run(counted())
    # a commit may be whole on disk with its acknowledgement unprinted, and never in part
    assert before in (acknowledged, acknowledged + 50)
    assert after == before + 1


def test_a_full_disk_is_retryable_and_a_later_write_succeeds(tmp_path: Path) -> None:
    process = started(WRITE_ON_A_FULL_DISK, tmp_path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    lines = out.splitlines()
    assert lines[0].startswith("retryable: writing the index in ")
    assert "free disk space" in lines[1]
    assert lines[2:] == ["1", "[] 2001"]


def test_a_reader_in_another_process_sees_whole_commits_only(tmp_path: Path) -> None:
    process = started(WRITE_UNTIL_KILLED, tmp_path)
    assert process.stdout is not None

    async def followed(lines: Iterable[str]) -> list[tuple[int, int]]:
        reader = TantivyIndex.open(tmp_path, writable=False)
        return [(int(line), await reader.count(parse("default"))) for line in lines]

    seen = asyncio.run(followed(itertools.islice(process.stdout, 40)))  # tantivy merges and deletes segments meanwhile
    process.kill()
    process.communicate(timeout=30)
    assert all(found >= acknowledged and found % 50 == 0 for acknowledged, found in seen)
    assert seen == sorted(seen)
