"""All servers of one machine, in one folder: opened side by side, stopped together."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.elasticsearch import ElasticsearchServer
from servers.kafka import KafkaServer
from servers.postgres import PostgresServer, find_binaries
from servers.process import Server


@contextmanager
def open_servers(folder: Path) -> Iterator[list[Server]]:
    """Kafka, Elasticsearch and, where it is installed, PostgreSQL, answering; they are stopped at the end, and what they hold stays."""
    servers: list[Server] = [KafkaServer(folder / "kafka"), ElasticsearchServer(folder / "elasticsearch")]
    if find_binaries() is not None:
        servers.append(PostgresServer(folder / "postgres"))
    try:
        for server in servers:
            server.launch()
        for server in servers:
            server.wait()
        yield servers
    finally:
        for server in reversed(servers):
            server.stop()
