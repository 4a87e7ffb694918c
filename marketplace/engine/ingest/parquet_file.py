"""A publisher's Parquet file: checked by its footer, then written anew as our own.

It is never served as it was sent: statistics, metadata and encodings in it are whatever its writer
wanted. The footer is looked at before any page, since a small file can declare endless rows.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
from pyarrow import parquet

from catalogue.errors import ContractBroken
from catalogue.table_schema import Column, TableSchema, breaches
from marketplace.engine.ingest.column_names import columns_meant, name_columns, title_of
from marketplace.engine.ingest.ingest_job import Ingested, Progress
from marketplace.engine.ingest.parquet_checking import damaged, refuse_contradictions, verify_pages
from marketplace.engine.ingest.parquet_writing import (
    column_types,
    rows_of_a_group,
    write_parquet,
)
from marketplace.engine.ingest.text_table import first_place_column
from marketplace.engine.instance import identifier, literal
from marketplace.errors import FileUnreadable

_MOST_COLUMNS = 2000
_MOST_ROW_GROUPS = 100_000
_MOST_ROWS = 5_000_000_000
_MOST_ROWS_PER_BYTE = 10_000
_MOST_UNPACKED = 256 * 1024**3
_MOST_IN_ROW_GROUP = 2 * 1024**3
_FLAT_TYPES = frozenset(
    {"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
    | {"UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE"}
    | {"VARCHAR", "BLOB", "UUID", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS"}
    | {"TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE"}
)
# A narrower type that a wider one of the contract holds without loss.
_WIDER = {
    "TINYINT": ("SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DOUBLE"),
    "SMALLINT": ("INTEGER", "BIGINT", "HUGEINT", "DOUBLE"),
    "INTEGER": ("BIGINT", "HUGEINT", "DOUBLE"),
    "UTINYINT": ("SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "DOUBLE"),
    "USMALLINT": ("INTEGER", "BIGINT", "HUGEINT", "DOUBLE"),
    "UINTEGER": ("BIGINT", "HUGEINT", "DOUBLE"),
    "BIGINT": ("HUGEINT",),
    "FLOAT": ("DOUBLE",),
    "DATE": ("TIMESTAMP",),
    "TIMESTAMP_S": ("TIMESTAMP",),
    "TIMESTAMP_MS": ("TIMESTAMP",),
}


def read_parquet_file(
    connection: duckdb.DuckDBPyConnection,
    file: Path,
    *,
    into: Path,
    contract: TableSchema | None,
    text_columns: Sequence[str],
    report: Callable[[Progress], None],
) -> Ingested:
    """Write the table of a Parquet file anew into the folder `into`.

    Raises FileUnreadable (damaged, nested columns, more than can be, a column that is to be
    text and is not) and ContractBroken.
    """
    metadata = _read_footer(file)
    try:
        types = column_types(connection, file)
    except duckdb.Error:
        raise damaged() from None
    _refuse_nested(types)
    # DuckDB gives case twins other names by itself, so the headings are those of the footer.
    headings = [metadata.schema.column(index).name for index in range(metadata.num_columns)]
    names = dict(zip(types, name_columns(headings, contract), strict=True))
    _refuse_no_texts(text_columns, dict(zip(names.values(), headings, strict=True)), types, names)
    offered = _offered(types, names, dict(zip(types, headings, strict=True)))
    columns = _kept(contract, offered)
    by_name = {name: original for original, name in names.items()}
    values = ", ".join(
        f"{identifier(by_name[column.name])}::{column.type} AS {identifier(column.name)}"
        for column in columns
    )
    size = file.stat().st_size

    def tell(stage: str, share: float) -> None:
        report(Progress(stage=stage, done_bytes=int(size * share), total_bytes=size))

    verify_pages(file, row_bytes=_row_bytes(metadata), report=partial(tell, "checking"))
    relation = f"(SELECT {values} FROM read_parquet({literal(str(file))}))"
    try:
        written = write_parquet(
            connection,
            relation,
            into / "table.parquet",
            rows_of_a_group=rows_of_a_group(_row_bytes(metadata)),
            report=partial(tell, "reading"),
        )
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        raise damaged() from None
    refuse_contradictions(
        metadata, written.columns, {names[original]: types[original] for original in types}
    )
    if contract is None:
        texts = [column.name for column in columns if column.type == "VARCHAR"]
        place = first_place_column(connection, written.path, texts)
        columns = tuple(
            Column(name=column.name, type=column.type, title=column.title, place=True)
            if column.name == place
            else column
            for column in columns
        )
    return Ingested(
        schema=TableSchema(columns=columns),
        files=(written,),
        notes=("Column types are those of the Parquet file.",),
        rows=written.rows,
    )


def _row_bytes(metadata: parquet.FileMetaData) -> int:
    unpacked = sum(
        metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)
    )
    return int(unpacked // max(metadata.num_rows, 1))


def _read_footer(file: Path) -> parquet.FileMetaData:
    """The file's own description. Raises FileUnreadable where it declares more than can be read."""
    try:
        metadata = parquet.read_metadata(file)
        unpacked = [
            metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups)
        ]
    except (pa.ArrowException, OSError, ValueError):
        raise damaged() from None
    rows, size = metadata.num_rows, file.stat().st_size
    excesses = {
        f"{metadata.num_columns:,} columns": metadata.num_columns > _MOST_COLUMNS,
        f"{metadata.num_row_groups:,} row groups": metadata.num_row_groups > _MOST_ROW_GROUPS,
        f"{rows:,} rows in {size:,} bytes": not 0
        <= rows
        <= min(_MOST_ROWS, size * _MOST_ROWS_PER_BYTE),
        f"{sum(unpacked):,} bytes unpacked": not 0 <= sum(unpacked) <= _MOST_UNPACKED,
        "a row group of more than 2 GiB": any(
            not 0 <= group <= _MOST_IN_ROW_GROUP for group in unpacked
        ),
    }
    found = [excess for excess, holds in excesses.items() if holds]
    if found:
        raise FileUnreadable(
            f"The Parquet file declares {found[0]}, which is more than can be read.",
            next_step="Write it with usual row groups (about a hundred thousand rows), or in parts.",
        )
    if metadata.num_columns == 0:
        raise FileUnreadable("The Parquet file has no columns.", next_step="Send a table.")
    return metadata


