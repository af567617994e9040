"""All parts on real servers under load and random faults, and the books at the end: `python -m bench.soak --minutes N --seed S`.

Kafka, Elasticsearch and PostgreSQL, two workers with the real models, the page and a receiver of alerts. One line for each fault and one a
minute. Then faults and feeding stop, everything drains, and the exit status is 1 where anything was lost, doubled or not delivered.
Ctrl-C ends it early with the books; a second one does not wait for the drain.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
from kafka.errors import KafkaError

from bench.soak.books import Books, audit
from bench.soak.faults import Faults, plan
from bench.soak.feed import Feed, Rates
from bench.soak.parts import Parts
from bench.soak.receiver import Receiver, open_receiver
from commands import wiring
from commands.machine import Watched, on_servers
from core.errors import ConfigError, GroundswellError, Retryable
from core.settings import Settings
from streams.backlog import GROUP, TOPICS, backlog, in_flight
from streams.kafka_client import Offsets
from streams.totals import totals

_TICK_S = 0.25
_DRAIN_S = 3_600.0  # a delivery that was refused three times is tried again after half an hour
_STILL_S = 5.0  # for so long nothing may be in flight
_STUCK_S = 300.0  # what has not moved for so long will not, but for deliveries


class Rest(NamedTuple):
    """What is not done: messages or payments in flight, messages whose offsets are not committed, deliveries."""

    in_flight: int
    uncommitted: int
    pending: int


_NOTHING = Rest(0, 0, 0)


class Soak:
    """One soak: its parts, the loop that watches them, and what it has found."""

    def __init__(self, settings: Settings, servers: Sequence[Watched], receiver: Receiver, asked: argparse.Namespace) -> None:
        self._settings = settings
        self._asked = asked
        self._receiver = receiver
        self._offsets = Offsets(settings)
        self._offsets.create()
        self._ledger, self._store = wiring.open_ledger(settings), wiring.open_alerts(settings)
        self.parts = Parts(settings, servers, receiver)
        seconds = asked.minutes * 60
        self.feed = Feed(settings, Rates(asked.texts, asked.payments), seconds=seconds, seed=asked.seed)
        planned = plan(asked.seed, seconds=seconds, gap_s=tuple(asked.gap))
        self.faults = Faults(self.parts, self.feed, receiver, planned, self._tell)
        self._begun_s = time.monotonic()
        self._minute = 0
        self._signals = 0

    def run(self) -> Books:
        """Feed under faults, drain, and the books."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        try:
            self.parts.start()
            self.feed.start()
            while not self._signals and self._now_s() < self._asked.minutes * 60:
                self.faults.step(self._now_s())
                self._watch()
            self._tell("faults and feeding end")
            self.faults.finish()
            self.feed.stop()
            drained = self._drain()
            self._tell(f"{'drained' if drained else 'not drained'}; MB (minutes since start): {self.parts.measure(-1)}")
            self.feed.abort()
            return audit(self._settings, self.feed.sent, self._receiver, f"http://127.0.0.1:{self.parts.port}")
        finally:
            self.feed.abort()
            self.parts.stop()
            self._offsets.close()

    def _watch(self) -> bool:
        """One turn of the loop: whether all servers answer."""
        up = self.parts.watch()
        if not self.feed.ended() and int(self._now_s() / 60) > self._minute:
            self._minute = int(self._now_s() / 60)
            memory = self.parts.measure(self._minute)
            self._tell(
                f"minute {self._minute}: {self._state() if up else 'a server is away'}; MB (minutes since start): {memory}"
            )
        time.sleep(_TICK_S)
        return up

    def _state(self) -> str:
        sent = self.feed.sent
        try:
            entries, counts = self._ledger.entries(), self._store.counts()
            lag = backlog(self._offsets.ends(TOPICS), entries)
        except Retryable as error:
            return f"sent {sent.events}; not read: {error}"
        done = totals(entries)
        return (
            f"sent {sent.events} and {sent.labels} labels, scored {done.scored}, indexed {done.indexed}, dead {done.dead}, "
            f"lag {lag}, delivered {counts.delivered}, pending {counts.pending}"
        )

    def _drain(self) -> bool:
        """Whether nothing was in flight for `_STILL_S`; False where that takes too long, and the books tell what is missing."""
        until_s, told_s, moved_s, last = self._now_s() + _DRAIN_S, self._now_s(), self._now_s(), None
        while self._signals < 2 and self._now_s() < until_s:
            up = self._watch() and self.feed.ended()
            rest = self._rest() if up else None
            if rest is None or rest != last:
                last, moved_s = rest, self._now_s()
            still_s = self._now_s() - moved_s
            if rest is not None and ((rest == _NOTHING and still_s >= _STILL_S) or (not rest.pending and still_s >= _STUCK_S)):
                return rest == _NOTHING
            if self._now_s() - told_s > 60:
                told_s = self._now_s()
                self._tell(f"draining: {self._state()}; {rest}")
        return False

    def _rest(self) -> Rest | None:
        """What is not done yet; None while a server does not tell."""
        try:
            ends, entries = self._offsets.ends(TOPICS), self._ledger.entries()
            committed = self._offsets.committed(GROUP, ends)
            behind = sum(end - committed.get(place, 0) for place, end in ends.items())
            return Rest(in_flight(ends, entries), behind, self._store.counts().pending)
        except Retryable:
            return None

    def _now_s(self) -> float:
        return time.monotonic() - self._begun_s

    def _tell(self, line: str) -> None:
        minutes, seconds = divmod(int(self._now_s()), 60)
        print(f"{minutes:3}:{seconds:02}  {line}", flush=True)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._signals += 1

    def summary(self, books: Books) -> Iterator[str]:
        """Markdown: what was done, the books, and memory."""
        sent, asked, minutes = self.feed.sent, self._asked, self._minute
        yield f"\n## Soak of {minutes} minutes, seed {asked.seed}: {'all holds' if books.hold else 'something does not hold'}\n"
        yield (
            f"{len(sent.ids)} events, {sent.labels} labels and {len(sent.poison)} poisonous records at {asked.texts:g} texts and "
            f"{asked.payments:g} payments a second, {self.faults.done} faults.\n"
        )
        yield from books.lines()
        yield "\n| Process | starts | MB at minute 5 | MB at the end | MB at most |\n|---|---|---|---|---|"
        for name, life in self.parts.lives.items():
            yield f"| {name} | {len(life.pids)} | {life.at_minute_5:.0f} | {life.now:.0f} | {life.most:.0f} |"


