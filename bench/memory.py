"""Resident memory of processes, from `/proc`."""

from collections.abc import Iterable
from pathlib import Path

_SHARED = ("RssFile", "RssShmem")


def tree(pid: int) -> list[int]:
    """A process and all that descend from it; nothing where it is gone."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in tree(int(child)))]


def resident_mb(pids: Iterable[int]) -> float:
    """Megabytes that processes hold: the private pages of all of them and the shared ones of that which has most; 0 where none is there."""
    found = [_fields(pid) for pid in pids]
    private = sum(fields.get("RssAnon", 0) for fields in found)
    shared = max((sum(fields.get(name, 0) for name in _SHARED) for fields in found), default=0)
    return (private + shared) * 1024 / 1e6


def private_mb(pids: Iterable[int]) -> float:
    """Megabytes that processes hold and that are in no file: without mapped programs, models and index segments."""
    return sum(_fields(pid).get("RssAnon", 0) for pid in pids) * 1024 / 1e6


def _fields(pid: int) -> dict[str, int]:
    """The kilobytes that `/proc/<pid>/status` tells, by name; empty where the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    rows = (line.partition(":") for line in lines if line.startswith("Rss"))
    return {name: int(value.split()[0]) for name, _, value in rows}