def _refuse_nested(types: dict[str, str]) -> None:
    findings = [
        f"Column {title_of(original)[:80]!r} is {type_name[:80]}."
        for original, type_name in types.items()
        if type_name not in _FLAT_TYPES and not type_name.startswith("DECIMAL(")
    ]
    if findings:
        raise FileUnreadable(
            "The Parquet file has columns that are nested or of a kind that is not served.",
            next_step="Write one plain column per value: numbers, texts, dates, times, booleans.",
            lines=findings[:20],
        )


def _refuse_no_texts(
    wanted: Sequence[str],
    headings: Mapping[str, str],
    types: Mapping[str, str],
    names: Mapping[str, str],
) -> None:
    meant = columns_meant(wanted, headings, option="text_columns")
    findings = [
        f"Column {title_of(original)[:80]!r} is {types[original]}."
        for original, name in names.items()
        if name in meant and types[original] != "VARCHAR"
    ]
    if findings:
        raise FileUnreadable(
            "text_columns names columns that are no text in the Parquet file.",
            next_step="Write them as text into the file: what was lost there (leading zeros) "
            "cannot be found again.",
            lines=findings,
        )


def _offered(types: dict[str, str], names: dict[str, str], headings: dict[str, str]) -> TableSchema:
    return TableSchema(
        columns=tuple(
            Column(
                name=names[original],
                type=type_name,
                title=title_of(headings[original])
                if title_of(headings[original]) != names[original]
                else "",
            )
            for original, type_name in types.items()
        )
    )


def _kept(contract: TableSchema | None, offered: TableSchema) -> tuple[Column, ...]:
    """The contract's columns in its order and types, then the added ones. Raises ContractBroken."""
    if contract is None:
        return offered.columns
    wanted = {column.name: column.type for column in contract.columns}
    widened = TableSchema(
        columns=tuple(
            Column(name=column.name, type=wanted[column.name])
            if wanted.get(column.name) in _WIDER.get(column.type, ())
            else column
            for column in offered.columns
        )
    )
    broken = breaches(contract, widened)
    if broken:
        raise ContractBroken(
            "The file does not keep the dataset's contract.",
            next_step="Write the columns as the contract says, or publish another dataset.",
            lines=broken,
        )
    added = tuple(column for column in offered.columns if column.name not in wanted)
    return (*contract.columns, *added)
