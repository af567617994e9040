"""The data folder: used by one process tree at a time, and started afresh where it holds nothing but the demo."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import ConfigError

_LOCK = "lock"
_DEMO = "DEMO"
_PARTS = ("index", "faust", "logs", "dead.jsonl", "run.json", "state.sqlite", "state.sqlite-wal", "state.sqlite-shm")


@contextmanager
def locked(folder: Path, *, demo: bool) -> Iterator[None]:
    """Hold the folder for this process.

    With `demo`, a folder that an earlier demo made is emptied first: a replay into a state that has already seen it would raise no
    alert again. Without `demo`, the folder is kept, and is no demo's from then on.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("w")
    except OSError as error:
        raise ConfigError(f"cannot use the data folder: {error.strerror}; name another with --data", file=str(folder)) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                "another groundswell uses this folder; stop it, or name another with --data", file=str(folder)
            ) from error
        _prepare(folder, demo=demo)
        yield


def _prepare(folder: Path, *, demo: bool) -> None:
    marker = folder / _DEMO
    fresh = not any((folder / part).exists() for part in _PARTS)
    if demo and marker.exists():
        for part in _PARTS:
            _remove(folder / part)
    if demo and (fresh or marker.exists()):
        marker.write_text("`groundswell run` without --input empties this folder at its start.\n", "utf-8")
    if not demo:
        marker.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
