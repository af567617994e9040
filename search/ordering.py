"""The order of hits: by any date, number or single keyword, ties by id, missing values last."""

from collections.abc import Callable
from typing import Any

from core.errors import QueryError
from search.dates import text_ms
from search.documents import Document, keyword_reader, keywords
from search.index import MAX_HITS, SearchRequest
from search.mapping import Field, field_of, nearest_fields

Ordering = tuple[tuple[Field, bool], ...]
"""Fields to sort by and whether each falls; the last is `id`, so that no two documents tie."""


def checked_sort(request: SearchRequest) -> Ordering:
    """What the request sorts by, ended by `id`; raises QueryError where page or sort cannot be served.

    >>> [(field.name, falls) for field, falls in checked_sort(SearchRequest())]
    [('time', True), ('id', False)]
    """
    if request.size < 0 or request.offset < 0 or request.offset + request.size > MAX_HITS:
        message = f"hits {request.offset} to {request.offset + request.size}: ask for hits within the first {MAX_HITS}, or narrow the query"
        raise QueryError(message, query=f"offset {request.offset}", position=0)
    ordering = tuple((_sortable(name), direction == "desc") for name, direction in request.sort)
    names = [field.name for field, _ in ordering]
    return ordering if "id" in names else (*ordering, (_sortable("id"), False))


def in_order(documents: list[Document], ordering: Ordering) -> list[Document]:
    """The documents sorted.

    >>> hits = [{"id": "a"}, {"id": "b", "amount": 1}, {"id": "c", "amount": 2}]
    >>> [hit["id"] for hit in in_order(hits, checked_sort(SearchRequest(sort=(("amount", "desc"),))))]
    ['c', 'b', 'a']
    """
    for field, falls in reversed(ordering):
        read = sort_value(field, falls=falls)
        keyed = [(read(document), document) for document in documents]
        present = sorted((pair for pair in keyed if pair[0] is not None), key=lambda pair: pair[0], reverse=falls)
        documents = [document for _, document in present] + [document for value, document in keyed if value is None]
    return documents


def sort_value(field: Field, *, falls: bool) -> Callable[[Document], Any]:
    """A function that returns what a document is sorted by: of several values the greatest where the order falls, else the least."""
    read, pick = keyword_reader(field.name), max if falls else min

    def value(document: Document) -> Any:
        values = read(document)
        if field.type == "keyword":
            values = keywords(values)
        elif field.type == "date":
            values = [moment for text in values if (moment := text_ms(text)) is not None]
        return pick(values) if values else None

    return value


def _sortable(name: str) -> Field:
    field = field_of(name)
    if field is None or field.type == "text":
        near = ", ".join(nearest_fields(name)) or "time"
        why = "is a text field" if field else "is not known"
        raise QueryError(
            f"cannot sort by {name}, which {why}; sort by a date, number or keyword such as {near}", query=name, position=0
        )
    return field
