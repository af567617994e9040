"""What tests of several folders share."""

import os
from collections.abc import Iterator

import pytest

from search.elastic_client import Cluster
from tests.live.elastic_server import cluster_of


@pytest.fixture(scope="session")
def elasticsearch() -> Iterator[Cluster]:
    """A real Elasticsearch for the whole run: the one that `GROUNDSWELL_TEST_ELASTICSEARCH` names, else one of its own."""
    yield cluster_of(os.environ["GROUNDSWELL_TEST_ELASTICSEARCH"])
