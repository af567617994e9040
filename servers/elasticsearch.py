"""An Elasticsearch node: the server core from Maven Central, started by the few Java classes in `node/`.

It lacks what a full distribution has beside the core: ILM, data streams, percolator, `_delete_by_query`, `_reindex`, painless,
ingest processors, async search, SQL, ES|QL. It has the analyzers standard, cjk, english and smartcn.
"""

from pathlib import Path

import httpx

from servers.maven import class_path, classes, jars, java
from servers.process import Server, kept_port

_SOURCES = Path(__file__).parent / "node"
_MAIN = "org.elasticsearch.node.LocalNode"
_OPTIONS = ("-Xms512m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class ElasticsearchServer(Server):
    """A node on a loopback port that the folder remembers, until `stop`; `ConfigError` where Java or its jars are missing."""

    name = "elasticsearch"

    def __init__(self, folder: Path) -> None:
        folder = folder.absolute()
        port, transport = kept_port(folder / "http.port"), kept_port(folder / "transport.port")
        libraries = jars("elasticsearch")
        command: list[str | Path] = [
            java(),
            *_OPTIONS,
            "-cp",
            class_path(classes(_SOURCES, libraries), libraries),
            _MAIN,
            folder,
            str(port),
            str(transport),
        ]
        super().__init__(folder, f"http://127.0.0.1:{port}", command)

    def answers(self) -> bool:
        """Whether all primary shards serve."""
        try:
            health = httpx.get(
                f"{self.address}/_cluster/health", params={"wait_for_status": "yellow", "timeout": "1s"}, timeout=5.0
            )
        except httpx.HTTPError:
            return False
        return health.status_code == httpx.codes.OK
