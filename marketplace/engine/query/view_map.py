"""Which tables one worker shows, and the files that each of them is."""

from dataclasses import dataclass
from pathlib import Path

from catalogue.address import TableAddress


@dataclass(frozen=True, slots=True)
class BoundTable:
    """A table as a view on `files` (Parquet of one schema, read in this order).

    `short`: it answers to `organisation.dataset` too, being its dataset's only table.
    """

    address: TableAddress
    short: bool
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class OutlinedTable:
    """A table that can be told of and not read: the names and SQL types of its columns, no rows."""

    address: TableAddress
    columns: tuple[tuple[str, str], ...]
    files: tuple[Path, ...] = ()


ViewMap = tuple[BoundTable | OutlinedTable, ...]
"""All that a worker can read for life. Two callers share a worker only where this is equal."""


def view_map(tables: ViewMap) -> ViewMap:
    """Put tables into the one order that makes equal maps equal."""
    return tuple(sorted(set(tables), key=lambda table: (table.address, table.files)))
