"""A delivery's bytes as record batches of a size that every client's gRPC takes."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pyarrow as pa
from pyarrow import ipc

from marketplace.errors import QueryTooLarge, WorkerLost
from marketplace.flight.columns import described, without_dictionaries

# Common clients refuse messages over 16 MiB. One row cannot be cut, so it may have nearly that.
_MOST_BYTES = 8 * 1024**2
_MOST_BYTES_OF_A_ROW = 15 * 1024**2


class Batches:
    """The record batches of an Arrow IPC stream that comes in chunks of any size.

    `schema` is read when it is made. The chunks come from a worker, which is not trusted: what it
    sends is checked before it is sent on. Raises what the chunks raise, QueryTooLarge, WorkerLost.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._source = _Source(iter(chunks))
        with _reading():
            self._reader = ipc.open_stream(self._source)
        self._plain = without_dictionaries(self._reader.schema)
        self.schema = described(self._plain)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while (batch := self._next()) is not None:
            yield from parts(batch)
        self._source.finish()

    def table(self) -> pa.Table:
        """All of them together."""
        return pa.Table.from_batches(list(self), self.schema)

    def _next(self) -> pa.RecordBatch | None:
        with _reading():
            try:
                batch = self._reader.read_next_batch()
            except StopIteration:
                return None
            batch.validate()
            return batch if batch.schema == self._plain else batch.cast(self._plain)


def parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch until each part is small enough. Raises QueryTooLarge for a row that is not."""
    if batch.nbytes <= _MOST_BYTES:
        yield batch
    elif batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from parts(batch.slice(0, half))
        yield from parts(batch.slice(half))
    elif batch.nbytes <= _MOST_BYTES_OF_A_ROW:
        yield batch
    else:
        raise QueryTooLarge(
            f"One row of the result has more than {_MOST_BYTES_OF_A_ROW // 1024**2} MiB, which "
            "clients of Arrow Flight do not take.",
            next_step="Ask for fewer or shorter columns, or send the statement over HTTP.",
        )


class _Source:
    """Chunks as a file that Arrow reads."""

    closed = False

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._ahead = memoryview(b"")

    def read(self, size: int) -> memoryview | bytes:
        """The next bytes, fewer than `size` only at the end; copied only where chunks meet."""
        if size <= len(self._ahead):
            return self._take(size)
        pieces = [self._ahead]
        missing = size - len(self._ahead)
        self._ahead = memoryview(b"")
        for chunk in self._chunks:
            self._ahead = memoryview(chunk)
            pieces.append(self._take(missing))
            missing -= len(pieces[-1])
            if not missing:
                break
        return b"".join(pieces)

    def finish(self) -> None:
        """Hear that the delivery was whole: it says so after its last byte."""
        if self._ahead or any(self._chunks):
            raise WorkerLost("The result has bytes after its end.")

    def _take(self, size: int) -> memoryview:
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise WorkerLost("The result cannot be read as Arrow.") from error
