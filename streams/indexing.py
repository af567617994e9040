"""Scored events → the index. Nothing is acked before the index has confirmed it; a document that it refuses is a dead letter."""

from collections.abc import Sequence
from dataclasses import dataclass

from core import metrics
from core.errors import InvalidRecord
from search.documents import document
from search.index import Index
from streams.alerting import decode_scored
from streams.messages import Received, Worked
from streams.watermarks import marks_of


@dataclass(frozen=True, slots=True)
class IndexEvents:
    """Writes a batch to the index in one go."""

    index: Index

    async def __call__(self, batch: Sequence[Received]) -> Worked:
        worked = Worked()
        documents: dict[str, dict[str, object]] = {}
        sources: dict[str, Received] = {}
        for message in batch:
            try:
                if marks_of(message) is not None:
                    worked.absorbed.append(message)
                    continue
                scored = decode_scored(message)
            except InvalidRecord as error:
                worked.dead.append((message, str(error)))
                continue
            documents[scored.id] = document(scored)
            sources[scored.id] = message
        if documents:
            rejected = await self.index.write(list(documents.values()))
            worked.dead += [(sources[refusal.id], refusal.reason) for refusal in rejected]
            metrics.RECORDS_INDEXED.inc(len(documents) - len(rejected))
        return worked
