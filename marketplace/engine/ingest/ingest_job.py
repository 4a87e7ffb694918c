"""What goes into reading a publisher's file, and what comes out: plain frozen values."""

from enum import StrEnum

import msgspec

from catalogue.table_schema import TableSchema
from marketplace.engine.written_file import WrittenFile


class DateOrder(StrEnum):
    """In which order a date such as 03/09/2014 is written."""

    DAY_FIRST = "dmy"
    MONTH_FIRST = "mdy"


class IngestOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a publisher says about a file where its own words are not clear enough.

    All are optional; what is left out is found from the file or refused with a sentence. Lines
    (rows of a sheet) count from 1. `header_line` holds the column headings and what is above it
    is skipped; `last_line` is the last that belongs to the table. `text_columns` are headings or
    column names to keep as text; one that names no column is refused. `sort` are those to sort the
    rows by, in that order; without any they are sorted as the contract says, or not at all.
    """

    encoding: str | None = None
    delimiter: str | None = None
    header_line: int | None = None
    last_line: int | None = None
    sheet: str | None = None
    date_order: DateOrder | None = None
    text_columns: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a stage of the work is; `rows` is 0 until it is known."""

    stage: str
    done_bytes: int
    total_bytes: int
    rows: int = 0


class Ingested(msgspec.Struct, frozen=True, kw_only=True):
    """A publisher's file as a typed table. `notes` say in sentences what was decided on the way."""

    schema: TableSchema
    files: tuple[WrittenFile, ...]
    notes: tuple[str, ...]
    rows: int


class IngestRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a confined process is asked to read. Paths are texts, as they cross a pipe."""

    file: str
    name: str
    into: str
    contract: TableSchema | None
    options: IngestOptions
