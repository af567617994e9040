"""The replay of a folder into the raw topics, in a thread of its own; on a lasting broker it goes on where an earlier one was."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from commands import wiring
from core import log
from core.errors import Retryable
from core.settings import Settings
from core.topics import RAW
from streams.kafka_client import EventProducer, Offsets
from streams.replayed import Replayed, marked, open_replayed
from streams.sources.files import SourceRecord, input_files, read_file
from streams.sources.replay import Pace, merge

_CHECKPOINT_EVERY = 2_000  # records: what a new start reads back from the broker at most, beside what others have sent
_TRY_AGAIN_S = 1.0
_log = log.get(__name__)


@dataclass(slots=True)
class Feed:
    """Sends a folder's records, by event time at `speed` times real time (None: as fast as it goes).

    With `checkpoint`, a file beside the data, each line is sent once, whatever restarts in between; `sent` counts those of earlier
    starts too. Without, what is in flight is bounded for the embedded broker, and an error ends the feed.
    """

    settings: Settings
    folder: Path
    speed: float | None
    stop: threading.Event
    checkpoint: Path | None = None
    sent: int = 0
    done: bool = False
    error: BaseException | None = None
    _thread: threading.Thread | None = field(default=None)

    def start(self) -> None:
        """Begin to send."""
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until it has ended."""
        if self._thread is not None:
            self._thread.join()

    def _sleep(self, seconds: float) -> None:
        self.stop.wait(seconds)

    def _run(self) -> None:
        try:
            if self.checkpoint is None:
                self._send_gated()
            else:
                self._send_once(self.checkpoint)
            self.done = True
        except BaseException as error:  # noqa: BLE001 — told to the main thread, which ends the run
            self.error = error

    def _records(self) -> Iterator[SourceRecord]:
        files = input_files(self.folder)
        return merge([_named(read_file(path, kind), str(path.resolve())) for kind, path in files])

    def _send_gated(self) -> None:
        pace = Pace(self.speed, sleep=self._sleep)
        with EventProducer(self.settings) as producer:
            gate = wiring.open_gate(self.settings, producer, self.stop.is_set)
            for record in self._records():
                pace.wait_for(record.time)
                if gate is not None and not gate.take(len(record.raw)):
                    break
                producer.send(record.message())
                self.sent += 1
            producer.flush()

    def _send_once(self, checkpoint: Path) -> None:
        """Send what no earlier attempt has sent; one that the broker has failed is followed by another, for as long as it takes."""
        while not self.stop.is_set():
            try:
                replayed = open_replayed(self.settings, checkpoint)
                with closing(Offsets(self.settings)) as offsets, EventProducer(self.settings) as producer:
                    self._send_rest(replayed, producer, offsets)
            except Retryable as error:
                _log.warning("feed_begins_again", error=str(error))
                self._sleep(_TRY_AGAIN_S)
            else:
                return

    def _send_rest(self, replayed: Replayed, producer: EventProducer, offsets: Offsets) -> None:
        pace = Pace(self.speed, sleep=self._sleep)
        lines: dict[str, int] = {}
        self.sent = fresh = 0
        for record in self._records():
            if not replayed.has(record.source, record.line):
                pace.wait_for(record.time)
                if self.stop.is_set():
                    break
                producer.send(marked(record.message(), record.source, record.line))
                fresh += 1
            lines[record.source] = record.line
            self.sent += 1
            if fresh == _CHECKPOINT_EVERY:
                _confirm(replayed, lines, producer, offsets)
                fresh = 0
        _confirm(replayed, lines, producer, offsets)


def _named(records: Iterable[SourceRecord], source: str) -> Iterator[SourceRecord]:
    """The records, with the name of where they are from."""
    return (replace(record, source=source) for record in records)


def _confirm(replayed: Replayed, lines: dict[str, int], producer: EventProducer, offsets: Offsets) -> None:
    producer.flush()
    replayed.save(lines, offsets.ends(topic.name for topic in RAW.values()))
