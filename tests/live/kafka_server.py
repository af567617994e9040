"""A real Kafka broker for tests, in a private folder on free ports."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from core.errors import ConfigError, GroundswellError
from servers.kafka import KafkaServer as Broker


class KafkaServer(Broker):
    """A broker whose folder goes with it; skips the test where Java or Maven is missing, and fails it where CI is set."""

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="groundswell-kafka-"))
        try:
            super().__init__(folder)
        except ConfigError as error:
            shutil.rmtree(folder, ignore_errors=True)
            missing(error)

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def missing(error: GroundswellError) -> NoReturn:
    """Skip the test, or fail it where CI is set, since a server cannot be had here."""
    reason = f"needs a real server: {error}"
    pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    raise AssertionError(reason)
