"""`marketplace query`, `preview` and `pull`: SQL in, rows on the screen or in a file."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pyarrow as pa
import pyarrow.types as kinds
from cyclopts import Parameter, validators

from marketplace.cli.connection import SERVICE, Service
from marketplace.cli.screen import end_of, say, show_table, stdout, transfer
from marketplace.client import Client, InvalidCall, Result, StreamCut
from marketplace.client.files import check_target
from marketplace.client.result import entry_of, releases_of

_SHOWN = 40
_PIECE = 1024 * 1024

Format = Literal["arrow", "parquet", "csv", "json", "jsonl"]
_BINARY = ("arrow", "parquet")


def query(
    sql: str,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    output_format: Annotated[Format | None, Parameter(name="--format")] = None,
    rows: int = _SHOWN,
    receipt: Path | None = None,
    json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    service: Service = SERVICE,
) -> None:
    """Run one SELECT over the tables that you may read.

    Parameters
    ----------
    sql
        The statement, with tables as organisation.dataset or organisation.dataset.table.
    output
        Write the whole result to this file; its ending says the format, unless --format does.
    output_format
        How the result is written: to the file, or else to standard output as it comes.
    rows
        How many rows to show on the screen; the rest is not fetched.
    receipt
        Keep the proof that this read stands in the audit log in this file.
    json
        Write all rows as JSON, one array of objects.
    """
    if receipt is not None:
        check_target(receipt)
    with service.client() as client:
        if output is not None:
            with transfer(f"Writing {output.name}") as report:
                client.download(
                    sql, output, file_format=output_format, progress=report, receipt=receipt
                )
            say(f"{output} is written.")
            return
        if output_format is not None:
            entry = _write(client, sql, output_format)
            if receipt is not None:
                receipt.write_text(client.receipt(entry))
            return
        with client.query(sql) as result, _cut_is_explained(client, result.releases):
            if json:
                _write_json(result)
            else:
                _show(result, rows)
        if receipt is not None:
            receipt.write_text(client.receipt(result.entry))


def preview(
    address: str,
    /,
    *,
    rows: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100))] = 10,
    json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    service: Service = SERVICE,
) -> None:
    """Show the first rows of a table, as far as they are yours to see.

    Parameters
    ----------
    address
        organisation.dataset, or organisation.dataset.table where the dataset has several tables.
    rows
        How many rows, 100 at most.
    json
        Write JSON, one array of objects.
    """
    with service.client() as client, client.preview(address, rows=rows) as result:
        if json:
            _write_json(result)
        else:
            _show(result, rows)


def pull(
    address: str, file: Path, /, *, release: int | None = None, service: Service = SERVICE
) -> None:
    """Write a table, as far as it is yours to read, to a file: .parquet, .csv, .arrow, .json, .jsonl.

    A .parquet file is downloaded as it is stored, and a transfer that is cut goes on where it was cut.

    Parameters
    ----------
    address
        organisation.dataset, or organisation.dataset.table where the dataset has several tables.
    file
        It appears only when all of it has come.
    release
        The number of the release, for .parquet; the newest unless it is given.
    """
    with service.client() as client, transfer(f"Pulling {address}") as report:
        client.pull(address, file, release=release, progress=report)
    say(f"{file} is written.")


def _write(client: Client, sql: str, output_format: str) -> str:
    """Write a result to standard output as it comes; returns the entry that records the read."""
    if output_format in _BINARY and stdout.is_terminal:
        raise InvalidCall(
            f"A terminal cannot show {output_format}.",
            next_step="Name a file with --output, or send the output on to another program.",
        )
    with client.stream(sql, output_format) as body, _cut_is_explained(client, releases_of(body)):
        while piece := body.read_some(_PIECE):
            sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    return entry_of(body)


@contextmanager
def _cut_is_explained(client: Client, releases: Iterable[str]) -> Iterator[None]:
    """A cut stream cannot carry its reason; where access ended, the service knows it afterwards."""
    try:
        yield
    except StreamCut as cut:
        for dataset in releases:
            told = client.why(dataset)
            if not told.allowed:
                raise StreamCut(f"{cut.detail} {told.sentence}", next_step=told.ask) from None
        raise


def _show(result: Result, most: int) -> None:
    """The first rows as a table; what follows is left unread, and the service stops sending it."""
    kept: list[pa.RecordBatch] = []
    shown, more = 0, False
    for batch in result.batches():
        kept.append(batch.slice(0, most - shown))
        more = batch.num_rows > most - shown
        shown += kept[-1].num_rows
        if more:
            result.close()
            break
    if kept:
        _show_rows(pa.Table.from_batches(kept))
    releases = ", ".join(f"{name} release {number}" for name, number in result.releases.items())
    counted = f"{shown:,} {'row' if shown == 1 else 'rows'}"
    said = f"The first {counted}" if more else counted
    say(f"{said} from {releases or 'no dataset'}. Audit entry {result.entry}.")
    if result.access_ends is not None and result.releases:
        say(f"You may read this until {end_of(result.access_ends)}.")
    if more:
        say("There are more; --rows N shows so many, --output FILE writes all.")


def _show_rows(table: pa.Table) -> None:
    numbers = [field.name for field in table.schema if _is_number(field.type)]
    cells = [[_cell(value) for value in column.to_pylist()] for column in table.columns]
    show_table(table.column_names, zip(*cells, strict=True), numbers=numbers)


def _cell(value: object) -> object:
    """A moment in the data is shown as it stands there, not in the reader's time zone."""
    return value.isoformat(sep=" ") if isinstance(value, datetime) else value


def _write_json(result: Result) -> None:
    """One array with a row on each line, written as the rows come; cut short it is no JSON."""
    write, before = stdout.file.write, "[\n"
    for batch in result.batches():
        for row in batch.to_pylist():
            write(before + msgspec.json.encode(row).decode())
            before = ",\n"
    write("\n]\n" if before.startswith(",") else "[]\n")


def _is_number(kind: pa.DataType) -> bool:
    return bool(kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind))
