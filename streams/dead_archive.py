"""Dead letters of the embedded broker, which forgets them, kept in a file of the data folder: one JSON line each."""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from core import log
from core.errors import ConfigError, GroundswellError
from core.records import DeadLetter
from core.settings import Settings
from core.topics import ALL
from streams.dead_reader import DeadReader

_PREFIX = "saved:"
_EVERY_S = 0.5
_log = log.get(__name__)


class DeadArchive:
    """The letters in one file, in the order of their saving; a letter's place is `saved:LINE`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begins = [0]  # where each line begins, and where the next one will
        self._told = 0  # lines that `fresh` has given
        self.older = False  # nothing is left out

    def append(self, letters: Iterable[DeadLetter]) -> None:
        """Save letters; they are in the file on return."""
        lines = [msgspec.json.encode(letter) + b"\n" for letter in letters]
        if lines:
            with self._path.open("ab") as stream:
                stream.write(b"".join(lines))

    def fresh(self, _most: int | None = None) -> Iterator[tuple[str, DeadLetter]]:
        """The letters that were saved since the last call, oldest first."""
        self._look()
        told, self._told = self._told, len(self._begins) - 1
        for number in range(told + 1, self._told + 1):
            yield f"{_PREFIX}{number}", self._line(number)

    def read(self, place: str) -> DeadLetter:
        """The letter at a place; `ConfigError` where there is none."""
        self._look()
        number = place.removeprefix(_PREFIX)
        if place.startswith(_PREFIX) and number.isdecimal() and 0 < int(number) < len(self._begins):
            return self._line(int(number))
        raise ConfigError(f"there is no dead letter at {place}; see `groundswell dead list`")

    def _look(self) -> None:
        """Note where the lines begin that were written since the last look; one that is still being written is none."""
        if self._path.exists():
            with self._path.open("rb") as stream:
                stream.seek(self._begins[-1])
                for line in stream:
                    if line.endswith(b"\n"):
                        self._begins.append(self._begins[-1] + len(line))

    def _line(self, number: int) -> DeadLetter:
        begin, end = self._begins[number - 1 : number + 1]
        with self._path.open("rb") as stream:
            stream.seek(begin)
            return msgspec.json.decode(stream.read(end - begin), type=DeadLetter)


class DeadSaver:
    """A thread that copies every new dead letter of the embedded broker into an archive."""

    def __init__(self, settings: Settings, archive: DeadArchive) -> None:
        self._reader = DeadReader(settings)
        self._archive = archive
        self._next: dict[tuple[str, int], int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dead-saver", daemon=True)

    def start(self) -> None:
        """Begin to copy."""
        self._thread.start()

    def finish(self) -> None:
        """Copy what is left and end."""
        self._stop.set()
        self._thread.join()
        self._copy()
        self._reader.close()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            try:
                self._copy()
            except GroundswellError as error:
                _log.warning("dead_letters_not_saved_yet", error=str(error))

    def _copy(self) -> None:
        for topic in ALL:
            fresh, self._next = self._reader.after(topic.dead, self._next)
            self._archive.append(fresh)
