"""`groundswell index`: the index of scored events on servers."""

import asyncio
import sys

from commands import wiring
from core.errors import ConfigError
from core.settings import Settings
from search.elastic_upgrade import upgrade


def upgrade_index(settings: Settings) -> None:
    """Build those indices anew that another version has made, and print their names."""
    if settings.index == "embedded":
        raise ConfigError("the embedded index is built anew from an empty folder; set index to elasticsearch", field="index")
    names = asyncio.run(upgrade(wiring.elastic_cluster(settings), settings.elasticsearch_prefix))
    for name in names:
        sys.stdout.write(f"{name}\n")
    sys.stdout.write(f"{len(names)} indices built anew\n")
