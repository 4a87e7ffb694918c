"""Read a publisher's file into Parquet of our own. Runs in a confined process: the file is hostile."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from catalogue.table_schema import TableSchema
from marketplace.engine.ingest.csv_rows import CsvRows, choose_delimiter
from marketplace.engine.ingest.excel import read_sheet
from marketplace.engine.ingest.ingest_job import Ingested, IngestOptions, Progress
from marketplace.engine.ingest.layout import Layout
from marketplace.engine.ingest.parquet_file import read_parquet_file
from marketplace.engine.ingest.table_rows import find_headings
from marketplace.engine.ingest.text_file import prepare_text
from marketplace.engine.ingest.text_table import TextTable, TextTableReading
from marketplace.engine.instance import open_instance
from marketplace.engine.limits import Limits
from marketplace.errors import FileUnreadable

_PARQUET = b"PAR1"
_ZIP = b"PK\x03\x04"
_COMPOUND = b"\xd0\xcf\x11\xe0"
# First bytes of what is sent by mistake, and what it is.
_OTHER_FORMATS = {
    b"%PDF": "a PDF document",
    b"<": "HTML or XML",
    b"{": "JSON",
    b"PK\x05\x06": "an empty zip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "a SQLite database",
}


def read_table(
    file: Path,
    *,
    name: str,
    into: Path,
    contract: TableSchema | None,
    options: IngestOptions,
    limits: Limits,
    progress: Callable[[Progress], None],
    scratch: Path | None = None,
) -> Ingested:
    """Read `file`, called `name` by its publisher, and write its table into the folder `into`.

    What it is (CSV, gzip of CSV, Excel, OpenDocument, Parquet) is told by its first bytes, not by
    its name. Writes beneath `into` and `scratch` (default: `into`) only. Raises FileUnreadable where
    it is no table for certain, and ContractBroken where it does not keep the contract.
    """
    scratch = (scratch or into) / "reading"
    scratch.mkdir()
    with file.open("rb") as stream:
        begin = stream.read(64)
    if not begin:
        raise FileUnreadable(f"{name[:100]!r} is empty.", next_step="Send the file again.")
    # DuckDB holds more than it counts: a third is left for that.
    share = msgspec.structs.replace(limits, memory=limits.memory * 2 // 3)
    connection = open_instance(share, scratch)
    try:
        # What it has read of a file it would keep, and that is not worth the memory here (decision 0025).
        connection.execute("SET enable_external_file_cache = false")
        if begin.startswith(_PARQUET):
            ingested = read_parquet_file(
                connection,
                file,
                into=into,
                contract=contract,
                text_columns=options.text_columns,
                report=progress,
            )
        else:
            if begin.startswith((_ZIP, _COMPOUND)):
                table = read_sheet(file, options, limits)
            else:
                _refuse_other_formats(begin, name)
                table = _read_csv(file, options, limits, scratch, progress)
            ingested = TextTableReading(
                connection,
                table,
                into=into,
                scratch=scratch,
                contract=contract,
                options=options,
                report=progress,
            ).run()
        sort = options.sort or (contract.sort if contract else ())
        return Layout(connection, progress).of(ingested, sort)
    finally:
        connection.close()


def _read_csv(
    file: Path,
    options: IngestOptions,
    limits: Limits,
    scratch: Path,
    progress: Callable[[Progress], None],
) -> TextTable:
    text = prepare_text(
        file,
        encoding=options.encoding,
        scratch=scratch,
        limit=limits.scratch // 2,
        progress=progress,
    )
    delimiter, reason = choose_delimiter(text.path, options.delimiter)
    rows = CsvRows(text.path, delimiter)
    headings = find_headings(rows, options)
    notes = (*text.notes, *([reason] if reason else []), *headings.notes)
    return TextTable(
        rows=rows,
        headings=headings,
        path=text.path,
        delimiter=delimiter,
        records=text.records if options.last_line is None else None,
        line_ends=text.quoted_line_ends,
        notes=notes,
    )


def _refuse_other_formats(begin: bytes, name: str) -> None:
    start = begin.removeprefix(b"\xef\xbb\xbf").lstrip()
    for mark, what in _OTHER_FORMATS.items():
        if start.startswith(mark):
            raise FileUnreadable(
                f"{name[:100]!r} is {what}, not a table.",
                next_step="Send CSV, Excel, OpenDocument or Parquet.",
            )
