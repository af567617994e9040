"""The connection to an Elasticsearch cluster: its failures as our errors, and what the cluster can do.

call ─► answer
 │ cluster away, slow, overloaded (429, 5xx) ─► Retryable
 │ who we are or what we may do (401, 403), no Elasticsearch ─► ConfigError
 └ a request that it refuses (400) ─► QueryError for a search; elsewhere ConfigError
"""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from elastic_transport import ObjectApiResponse
from elasticsearch import ApiError, AsyncElasticsearch, SerializationError, TransportError, UnsupportedProductError

from core.errors import ConfigError, GroundswellError, QueryError, Retryable
from search.elastic_layout import candidates

T = TypeVar("T")

_ABSENT = (400, 404, 405)  # how a cluster answers for a feature that it lacks
_TOO_MANY_BUCKETS = "too_many_buckets_exception"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where a cluster is and how we prove who we are; a key goes before user and password."""

    urls: tuple[str, ...]
    user: str = ""
    secret: str = ""
    api_key: str = ""
    ca: Path | None = None
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Features:
    """What a cluster can do of that which not every one can."""

    analyzers: frozenset[str]
    lifecycle: bool


def connect(cluster: Cluster) -> AsyncElasticsearch:
    """A client of the cluster; nothing is sent yet. Raises ConfigError where an address is none or the CA file cannot be read.

    The client itself repeats nothing: who calls knows what may be repeated.
    """
    options: dict[str, Any] = {"request_timeout": cluster.timeout_s, "max_retries": 0, "retry_on_timeout": False}
    if cluster.api_key:
        options["api_key"] = cluster.api_key
    elif cluster.user:
        options["basic_auth"] = (cluster.user, cluster.secret)
    if cluster.ca is not None:
        if not cluster.ca.is_file():
            raise ConfigError("no such file; name the certificate of the cluster's CA", file=str(cluster.ca))
        options["ca_certs"] = str(cluster.ca)
    try:
        return AsyncElasticsearch(list(cluster.urls), **options)
    except ValueError as error:
        message = f"{', '.join(cluster.urls) or 'nothing'}: {error}; write http://HOST:9200 or https://HOST:9200"
        raise ConfigError(message, field="elasticsearch") from error


async def call(request: Awaitable[T], *, doing: str, query: str | None = None) -> T:
    """The answer; a failure as one of our errors. With `query`, a request that is refused is a QueryError."""
    with translated(doing, query):
        return await request


@contextmanager
def translated(doing: str, query: str | None = None) -> Iterator[None]:
    """Turns the client's exceptions into ours; `doing` begins the message."""
    try:
        yield
    except ApiError as error:
        raise _of_answer(error, doing, query) from error
    except UnsupportedProductError as error:
        message = f"{doing}: the server is no Elasticsearch 8; see the setting elasticsearch"
        raise ConfigError(message) from error
    except (TransportError, SerializationError) as error:
        raise Retryable(f"{doing}: Elasticsearch does not answer: {error}") from error


def reason(body: object) -> str:
    """What an error's body says, the deepest cause first said.

    >>> reason({"error": {"type": "x", "reason": "all shards failed", "root_cause": [{"type": "y", "reason": "too many clauses"}]}})
    'y: too many clauses'
    """
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return str(error)[:300]
    causes = error.get("root_cause") or [error]
    return f"{causes[0].get('type')}: {causes[0].get('reason')}"[:300]


async def features(client: AsyncElasticsearch) -> Features:
    """What this cluster can do. A failure that says nothing about the feature is raised."""
    found = [name for name in candidates() if await _has(client, "POST", "/_analyze", {"analyzer": name, "text": "a"})]
    return Features(frozenset(found), await _has(client, "GET", "/_ilm/policy"))


async def _has(client: AsyncElasticsearch, method: str, path: str, body: dict[str, Any] | None = None) -> bool:
    headers = {"accept": "application/json", **({"content-type": "application/json"} if body else {})}
    try:
        request: Awaitable[ObjectApiResponse[Any]] = client.perform_request(method, path, headers=headers, body=body)
        await call(_passed(request), doing="asking what the cluster can do")
    except _Absent:
        return False
    return True


class _Absent(Exception):
    """The cluster lacks a feature."""


async def _passed(request: Awaitable[T]) -> T:
    try:
        return await request
    except ApiError as error:
        if error.meta.status in _ABSENT:
            raise _Absent from error
        raise


def _of_answer(error: ApiError, doing: str, query: str | None) -> GroundswellError:
    status, why = error.meta.status, reason(error.body)
    if query is not None and (status == 400 or _TOO_MANY_BUCKETS in str(error.body)):
        return QueryError(f"Elasticsearch cannot answer this: {why}; ask for less at once", query=query[:200], position=0)
    if status in (401, 403) and "cluster_block" not in why:
        return ConfigError(f"{doing}: Elasticsearch refuses this user ({status}): {why}; see elasticsearch_user and its secret")
    if status == 400:
        return ConfigError(f"{doing}: Elasticsearch refuses the request: {why}")
    return Retryable(f"{doing}: Elasticsearch answers {status}: {why}")
