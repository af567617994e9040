"""`groundswell run --servers DIR`: real Kafka, PostgreSQL where it is installed, and Elasticsearch where that is the index, in one folder.

They are restarted when they die.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from alerts import migrate
from commands import wiring
from core import log
from core.settings import Settings
from servers.elasticsearch import ElasticsearchServer
from servers.kafka import KafkaServer
from servers.postgres import PostgresServer, find_binaries
from servers.process import Server, ServerFailed

_MAX_RESTARTS = 5  # within _RESTART_WINDOW_S; a server that dies more often will not live
_RESTART_WINDOW_S = 600.0
_log = log.get(__name__)


@dataclass(slots=True)
class Watched:
    """A server under supervision: launched again when it is gone. `up` says whether it answered after its last launch."""

    server: Server
    up: bool = True
    _deaths: list[float] = field(default_factory=list)

    def watch(self) -> bool:
        """Whether it is up; one that has died is launched again, `ServerFailed` where that does not help. Never waits for long."""
        if self.server.pid is None:
            self._launch_again()
        elif not self.up and self.server.answers():
            self.up = True
            _log.info("server_answers_again", server=self.server.name)
        return self.up

    def _launch_again(self) -> None:
        now = time.monotonic()
        self._deaths = [death for death in self._deaths if now - death < _RESTART_WINDOW_S] + [now]
        if len(self._deaths) > _MAX_RESTARTS:
            raise ServerFailed(
                f"{self.server.name} dies again and again; the end of {self.server.log_file}:\n{self.server.last_lines()}"
            )
        _log.warning("server_restarted", server=self.server.name, status=self.server.status, restarts=len(self._deaths))
        self.up = False
        self.server.launch()


@contextmanager
def on_servers(settings: Settings) -> Iterator[tuple[Settings, Sequence[Watched]]]:
    """The servers in `settings.data`, answering, and the settings to reach them; they are stopped at the end.

    The ledger's epoch is the cluster's id, which stays what it is when ports change.
    """
    kafka = KafkaServer(settings.data / "kafka")
    servers: list[Server] = [kafka]
    reached = replace(settings, broker=kafka.address, epoch=f"kafka-{kafka.cluster_id}", rules=wiring.find_rules(settings.rules))
    if _wants_postgres(settings):
        postgres = PostgresServer(settings.data / "postgres")
        servers.append(postgres)
        reached = replace(reached, database=postgres.url)
    if _wants_elasticsearch(settings):
        node = ElasticsearchServer(settings.data / "elasticsearch")
        servers.append(node)
        reached = replace(reached, index="elasticsearch", elasticsearch=node.address)
    try:
        for server in servers:
            server.launch()
        for server in servers:
            server.wait()
        migrate.upgrade(wiring.connect(reached))
        yield reached, [Watched(server) for server in servers]
    finally:
        for server in reversed(servers):
            server.stop()


def _wants_elasticsearch(settings: Settings) -> bool:
    """Whether the index is an Elasticsearch of our own: no other is named, and it is asked for now, or was at an earlier start."""
    earlier = (settings.data / "elasticsearch").exists()
    return settings.elasticsearch == Settings().elasticsearch and (settings.index == "elasticsearch" or earlier)


def _wants_postgres(settings: Settings) -> bool:
    """Whether the state goes to a PostgreSQL of our own: where it is installed, and the state is not elsewhere or in SQLite."""
    elsewhere = bool(settings.database) and not (settings.data / "postgres").exists()
    return find_binaries() is not None and not elsewhere and not (settings.data / "state.sqlite").exists()
