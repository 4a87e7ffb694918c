"""Inside an extract worker: write the rows and columns of one scope, and nothing that tells more."""

from pathlib import Path

import msgspec

from marketplace.engine.engine_errors import ENGINE_ERRORS, told
from marketplace.engine.extract.build import Extracted, ExtractRequest, RowsAmong
from marketplace.engine.frames import Output
from marketplace.engine.instance import identifier, literal, open_instance, scan
from marketplace.engine.limits import Limits
from marketplace.engine.written_file import WrittenFile, digest

_ROWS_OF_A_GROUP = 122_880


class ExtractWorker:
    """Writes one extract."""

    def __init__(self, limits: Limits, scratch: Path) -> None:
        self._instance = open_instance(limits, scratch)
        self._scratch = scratch

    def perform(self, request: bytes, _output: Output) -> Extracted:
        """Write it and describe it."""
        message = msgspec.msgpack.decode(request, type=ExtractRequest)
        path = Path(message.into) / "extract.parquet"
        hidden = dict.fromkeys(message.files, "the table") | {message.into: "the extract's folder"}
        try:
            copied = self._instance.execute(statement(message, path)).fetchone()
        except ENGINE_ERRORS as error:
            raise told(error, hidden) from None
        written = WrittenFile(
            path=path,
            sha256=digest(path),
            bytes=path.stat().st_size,
            rows=int(copied[0]) if copied else 0,
        )
        return Extracted(files=(written,))

    def fit(self) -> bool:
        """One extract a process."""
        return False


def open_worker(limits: Limits, scratch: Path) -> ExtractWorker:
    """A worker that waits for its request."""
    return ExtractWorker(limits, scratch)


def statement(message: ExtractRequest, path: Path) -> str:
    """The COPY that writes the extract.

    The order is by all visible columns: the order of the file that it comes from would tell of
    values that are not in it.
    """
    columns = ", ".join(map(identifier, message.columns))
    select = f"SELECT {columns} FROM {scan(message.files)}"
    if isinstance(message.rows, RowsAmong):
        values = ", ".join(map(literal, sorted(message.rows.values))) or "NULL"
        select += f" WHERE CAST({identifier(message.rows.column)} AS VARCHAR) IN ({values})"
    return (
        f"COPY ({select} ORDER BY ALL) TO {literal(str(path))} "
        f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROWS_OF_A_GROUP})"
    )
