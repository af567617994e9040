"""Dead letters of the embedded broker, which forgets them, kept in a file of the data folder: one JSON line each."""

import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec

from core import log
from core.errors import ConfigError, GroundswellError
from core.records import DeadLetter
from core.settings import Settings
from core.topics import ALL, DEAD_SUFFIX
from streams.dead_reader import DeadReader

_PREFIX = "saved:"
_EVERY_S = 0.5
_log = log.get(__name__)


class DeadArchive:
    """The letters in one file, in the order of their saving; a letter's place is `saved:LINE`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, letters: Iterable[DeadLetter]) -> None:
        """Save letters; they are in the file on return."""
        lines = [msgspec.json.encode(letter) + b"\n" for letter in letters]
        if lines:
            with self._path.open("ab") as stream:
                stream.write(b"".join(lines))

    def newest(self, topics: Iterable[str], limit: int | None = None) -> list[tuple[str, DeadLetter]]:
        """The newest letters of these dead-letter topics, newest first; all without `limit`."""
        wanted = set(topics)
        found = [(f"{_PREFIX}{line}", letter) for line, letter in self._letters() if letter.topic + DEAD_SUFFIX in wanted]
        return found[::-1][:limit]

    def read(self, place: str) -> DeadLetter:
        """The letter at a place; `ConfigError` where there is none."""
        for line, letter in self._letters():
            if place == f"{_PREFIX}{line}":
                return letter
        raise ConfigError(f"there is no dead letter at {place}; see `groundswell dead list`")

    def _letters(self) -> list[tuple[int, DeadLetter]]:
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        return [(number, msgspec.json.decode(line, type=DeadLetter)) for number, line in enumerate(lines, start=1)]


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
