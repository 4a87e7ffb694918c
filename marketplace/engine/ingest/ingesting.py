"""Inside an ingest process: read one publisher's file."""

# Decoders that Python would otherwise load when a file needs them: by then no library can be read.
import encodings.cp1252
import encodings.iso8859_1
import encodings.iso8859_15
import encodings.latin_1
import encodings.utf_8_sig
import encodings.utf_16
import encodings.utf_16_be
import encodings.utf_16_le  # noqa: F401 -- with the ones above
from pathlib import Path

import duckdb
import msgspec

from marketplace.engine.frames import Output
from marketplace.engine.ingest.ingest_job import Ingested, IngestRequest
from marketplace.engine.ingest.read_table import read_table
from marketplace.engine.limits import Limits
from marketplace.errors import QueryTooLarge


class IngestWorker:
    """Reads one file."""

    def __init__(self, limits: Limits, scratch: Path) -> None:
        self._limits = limits
        self._scratch = scratch

    def perform(self, request: bytes, output: Output) -> Ingested:
        """Read it, and tell how far it is on the way."""
        job = msgspec.msgpack.decode(request, type=IngestRequest)
        try:
            return read_table(
                Path(job.file),
                name=job.name,
                into=Path(job.into),
                contract=job.contract,
                options=job.options,
                limits=self._limits,
                progress=output.note,
                scratch=self._scratch,
            )
        except (duckdb.OutOfMemoryException, MemoryError):
            raise QueryTooLarge("Reading the file needed more memory than it may have.") from None

    def fit(self) -> bool:
        """One file a process."""
        return False


def open_worker(limits: Limits, scratch: Path) -> IngestWorker:
    """A worker that waits for its request."""
    return IngestWorker(limits, scratch)
