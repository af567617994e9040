"""A Kafka broker: one KRaft node from Maven Central, whose log survives kill -9 and a new start on the same folder."""

import base64
import subprocess
import uuid
from pathlib import Path

import kafka
from kafka.errors import KafkaError

from servers.maven import jars, java
from servers.process import Server, ServerFailed, kept_port

_PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/log
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=2
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=1
log.segment.bytes=67108864
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=16777216
"""
_OPTIONS = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
_FORMAT_S = 600.0  # 5 s on a free core, minutes where trainings hold all of them


class KafkaServer(Server):
    """A broker on a loopback port that the folder remembers, until `stop`; `ConfigError` where Java or its jars are missing."""

    name = "kafka"

    def __init__(self, folder: Path) -> None:
        folder = folder.absolute()
        self._properties = folder / "server.properties"
        port = kept_port(folder / "kafka.port")
        controller = kept_port(folder / "controller.port")
        self._properties.write_text(_PROPERTIES.format(port=port, controller=controller, folder=folder), "utf-8")
        self._java: list[str | Path] = [java(), *_OPTIONS, "-cp", f"{jars('kafka')}/*"]
        self.cluster_id = self._formatted(folder)
        super().__init__(folder, f"127.0.0.1:{port}", [*self._java, "kafka.Kafka", self._properties])

    def _formatted(self, folder: Path) -> str:
        """The id of the cluster whose log is in the folder; a fresh folder is formatted with a new one."""
        meta = folder / "log" / "meta.properties"
        if not meta.exists():
            made = _fresh_id()
            command = [*self._java, "kafka.tools.StorageTool", "format", "--config", self._properties, "--cluster-id", made]
            try:
                done = subprocess.run(  # noqa: S603 — Kafka's own tool
                    command, cwd=folder, capture_output=True, text=True, timeout=_FORMAT_S, check=False
                )
            except subprocess.TimeoutExpired as error:
                raise ServerFailed(
                    f"Kafka did not format {folder} within {_FORMAT_S:.0f} s; start again when the machine is free"
                ) from error
            if done.returncode:
                raise ServerFailed(f"Kafka did not format {folder}:\n{(done.stdout + done.stderr)[-2000:]}")
        found = dict(line.split("=", 1) for line in meta.read_text("utf-8").splitlines() if "=" in line)
        return found["cluster.id"]

    def answers(self) -> bool:
        """Whether a group's offsets can be read: that needs the controller, the broker, and the log of all groups."""
        try:
            admin = kafka.KafkaAdminClient(bootstrap_servers=self.address, bootstrap_timeout_ms=2_000, request_timeout_ms=5_000)
        except (KafkaError, OSError):
            return False
        try:
            admin.list_group_offsets({"groundswell": [kafka.TopicPartition("none", 0)]})
        except KafkaError:
            return False
        finally:
            admin.close()
        return True


def _fresh_id() -> str:
    """A cluster id as Kafka makes them: 22 characters, none of them an option's dash at the beginning.

    >>> len(_fresh_id())
    22
    """
    made = "-"
    while made.startswith("-"):
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    return made