@contextmanager
def folder(named: Path | None) -> Iterator[Path]:
    """The folder of the soak: one that is removed at the end, or the one that was named, which must be empty."""
    if named is not None:
        named.mkdir(parents=True, exist_ok=True)
        if any(named.iterdir()):
            raise ConfigError("the soak's books begin at nothing; name an empty folder", file=str(named))
        yield named.resolve()
        return
    made = Path(tempfile.mkdtemp(prefix="groundswell-soak-", dir="/var/tmp"))
    made.chmod(0o711)  # PostgreSQL may run as another account
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def main() -> int:
    """The exit status; prints as it goes, and the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1, help="which faults come when, and what is sent")
    parser.add_argument("--data", type=Path, help="an empty folder, which is kept; else one that is removed")
    parser.add_argument("--texts", type=float, default=6.0, help="texts a second")
    parser.add_argument("--payments", type=float, default=50.0, help="payments a second")
    parser.add_argument("--gap", type=float, nargs=2, default=(30.0, 90.0), help="least and most seconds between two faults")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the soak runs: what was started is stopped
    try:
        with (
            folder(asked.data) as data,
            open_receiver() as receiver,
            on_servers(Settings(data=data, index="elasticsearch", threads=1)) as (settings, servers),
        ):
            soak = Soak(settings, servers, receiver, asked)
            books = soak.run()
            print("\n".join(soak.summary(books)))
    except (GroundswellError, KafkaError, httpx.HTTPError) as error:
        print(f"bench.soak: {error}", file=sys.stderr)
        return 1
    return 0 if books.hold else 1


if __name__ == "__main__":
    sys.exit(main())
