"""A file that somebody sends: its bytes go to a private file as they come, up to a limit."""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from uuid import uuid4

from connectors.disk import disk_errors
from connectors.errors import SourceInterrupted, SourceTooLarge
from connectors.source import Fetched

_REFUSED = "The uploaded file cannot be kept"


class Spool:
    """Takes chunks as they arrive, from a plain or an asynchronous loop alike.

    Use as a context manager: unless `finish` was reached, nothing is left. Memory stays at one
    chunk. `declared` is the length that the sender announced, in bytes, where it did.
    """

    def __init__(self, folder: Path, *, name: str, limit: int, declared: int | None = None) -> None:
        self._path = folder / f"upload-{uuid4().hex}"
        self._name = name
        self._limit = limit
        self._declared = declared
        self._digest = hashlib.sha256()
        self._received = 0
        self._whole = False

    def __enter__(self) -> "Spool":
        """Create the file, for this user only. Raises SourceTooLarge for an announced excess."""
        self._check(self._declared or 0)
        with disk_errors(_REFUSED):
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._stream = os.fdopen(handle, "wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the file unless it is whole."""
        if not self._whole:
            self._path.unlink(missing_ok=True)
            # What is still buffered is of no interest any more, nor that the disk refuses it.
            with contextlib.suppress(OSError):
                self._stream.close()

    def write(self, *chunks: bytes) -> None:
        """Take the next bytes. Raises SourceTooLarge, and StoreUnavailable where the disk is full."""
        for chunk in chunks:
            self._received += len(chunk)
            self._check(self._received)
            self._digest.update(chunk)
            with disk_errors(_REFUSED):
                self._stream.write(chunk)

    def finish(self) -> Fetched:
        """The whole file. Raises SourceInterrupted where another length was announced."""
        if self._declared is not None and self._received != self._declared:
            raise SourceInterrupted(
                f"The file did not arrive whole: {self._received} of {self._declared} bytes came.",
                next_step="Send it again.",
            )
        with disk_errors(_REFUSED):
            self._stream.close()
        self._whole = True
        return Fetched(
            path=self._path,
            name=self._name,
            bytes=self._received,
            sha256=self._digest.hexdigest(),
        )

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise SourceTooLarge(
                f"The file is larger than the {self._limit} bytes that the service accepts.",
                next_step="Send it as Parquet, or in parts.",
            )


class Upload:
    """A `Source` over chunks that come from a request or a file."""

    def __init__(
        self, chunks: Iterable[bytes], *, name: str, limit: int, declared: int | None = None
    ) -> None:
        self._chunks = chunks
        self._name = name
        self._limit = limit
        self._declared = declared

    def fetch(self, into: Path) -> Fetched:
        """Spool the chunks. A sender that breaks off (OSError, EOFError) is SourceInterrupted."""
        with Spool(into, name=self._name, limit=self._limit, declared=self._declared) as spool:
            for chunk in _arriving(self._chunks):
                spool.write(chunk)
            return spool.finish()


def _arriving(chunks: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from chunks
    except (OSError, EOFError) as error:
        raise SourceInterrupted(
            "The sender stopped before the file was whole.", next_step="Send it again."
        ) from error
