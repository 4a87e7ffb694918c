"""Datasets, their releases and tables, as a caller may know of them."""

from datetime import datetime

import msgspec


class ColumnDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a table's contract; `type` is a SQL type as DuckDB prints it.

    `identifier` is the kind of identifier that its values are, by which keyed hashes are linked.
    `shown` says how far the caller is shown it, where that is not as it is: "year only".
    """

    name: str
    type: str
    title: str = ""
    description: str = ""
    place: bool = False
    sensitivity: str = "none"
    missing_markers: tuple[str, ...] = ()
    identifier: str = ""
    shown: str = ""


class TableDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One table of a release. `address` is what a query names; `bytes` are those of its Parquet.

    `sort` names the columns that its rows are sorted by; without any they lie as they were published.
    """

    name: str
    address: str
    contract_version: int
    rows: int
    bytes: int
    columns: tuple[ColumnDescription, ...]
    sort: tuple[str, ...] = ()


class TableFile(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of a table, to be had by GET of `path`; `sha256` is of its bytes."""

    path: str
    sha256: str
    bytes: int
    rows: int


class TableFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The files that hold what a caller may have of one table of one release."""

    table: str
    release: int
    files: tuple[TableFile, ...]


class ReleaseDescription(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable version of a dataset; `manifest` is the SHA-256 over all that it holds."""

    dataset: str
    number: int
    published_at: datetime
    manifest: str
    notes: str = ""
    tables: tuple[TableDescription, ...] = ()


class DatasetSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset as its publisher describes it; `address` is organisation.dataset."""

    address: str
    title: str
    description: str
    licence: str
    access_rights: str
    official_sensitive: bool
    handling: str = "none"


class DatasetDescription(DatasetSummary, frozen=True, kw_only=True):
    """A dataset with its newest release, whose tables are left out where the caller may not see them.

    `readable` says whether a query by this caller would be allowed now, and `reason` why or why not.
    """

    release: ReleaseDescription
    readable: bool
    reason: str


class PublishedRelease(msgspec.Struct, frozen=True, kw_only=True):
    """What a publish made, and in sentences (`inferred`) what was decided about the file."""

    release: ReleaseDescription
    table: TableDescription
    inferred: tuple[str, ...]
