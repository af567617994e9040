"""A real Elasticsearch for tests: one for all of a run, with a prefix for each test."""

import os
import uuid

from search.elastic_client import Cluster, connect


def cluster_of(url: str) -> Cluster:
    """The cluster at this address, with a time-out for slow machines."""
    return Cluster((url,), timeout_s=60.0)


def fresh_prefix() -> str:
    """A prefix that no other test has."""
    return f"t{uuid.uuid4().hex[:12]}"


async def remove(cluster: Cluster, prefix: str) -> None:
    """Deletes all that lies under a prefix."""
    client = connect(cluster)
    try:
        found = await client.options(ignore_status=404).indices.get(index=f"{prefix}-*", expand_wildcards="all")
        if found.body:
            await client.indices.delete(index=list(found.body))
        ignoring = client.options(ignore_status=[404, 400, 405])
        await ignoring.indices.delete_index_template(name=f"{prefix}-events")
        await ignoring.cluster.delete_component_template(name=f"{prefix}-mapping")
    finally:
        await client.close()
