"""Whole tables as Parquet files: a transfer that is cut goes on where it was cut.

Nothing is asked for twice where the file is still the same, which its entity tag says, and nothing
is kept that is not what the service listed, which the SHA-256 says.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TypeVar

import pyarrow.parquet

from marketplace.client.errors import (
    ClientError,
    MarketplaceProblem,
    ServiceUnreachable,
    StreamCut,
)
from marketplace.client.files import Report, appearing_when_whole
from marketplace.client.transport import Body, Transport
from marketplace.wire import TableFile, TableFiles

# Seconds between one attempt that brought nothing and the next; with the last, patience ends.
_WAITS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_PIECE = 1024 * 1024
# How often a table may change under its release number (an agreement is revised) in one pull.
_MOST_STARTS = 3

Answer = TypeVar("Answer")


def pull_table(transport: Transport, address: str, path: Path, progress: Report | None) -> None:
    """Write the table that is listed at `address` to one Parquet file.

    The file appears (or is replaced) only when all of it has come, and is readable by its owner only.
    Raises MarketplaceProblem; ServiceUnreachable and StreamCut once no attempt brings more.
    """
    for _ in range(_MOST_STARTS):
        listed = _patiently(lambda: transport.call("GET", address, TableFiles))
        try:
            with appearing_when_whole(path) as file:
                _write(transport, listed.files, file, path.parent, progress)
            return
        except _FileChanged:
            continue
    raise StreamCut(
        "The table changed again and again while it was sent; nothing was kept.",
        next_step="Pull it again.",
    )


def _write(
    transport: Transport,
    files: Sequence[TableFile],
    into: IO[bytes],
    folder: Path,
    progress: Report | None,
) -> None:
    total = sum(file.bytes for file in files)
    told = _Told(progress, total)
    if len(files) == 1:
        _Transfer(transport, files[0], into, told).run()
        return
    with TemporaryDirectory(dir=folder, prefix=".pull-") as name:
        parts = []
        for number, file in enumerate(files):
            parts.append(Path(name) / f"{number}.parquet")
            with parts[-1].open("wb") as part:
                _Transfer(transport, file, part, told).run()
        _join(parts, into)


def _join(parts: Sequence[Path], into: IO[bytes]) -> None:
    """Write several files of one table as one, row group by row group."""
    schema = pyarrow.parquet.read_schema(parts[0])
    with pyarrow.parquet.ParquetWriter(into, schema, compression="zstd") as writer:
        for part in parts:
            with pyarrow.parquet.ParquetFile(part) as read:
                for group in range(read.num_row_groups):
                    rows = read.read_row_group(group)
                    writer.write_table(rows, row_group_size=rows.num_rows)


class _Told:
    """How many bytes have come, of all files together."""

    def __init__(self, report: Report | None, total: int) -> None:
        self._report = report
        self._total = total
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        if self._report is not None:
            self._report(self._done, self._total)


class _Transfer:
    """One file on its way, whatever number of calls it takes."""

    def __init__(self, transport: Transport, file: TableFile, into: IO[bytes], told: _Told) -> None:
        self._transport = transport
        self._file = file
        self._into = into
        self._told = told
        self._come = 0
        self._digest = hashlib.sha256()

    def run(self) -> None:
        """Go on until all of it has come. Raises _FileChanged where it is another file by then."""
        patience = _Patience()
        while self._come < self._file.bytes:
            before = self._come
            try:
                self._go_on()
            except ClientError as error:
                if self._come > before:
                    patience = _Patience()
                patience.wait(error)
        if self._digest.hexdigest() != self._file.sha256:
            raise StreamCut(
                "The file that came is not the one that the service listed; nothing was kept.",
                next_step="Pull it again; if it stays so, something on the way alters files.",
            )

    def _go_on(self) -> None:
        tag = f'"{self._file.sha256}"'
        wanted = {"Range": f"bytes={self._come}-", "If-Range": tag} if self._come else {}
        accept = "application/vnd.apache.parquet"
        with self._transport.open("GET", self._file.path, accept=accept, headers=wanted) as body:
            if body.headers.get("ETag") != tag:
                raise _FileChanged("The file is another one by now.")
            if body.status != 206:
                self._begin_again()
            self._take(body)

    def _begin_again(self) -> None:
        """Something on the way does not know ranges: what comes is the file from its beginning."""
        self._told.add(-self._come)
        self._come = 0
        self._digest = hashlib.sha256()
        self._into.seek(0)
        self._into.truncate()

    def _take(self, body: Body) -> None:
        while piece := body.read_some(_PIECE):
            self._into.write(piece)
            self._digest.update(piece)
            self._come += len(piece)
            self._told.add(len(piece))
        if self._come < self._file.bytes:
            raise StreamCut("The answer ended before the file did.")


class _FileChanged(Exception):
    """The address gives another file than was listed."""


class _Patience:
    """Waits between attempts that bring nothing, and gives up after the last."""

    def __init__(self) -> None:
        self._waits = iter(_WAITS)

    def wait(self, error: ClientError) -> None:
        """Wait before the next attempt. Raises `error` where there should be none."""
        if not _passing(error):
            raise error
        seconds = next(self._waits, None)
        if seconds is None:
            raise error
        time.sleep(max(seconds, error.retry_after))


def _passing(error: ClientError) -> bool:
    """Whether the same call may succeed in a moment."""
    busy = isinstance(error, MarketplaceProblem) and error.status == 503
    return busy or isinstance(error, ServiceUnreachable | StreamCut)


def _patiently(call: Callable[[], Answer]) -> Answer:
    patience = _Patience()
    while True:
        try:
            return call()
        except ClientError as error:
            patience.wait(error)
