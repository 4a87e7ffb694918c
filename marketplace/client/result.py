"""The result of a query: a stream of Arrow batches that is read once, whole or not at all."""

from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc

from marketplace.client.errors import LibraryMissing, ResultConsumed, StreamCut
from marketplace.client.transport import Body

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_AUDIT_ENTRY = "Marketplace-Audit-Entry"


class Result:
    """Rows on their way. Read it once, by one of `to_arrow`, `to_polars`, `to_pandas`, `batches`.

    `entry` names the record of this read in the audit log; `Client.receipt(entry)` proves it.
    `releases` says which release of each dataset was read. `access_ends` is the first moment (UTC) at
    which time alone may end your access to them. Closing it stops the query.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._read = False
        self.entry = entry_of(body)
        self.releases = releases_of(body)
        self.access_ends = access_ends_of(body)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows batch by batch, in bounded memory.

        Raises StreamCut where the result broke off: then batches already given are only a part.
        """
        return self._stream(self._begin())

    def to_arrow(self) -> pa.Table:
        """All rows as one Arrow table. Raises StreamCut and gives nothing of a broken result."""
        reader = self._begin()
        return pa.Table.from_batches(list(self._stream(reader)), schema=reader.schema)

    def to_polars(self) -> "pl.DataFrame":
        """All rows as a Polars data frame. Raises LibraryMissing without Polars, StreamCut."""
        frame: pl.DataFrame = _library("polars").from_arrow(self.to_arrow())
        return frame

    def to_pandas(self) -> "pd.DataFrame":
        """All rows as a pandas data frame. Raises LibraryMissing without pandas, StreamCut."""
        _library("pandas")
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def close(self) -> None:
        """Stop the query where it still runs, and let the connection go."""
        self._read = True
        self._body.close()

    def __enter__(self) -> "Result":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _begin(self) -> pa.RecordBatchStreamReader:
        if self._read:
            raise ResultConsumed(
                "This result was read before, or closed.",
                next_step="Send the query again, or keep the table that to_arrow() gave.",
            )
        self._read = True
        try:
            return open_arrow(self._body)
        except BaseException:
            self._body.close()
            raise

    def _stream(self, reader: pa.RecordBatchStreamReader) -> Iterator[pa.RecordBatch]:
        with self._body:
            yield from whole_batches(reader, self._body)


def open_arrow(body: Body) -> pa.RecordBatchStreamReader:
    """Begin to read an Arrow stream. Raises StreamCut where it has no whole beginning."""
    try:
        return pyarrow.ipc.open_stream(body)
    except pa.ArrowInvalid:
        raise _not_whole() from None


def whole_batches(reader: pa.RecordBatchStreamReader, body: Body) -> Iterator[pa.RecordBatch]:
    """Every batch; raises StreamCut at the end unless the service said that it was the end."""
    try:
        yield from reader
    except pa.ArrowInvalid:
        raise _not_whole() from None
    # Arrow's own end mark is not the service's word that the result is whole.
    body.finish()


def _not_whole() -> StreamCut:
    return StreamCut("The result is not a whole Arrow stream.", next_step="Send the query again.")


def entry_of(body: Body) -> str:
    """The entry of the audit log that records the read."""
    return body.headers.get(_AUDIT_ENTRY, "")


def releases_of(body: Body) -> dict[str, int]:
    """Which release of each dataset was read."""
    header = body.headers.get("Marketplace-Releases", "")
    pairs = (part.strip().rpartition("=") for part in header.split(",") if "=" in part)
    return {name: int(number) for name, _, number in pairs}


def access_ends_of(body: Body) -> datetime | None:
    """When access to what was read ends by time; None where the service does not say so."""
    header = body.headers.get("Marketplace-Access-Ends", "")
    return datetime.fromisoformat(header) if header else None


def _library(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError:
        raise LibraryMissing(
            f"The library {name} is not installed.",
            next_step=f"Install it (pip install {name}), or use to_arrow().",
        ) from None
