"""The one writer of an embedded index."""

import hashlib
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import tantivy

from core.errors import ConfigError, Retryable
from search.documents import Document, fault, present
from search.index import Rejected
from search.mapping import digest
from search.tantivy_schema import Row, row, schema

META = "meta.json"
_DIGEST = "mapping.sha256"
_HEAP_BYTES = 64_000_000  # tantivy's least is 15 MB; a batch of 8,000 documents of 1 kB stays below, so a batch is one segment
_THREADS = 1  # the cores are shared with model inference


class TantivyWriter:
    """Holds the folder's write lock from its making until `close`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closed = False
        self._turn = threading.Lock()
        self._index = _made(folder)
        self._writer: tantivy.IndexWriter | None = self._locked()

    def write(self, documents: Sequence[Document]) -> list[Rejected]:
        """Those that can never be indexed; the others are committed. Raises Retryable where none was."""
        latest: dict[str, Row] = {}
        rejected: list[Rejected] = []
        for document in documents:
            held = present(document)
            reason = fault(document, held)
            if reason is None:
                latest[document["id"]] = row(document, held)
            else:
                rejected.append(Rejected(str(document.get("id", "")), reason))
        with self._turn:
            if latest:
                self._commit(latest)
        return rejected

    def close(self) -> None:
        """Ends running merges and gives the lock back."""
        with self._turn:
            writer, self._writer, self._closed = self._writer, None, True
            try:
                if writer is not None:
                    writer.wait_merging_threads()
            except (ValueError, OSError) as error:  # what was committed stays
                raise Retryable(f"closing the index in {self._folder} failed; check the disk: {error}") from error

    def _commit(self, latest: dict[str, Row]) -> None:
        if self._closed:
            raise ConfigError("this index was closed; open it again", file=str(self._folder))
        if self._writer is None:
            self._writer = self._locked()
        try:
            # named by no local variable: the traceback of a failure would keep the writer, and with it the lock, alive
            for id, fields in latest.items():  # noqa: A001 - the field's name
                self._writer.delete_documents_by_term("id", id)
                self._writer.add_document(tantivy.Document.from_dict(fields, schema()))
            self._writer.commit()
        except (ValueError, OSError) as error:
            self._writer = (
                None  # drops what was not committed; a writer whose disk failed takes no more, the next write makes one
            )
            raise Retryable(f"writing the index in {self._folder} failed; free disk space or check the disk: {error}") from error

    def _locked(self) -> tantivy.IndexWriter:
        try:
            return self._index.writer(_HEAP_BYTES, _THREADS)
        except ValueError as error:
            if "LockBusy" not in str(error):
                raise Retryable(f"the index in {self._folder} cannot be written: {error}") from error
            message = "another process writes this index; stop it, or give this one a folder of its own"
            raise ConfigError(message, file=str(self._folder)) from error


def check_mapping(folder: Path) -> None:
    """Raises ConfigError where the folder's index was built under another mapping."""
    if not (folder / META).exists():
        return
    kept = folder / _DIGEST
    if not kept.exists() or kept.read_text().strip() != layout_digest():
        message = "built by another version: delete the folder, and `groundswell index rebuild` indexes the scored topics again"
        raise ConfigError(message, file=str(folder))


def layout_digest() -> str:
    """A hash of the mapping and of the library that wrote the files."""
    return hashlib.sha256(f"{digest()} tantivy {version('tantivy')}".encode()).hexdigest()


def _made(folder: Path) -> tantivy.Index:
    """The folder's index, made where there is none; the digest comes first, so that no index is ever without."""
    check_mapping(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / META).exists():
            (folder / _DIGEST).write_text(layout_digest())
        return tantivy.Index(schema(), path=str(folder))
    except OSError as error:
        raise ConfigError(f"the index cannot be made: {error.strerror or error}", file=str(folder)) from error
    except ValueError as error:
        raise ConfigError(f"the index cannot be opened; delete the folder and index again: {error}", file=str(folder)) from error
