"""`marketplace query` and `pull`: SQL in, rows on the screen or in a file."""

from pathlib import Path
from typing import Annotated

import msgspec
import pyarrow as pa
import pyarrow.types as kinds
from cyclopts import Parameter

from marketplace.cli.connection import SERVICE, Service
from marketplace.cli.screen import say, show_table, stdout, transfer
from marketplace.client import Result

_SHOWN = 40


def query(
    sql: str,
    /,
    *,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    rows: int = _SHOWN,
    receipt: Path | None = None,
    json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    service: Service = SERVICE,
) -> None:
    """Run one SELECT over the tables that you may read.

    Parameters
    ----------
    output
        Write the whole result to this file; .parquet, .csv, .arrow or .json by its ending.
    rows
        How many rows to show on the screen.
    receipt
        Keep the proof that this read stands in the audit log in this file.
    json
        Write all rows as JSON, one array of objects.
    """
    with service.client() as client:
        if output is not None:
            with transfer(f"Writing {output.name}") as report:
                client.download(sql, output, progress=report)
            say(f"{output} is written.")
            return
        with client.query(sql) as result:
            if json:
                _write_json(result)
            else:
                _show(result, rows)
        if receipt is not None:
            receipt.write_text(client.receipt(result.entry))


def pull(address: str, file: Path, /, *, service: Service = SERVICE) -> None:
    """Write a table, as far as it is yours to read, to a file: .parquet, .csv, .arrow or .json.

    Parameters
    ----------
    address
        organisation.dataset, or organisation.dataset.table where the dataset has several tables.
    file
        It appears only when all of it has come.
    """
    with service.client() as client, transfer(f"Pulling {address}") as report:
        client.pull(address, file, progress=report)
    say(f"{file} is written.")


def _show(result: Result, most: int) -> None:
    """The first rows as a table; the rest is counted, not kept."""
    kept: list[pa.RecordBatch] = []
    total = 0
    for batch in result.batches():
        if total < most or not kept:
            kept.append(batch.slice(0, most - total))
        total += batch.num_rows
    if kept:
        _show_rows(pa.Table.from_batches(kept))
    if total > most:
        say(f"{total - most:,} more rows; --output FILE writes all.")
    releases = ", ".join(f"{name} release {number}" for name, number in result.releases.items())
    rows = "row" if total == 1 else "rows"
    say(f"{total:,} {rows} from {releases or 'no dataset'}. Audit entry {result.entry}.")


def _show_rows(table: pa.Table) -> None:
    numbers = [field.name for field in table.schema if _is_number(field.type)]
    cells = [column.to_pylist() for column in table.columns]
    show_table(table.column_names, zip(*cells, strict=True), numbers=numbers)


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
