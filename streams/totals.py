"""The pipeline's totals, from the ledger: what the page, the progress display and the summary of a run show."""

from collections.abc import Iterable
from dataclasses import dataclass

from streams.ledger import Entry

_TEXTS = "score_texts"
_HISTORIES = ("meet_customer", "score_transactions")
_RAW = "transactions.raw"


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of records since the ledger's epoch began. Once all is worked off, `read = scored + dead`; labels are apart."""

    read: int
    scored: int
    dead: int
    indexed: int
    refused: int
    matches: int
    labels: int
    texts: int
    transactions: int


def totals(entries: Iterable[Entry]) -> Totals:
    """The totals that the ledger's rows add up to.

    >>> totals([Entry("score_texts", "news.raw", 0, 9, 8, 0, 2)]).dead
    2
    """
    rows = list(entries)

    def add(stage: str, field: str, topic: str = "") -> int:
        return sum(getattr(row, field) for row in rows if row.stage == stage and row.topic.startswith(topic))

    texts, transactions = add(_TEXTS, "read"), add("admit", "read", _RAW)
    return Totals(
        read=texts + transactions,
        scored=add(_TEXTS, "passed") + add("score_transactions", "passed"),
        dead=add(_TEXTS, "dead") + add("admit", "dead", _RAW) + sum(add(stage, "dead") for stage in _HISTORIES),
        indexed=add("index", "passed"),
        refused=add("index", "dead"),
        matches=add("evaluate", "passed"),
        labels=add("admit", "read", "labels.raw"),
        texts=texts,
        transactions=transactions,
    )
