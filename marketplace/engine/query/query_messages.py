"""What the pool asks of a query worker, and what it is told at the end."""

from enum import StrEnum

import msgspec


class OutputFormat(StrEnum):
    """How a result is written; the README says how each writes dates, decimals and nested values."""

    ARROW = "arrow"
    PARQUET = "parquet"
    CSV = "csv"
    JSON = "json"


class TableFiles(msgspec.Struct, frozen=True):
    """One table of a view map, as text."""

    organisation: str
    dataset: str
    name: str
    short: bool
    files: tuple[str, ...]


class Bind(msgspec.Struct, frozen=True, tag="bind"):
    """Open the instance that shows these tables and nothing else."""

    tables: tuple[TableFiles, ...]


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Run a checked statement and write its result."""

    sql: str
    output: OutputFormat


class Bound(msgspec.Struct, frozen=True):
    """The instance is open and locked."""


class Ended(msgspec.Struct, frozen=True):
    """The result is complete."""

    rows: int
    bytes: int
