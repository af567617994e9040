"""Whether the index holds every event that was scored, each once: the ids in the scored topics, looked up."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

import msgspec

from search.index import Index, SearchRequest
from search.nodes import FieldPhrase, Or
from streams.conservation import Line
from streams.messages import Received

_AT_ONCE = 200  # ids in one search, which gives the documents whole
_NAMED = 5


class _Scored(msgspec.Struct):
    """What is needed of a scored event."""

    id: str
    time: datetime


_decoder = msgspec.json.Decoder(_Scored)
Origin = tuple[str, int, int]  # topic, partition, offset


@dataclass(slots=True)
class Lookup:
    """What became of the ids: how many `events` had them, which are `missing` or there `twice`, and which need not be there.

    `refused` are those that the index stage made dead letters, `old` those that the index deletes by age.
    """

    events: int = 0
    ids: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    old: int = 0
    missing: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)

    def line(self, documents: int, note: str = "") -> Line:
        """The check; `documents` are all that the index holds, others than these events among them."""
        missing = [each for each in self.missing if each not in self.refused]
        figures = {
            "events": self.events,
            "ids": len(self.ids),
            "refused": len(self.refused),
            "old": self.old,
            "missing": len(missing),
            "twice": len(self.twice),
            "documents": documents,
        }
        faults = [
            f"{len(ids)} {what}: {', '.join(ids[:_NAMED])}" for what, ids in (("missing", missing), ("twice", self.twice)) if ids
        ]
        remedy = "; `groundswell index rebuild` indexes the scored topics again" if faults else note
        return Line("index", "events in the index", figures, not faults, "; ".join(faults) + remedy)


async def look_up(
    index: Index, messages: Iterable[Received], refused: Collection[Origin], *, not_before: datetime | None = None
) -> Lookup:
    """The events of scored messages held against the index; 100 bytes of memory for each id."""
    found = Lookup()
    source = iter(messages)
    while batch := list(islice(source, _AT_ONCE)):
        await _check(index, found, _wanted(found, batch, refused, not_before))
    return found


def _wanted(found: Lookup, batch: Sequence[Received], refused: Collection[Origin], not_before: datetime | None) -> list[str]:
    """The batch's ids that must be in the index and were not looked for yet."""
    ids: dict[str, None] = {}
    for message in batch:
        is_refused = (message.topic, message.partition, message.offset) in refused
        try:
            scored = _decoder.decode(message.value) if message.value else None
        except msgspec.DecodeError:  # no event: the stage has made a dead letter of it
            scored = None
        if scored is None:
            continue
        found.events += 1
        if is_refused:
            found.refused.add(scored.id)
        elif scored.id not in found.ids:
            found.ids.add(scored.id)
            if not_before is not None and scored.time < not_before:
                found.old += 1
            else:
                ids[scored.id] = None
    return list(ids)


async def _check(index: Index, found: Lookup, ids: Sequence[str]) -> None:
    """Note which of the ids are missing or there twice."""
    seen = await _seen(index, ids)
    if seen and max(seen.values()) > 1:  # for a moment so, where an event is just being written again
        seen = await _seen(index, ids)
    found.missing += [each for each in ids if not seen[each]]
    found.twice += [each for each in ids if seen[each] > 1]


async def _seen(index: Index, ids: Sequence[str]) -> Counter[str]:
    """How many documents the index has of each id."""
    if not ids:
        return Counter()
    node = Or(tuple(FieldPhrase("id", each) for each in ids))
    page = await index.search(SearchRequest(node, size=2 * _AT_ONCE))
    return Counter(hit["id"] for hit in page.hits)
