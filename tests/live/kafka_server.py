"""A real Kafka broker for tests: one KRaft node from Maven Central on Java 17, in a private folder on free ports."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import kafka
import pytest
from kafka.errors import KafkaError

from tests.acceptance.product import free_port

_POM = Path(__file__).parent / "kafka" / "pom.xml"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "groundswell" / "kafka"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
_CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"
_START_S = 240.0  # it takes 5 s on a free core
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
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=16777216
"""


def jars() -> Path:
    """The folder of Kafka's jars, fetched once; skips the test where Java or Maven is missing, and fails it where CI is set."""
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if missing:
        reason = f"{' and '.join(missing)} not installed: the tests on a real Kafka need Java 17 and Maven"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    if not (_CACHE / "complete").exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        command = ["mvn", "-B", "-q", "-ntp", "-f", str(_POM), _COPY, "-DincludeScope=runtime", f"-DoutputDirectory={_CACHE}"]
        subprocess.run(command, check=True, timeout=600)
        (_CACHE / "complete").touch()
    return _CACHE


class KafkaServer:
    """A broker from `start` to `stop`; what it holds survives `kill` and a new `start`."""

    def __init__(self) -> None:
        self._jars = jars()
        self._folder = Path(tempfile.mkdtemp(prefix="groundswell-kafka-"))
        self._port = free_port()
        self._properties = self._folder / "server.properties"
        values = {"port": self._port, "controller": free_port(), "folder": self._folder}
        self._properties.write_text(_PROPERTIES.format(**values), "utf-8")
        self._process: subprocess.Popen[bytes] | None = None
        self._java("kafka.tools.StorageTool", "format", "--config", str(self._properties), "--cluster-id", _CLUSTER_ID).wait()
        self.address = f"127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(signal.SIGTERM)
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it and return once it answers."""
        self._process = self._java("kafka.Kafka", str(self._properties))
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            try:
                admin = kafka.KafkaAdminClient(bootstrap_servers=self.address, bootstrap_timeout_ms=2_000)
                admin.create_topics({"probe": {"num_partitions": 1, "replication_factor": 1}}, raise_errors=False)
                admin.close()
            except KafkaError:
                time.sleep(0.5)
            else:
                return
        raise AssertionError(f"Kafka did not start:\n{(self._folder / 'output').read_text('utf-8', 'replace')[-2000:]}")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)

    def _java(self, main: str, *arguments: str) -> "subprocess.Popen[bytes]":
        options = [
            "-Xms128m",
            "-Xmx512m",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        ]
        with (self._folder / "output").open("ab") as output:
            command = ["java", *options, "-cp", f"{self._jars}/*", main, *arguments]
            return subprocess.Popen(command, cwd=self._folder, stdout=output, stderr=output)
