"""The small tables of a busy map, copied into the worker's own instance.

A point query on Parquet costs ten times what it costs on a table of DuckDB's own, and a copy in
compressed memory is about as large as the file. Nothing else may change: the names that statements
read stay views, over the copy in place of the files, and a copy is made only between two requests.
"""

from contextlib import suppress
from pathlib import Path

import duckdb

from marketplace.engine.instance import identifier, scan
from marketplace.engine.limits import Limits
from marketplace.engine.query.query_messages import TableFiles

# How many bytes of files one statement more makes worth copying, and the most that a table may have.
# A next request waits for the copying, which takes as long as some thirty statements then save:
# eight mebibytes took half a second.
_WORTH = 128 * 1024
_LARGEST = 8 * 1024**2

# No organisation has this name: it is none that an address can hold.
_CATALOGUE = "native tables"

_FIXED_BYTES = 16  # of a value, at most
_FIXED = frozenset(
    {"boolean", "float", "double", "decimal", "date", "time", "timestamp", "uuid"}
    | {"timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone"}
    | {f"{sign}{size}int" for sign in ("", "u") for size in ("tiny", "small", "big", "huge")}
    | {"integer", "uinteger"}
)
_LENGTHS = {"varchar": "strlen", "blob": "octet_length"}


class NativeTables:
    """Which tables of an instance are copies, and when another becomes one."""

    def __init__(
        self,
        instance: duckdb.DuckDBPyConnection,
        tables: tuple[TableFiles, ...],
        limits: Limits,
    ) -> None:
        """Show every table as a view on its files; to be called before the instance is locked."""
        self._instance = instance
        self._room = limits.engine_memory // 8
        self._waiting = sorted(((_bytes(table), table) for table in tables), key=lambda of: of[0])
        self._statements = 0
        for organisation in dict.fromkeys(table.organisation for table in tables):
            instance.execute(f"ATTACH ':memory:' AS {identifier(organisation)}")
        for table in tables:
            self._show(table, scan(table.files))

    def note_statement(self) -> None:
        """A statement has read the tables."""
        self._statements += 1

    def copy_worth(self) -> bool:
        """Copy the tables that have been read often enough for their size; whether any was.

        A table that does not fit, or whose size in memory cannot be told, stays a view on its files.
        """
        copied = False
        most = min(self._statements * _WORTH, _LARGEST) if self._statements > 1 else -1
        while self._waiting and self._waiting[0][0] <= most:
            _, table = self._waiting.pop(0)
            copied |= self._copy(table)
        return copied

    def _copy(self, table: TableFiles) -> bool:
        files = scan(table.files)
        catalogue = identifier(_CATALOGUE)
        address = f"{table.organisation}.{table.dataset}.{table.name}"
        copy = f"{catalogue}.main.{identifier(address)}"
        try:
            size = self._size(files)
            if size is None or size > self._room:
                return False
            self._instance.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {catalogue} (COMPRESS)")
            self._instance.execute(f"CREATE TABLE {copy} AS FROM {files}")
            self._instance.execute(f"CHECKPOINT {catalogue}")
        except duckdb.Error:  # there was no room for it after all: its files still answer
            with suppress(duckdb.Error):
                self._instance.execute(f"DROP TABLE IF EXISTS {copy}")
            return False
        self._show(table, copy)
        self._room -= size
        return True

    def _size(self, files: str) -> int | None:
        """The most bytes that a copy takes before it is compressed; None for types of no known size.

        A footer does not tell: a long text that repeats is in the file once.
        """
        relation = self._instance.sql(f"FROM {files}")
        columns = list(zip(relation.columns, (kind.id for kind in relation.types), strict=True))
        if not all(kind in _FIXED or kind in _LENGTHS for _, kind in columns):
            return None
        lengths = [
            f"coalesce(sum({_LENGTHS[kind]}({identifier(name)})), 0)"
            for name, kind in columns
            if kind in _LENGTHS
        ]
        sizes = " + ".join([f"count(*) * {_FIXED_BYTES * len(columns)}", *lengths])
        found = self._instance.execute(f"SELECT {sizes} FROM {files}").fetchone()
        return int(found[0]) if found else None

    def _show(self, table: TableFiles, source: str) -> None:
        """Let the table's names stand for `source`: a view in its dataset's schema, and where it is
        its dataset's only table one for `organisation.dataset`, in the catalogue's `main` schema."""
        catalogue = identifier(table.organisation)
        schema = f"{catalogue}.{identifier(table.dataset)}"
        names = [f"{schema}.{identifier(table.name)}"]
        if table.short:
            names.append(f"{catalogue}.main.{identifier(table.dataset)}")
        self._instance.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for name in names:
            self._instance.execute(f"CREATE OR REPLACE VIEW {name} AS FROM {source}")


def _bytes(table: TableFiles) -> int:
    return sum(Path(path).stat().st_size for path in table.files)
