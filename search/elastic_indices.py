"""Which indices there are: one a month of event time for texts and for transactions each, so that old events are deleted whole.

`<prefix>-texts-2026.11-3f2a9c-000001`: kind, month, the mapping's digest, and a number that grows when the index has become too large.
The alias `<prefix>-texts-2026.11` names the one to write, `<prefix>` all that are searched. An index of another mapping's digest is
not written; `elastic_upgrade.py` builds it anew. Data streams would not do: a document in one cannot be replaced by its id.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from elasticsearch import AsyncElasticsearch, BadRequestError

from core import log
from core.clock import from_epoch_s
from core.errors import ConfigError
from search.dates import epoch_ms, text_ms
from search.documents import Document
from search.elastic_client import Features, call, translated
from search.elastic_layout import mappings
from search.mapping import digest

TAG = digest()[:6]
UNDATED = "undated"
_MAX_SHARD = "40gb"  # Elastic advises 10 to 50
_MONTH = re.compile(r"(\d{4})\.(\d\d)")
_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """The events of one kind and month."""

    kind: str
    month: str

    def alias(self, prefix: str) -> str:
        """The alias under which they are written.

        >>> Place("texts", "2026.11").alias("groundswell")
        'groundswell-texts-2026.11'
        """
        return f"{prefix}-{self.kind}-{self.month}"


def place_of(document: Document) -> Place:
    """Where a document belongs: by its kind and the month of its event time, in UTC.

    >>> place_of({"id": "a", "kind": "transaction", "time": "2026-11-30T23:00:00-02:00"})
    Place(kind='transactions', month='2026.12')
    """
    kind = "transactions" if document.get("kind") == "transaction" else "texts"
    moment = text_ms(document.get("time") or "")
    return Place(kind, UNDATED if moment is None else f"{from_epoch_s(moment / 1000):%Y.%m}")


def month_end(month: str) -> datetime | None:
    """The first moment after a month; None for events without a time.

    >>> month_end("2026.12").isoformat()
    '2027-01-01T00:00:00+00:00'
    """
    found = _MONTH.fullmatch(month)
    if found is None:
        return None
    year, number = int(found[1]), int(found[2])
    start = from_epoch_s(0).replace(year=year, month=number)
    return start.replace(year=year + 1, month=1) if number == 12 else start.replace(month=number + 1)


class ElasticIndices:
    """Makes, lists, rolls over and deletes the indices of one prefix."""

    def __init__(self, client: AsyncElasticsearch, prefix: str, *, keep_days: int = 0) -> None:
        self._client = client
        self._keep_days = keep_days
        self._written: dict[Place, str] = {}
        self._aged = False
        self.prefix = prefix

    async def prepare(self, features: Features) -> None:
        """Puts the templates, and the policy where the cluster has such, after a check that every index has this mapping."""
        await self.check()
        await self.put_templates(features)

    async def put_templates(self, features: Features) -> None:
        """Puts what new indices are made from, and the policy where the cluster has such."""
        doing = "preparing Elasticsearch"
        template = {"mappings": mappings(features.analyzers)}
        await call(self._client.cluster.put_component_template(name=self._name("mapping"), template=template), doing=doing)
        # every write ends in a refresh, and a prefix may be as long as a keyword
        index = {"refresh_interval": "30s", "number_of_shards": 1, "auto_expand_replicas": "0-1", "max_regex_length": 10_000}
        settings: dict[str, Any] = {"index": index}
        self._aged = features.lifecycle and self._keep_days > 0
        if self._aged:
            policy = {"phases": {"delete": {"min_age": f"{self._keep_days}d", "actions": {"delete": {}}}}}
            await call(self._client.ilm.put_lifecycle(name=self.prefix, policy=policy), doing=doing)
            settings["index"]["lifecycle"] = {"name": self.prefix}
        index_template = {
            "name": self._name("events"),
            "index_patterns": [f"{self.prefix}-{kind}-*-{TAG}-*" for kind in ("texts", "transactions")],
            "composed_of": [self._name("mapping")],
            "priority": 500,
            "template": {"settings": settings, "aliases": {self.prefix: {}}},
            "allow_auto_create": False,  # an index that was deleted is made again with its aliases, or not at all
        }
        await call(self._client.indices.put_index_template(**index_template), doing=doing)

    async def check(self) -> None:
        """Raises ConfigError where an index that is searched has another mapping."""
        others = [name for name in await self.names() if tag_of(name) != TAG]
        if others:
            told = f"{len(others)} indices, such as {others[0]}, were built by another version"
            message = f"{told}; stop the workers and run `groundswell index upgrade`"
            raise ConfigError(message, field="elasticsearch")

    async def names(self) -> list[str]:
        """All indices that are searched."""
        return sorted(await self._aliases(self.prefix))

    async def to_write(self, place: Place) -> str:
        """The index that takes new events of a place; it is made where it is missing."""
        if place not in self._written:
            self._written[place] = await self._found(place) or await self._made(place)
        return self._written[place]

    def forget(self) -> None:
        """Look again where each place is written: an index was deleted, or rolled over."""
        self._written.clear()

    async def refresh(self, names: set[str]) -> None:
        """Makes what was written to these indices visible to searches."""
        if names:
            refreshed = self._client.indices.refresh(index=sorted(names), ignore_unavailable=True)
            await call(refreshed, doing="making documents visible")

    async def maintain(self, now: datetime) -> list[str]:
        """The indices that were deleted since they are older than is kept; indices that have become too large are rolled over."""
        old = [name for name in await self.names() if self._is_old(name, now)]
        for name in old:
            deleted = self._client.indices.delete(index=name, ignore_unavailable=True)
            await call(deleted, doing=f"deleting {name}, older than {self._keep_days} days")
        if old:
            _log.info("indices_deleted", names=old, keep_days=self._keep_days)
        for alias in {place.alias(self.prefix) for place in self._written}:
            conditions = {"max_primary_shard_size": _MAX_SHARD}
            await call(self._client.indices.rollover(alias=alias, conditions=conditions), doing=f"rolling {alias} over")
        self.forget()
        return old

    async def make(self, place: Place, name: str, aliases: Mapping[str, Any]) -> None:
        """Makes an index, which the template lets be searched; it may be there already, made by another worker."""
        end = month_end(place.month)
        # age counts from the events' time and not from when the index was made
        settings = {"index": {"lifecycle": {"origination_date": epoch_ms(end)}}} if self._aged and end is not None else {}
        with translated(f"making {name}"):
            try:
                await self._client.indices.create(index=name, aliases=aliases, settings=settings)
            except BadRequestError as error:
                if error.error != "resource_already_exists_exception":
                    raise

    async def hide(self, name: str) -> None:
        """Takes an index out of those that are searched."""
        hiding = self._client.options(ignore_status=404).indices.delete_alias(index=name, name=self.prefix)
        await call(hiding, doing=f"hiding {name} while it is built")

    async def replace(self, old: str, new: str) -> None:
        """Gives all aliases of `old` to `new` in one step, and deletes `old`."""
        doing = f"putting {new} in the place of {old}"
        found = await call(self._client.indices.get_alias(index=old), doing=doing)
        actions: list[dict[str, Any]] = [
            {"add": {"index": new, "alias": alias, **options}} for alias, options in found[old]["aliases"].items()
        ]
        actions.append({"remove_index": {"index": old}})
        await call(self._client.indices.update_aliases(actions=actions), doing=doing)

    async def _made(self, place: Place) -> str:
        name = f"{place.alias(self.prefix)}-{TAG}-000001"
        await self.make(place, name, {place.alias(self.prefix): {"is_write_index": True}})
        return name

    async def _found(self, place: Place) -> str | None:
        alias = place.alias(self.prefix)
        found = await self._aliases(alias)
        return next((name for name, its in found.items() if its[alias].get("is_write_index", len(found) == 1)), None)

    async def _aliases(self, alias: str) -> dict[str, dict[str, Any]]:
        """The aliases of every index that has this one."""
        answer = await call(
            self._client.options(ignore_status=404).indices.get_alias(name=alias), doing="listing Elasticsearch's indices"
        )
        return {name: one["aliases"] for name, one in answer.body.items() if isinstance(one, dict) and "aliases" in one}

    def _is_old(self, name: str, now: datetime) -> bool:
        end = month_end(month_of(name))
        return self._keep_days > 0 and end is not None and (now - end).days >= self._keep_days

    def _name(self, part: str) -> str:
        return f"{self.prefix}-{part}"


def tag_of(name: str) -> str:
    """The mapping's digest in the name of an index.

    >>> tag_of("groundswell-texts-2026.11-3f2a9c-000001")
    '3f2a9c'
    """
    return name.rsplit("-", 2)[-2]


def month_of(name: str) -> str:
    """The month in the name of an index.

    >>> month_of("groundswell-texts-2026.11-3f2a9c-000001")
    '2026.11'
    """
    return name.rsplit("-", 3)[-3]
