"""One worker's table of one partition, on files of its own and a changelog that it shares with others."""

from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from faust.types import TP

from streams.changelog import Log
from streams.tables import NotOurs, StateTable, take_over
from tests.unit.payment_stages import Files

Run = Callable[[Coroutine[Any, Any, Any]], Any]  # a coroutine to its end


class TableWorker:
    """A worker's table `name`."""

    def __init__(self, log: Log, folder: Path, name: str, run: Run) -> None:
        folder.mkdir(exist_ok=True)
        self._log, self._run, self.files = log, run, Files(folder)
        self.table = StateTable(self.files, log, name, partitions=1)

    def take_over(self) -> int:
        """Take the partition over; how many messages were applied."""

        async def applied() -> int:
            return sum([count async for count in take_over(self._log, {TP(self.table.topic, 0): self.table})])

        count: int = self._run(applied())
        return count

    def save(self, values: Mapping[str, str | None]) -> None:
        """Set values, or with None delete them, for good; `NotOurs` where the partition is another worker's."""
        for key, value in values.items():
            if value is None:
                self.table.delete(0, key)
            else:
                self.table.put(0, key, value.encode())
        try:
            self._run(self.table.save())
        except NotOurs:
            self.table.give_up({})
            raise

    def values(self) -> dict[str, str]:
        """All that the table holds."""
        return {key: value.decode() for key, value in self.table.items(0)}
