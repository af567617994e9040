"""Fixtures that several suites share."""

from tests.databases import database_url, postgres, postgres_url
from tests.live.elastic_server import elasticsearch, elasticsearch_server

__all__ = ["database_url", "elasticsearch", "elasticsearch_server", "postgres", "postgres_url"]
