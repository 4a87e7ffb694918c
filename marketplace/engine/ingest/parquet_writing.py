"""Writing a release's Parquet by DuckDB, with the statistics that its manifest holds."""

from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb

from catalogue.dataset import ColumnStatistics
from marketplace.engine.instance import identifier, literal
from marketplace.engine.progress import run_reporting
from marketplace.engine.written_file import WrittenFile, digest

_ROW_GROUP = 122_880
_ROW_GROUP_BYTES = 48 * 1024 * 1024
_VECTOR = 2048
_LONGEST_BOUND = 200


def write_parquet(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    path: Path,
    *,
    rows_of_a_group: int,
    report: Callable[[float], None],
) -> WrittenFile:
    """Write the rows of a relation (SQL, in brackets) in their order to a new file.

    `report` is given the share that is done, 0 to 1.
    """
    copy = (
        f"COPY {relation} TO {literal(str(path))} (FORMAT parquet, COMPRESSION zstd, "
        f"COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {rows_of_a_group}, RETURN_STATS true)"
    )
    _, count, size, _, statistics, *_ = run_reporting(connection, copy, report)
    types = column_types(connection, path)
    return WrittenFile(
        path=path,
        sha256=digest(path),
        bytes=size,
        rows=count,
        columns=tuple(
            _column_statistics(name, types[name], statistics.get(identifier(name), {}), count)
            for name in types
        ),
    )


def rows_of_a_group(row_bytes: int) -> int:
    """How many rows to write in a group whose rows take about `row_bytes` each as text.

    Wide rows get smaller groups, because a whole one is held in memory.
    """
    rows = max(_VECTOR, min(_ROW_GROUP, _ROW_GROUP_BYTES // max(row_bytes, 1)))
    return rows - rows % _VECTOR


def column_types(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    """The columns of a Parquet file and their types, as DuckDB names them."""
    described = connection.execute(f"DESCRIBE FROM read_parquet({literal(str(path))})").fetchall()
    return {row[0]: row[1] for row in described}


def _column_statistics(
    name: str, type_name: str, found: Mapping[str, str], rows: int
) -> ColumnStatistics:
    return ColumnStatistics(
        name=name,
        minimum=_bound("min", type_name, found),
        maximum=_bound("max", type_name, found),
        nulls=int(found.get("null_count", rows)),
    )


def _bound(which: str, type_name: str, found: Mapping[str, str]) -> str | None:
    """The bound as text; none where it is inexact, very long, or of a column with NaN."""
    bound = found.get(which)
    inexact = found.get(f"{which}_is_exact") == "false" or found.get("has_nan") == "true"
    if bound is None or inexact or len(bound) > _LONGEST_BOUND:
        return None
    if type_name == "BOOLEAN":
        return {"0": "false", "1": "true"}.get(bound, bound)
    return bound
