"""What goes over HTTP, told once for the service and for its client.

Requests refuse members they do not know, so that a misspelt one is told and not ignored; answers may
grow, and a client ignores what it does not know. Moments are RFC 3339 in UTC.
"""

from datetime import datetime

import msgspec


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True):
    """An error as RFC 9457 has it, with what a person and a command line need besides.

    `type` is a reference to the page that explains this kind of problem, `instance` names this one
    occurrence in the service's log. `next_step` says what to do, `lines` list findings one by one, and
    `exit_code` is what the command line ends with.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    next_step: str = ""
    lines: tuple[str, ...] = ()
    exit_code: int = 1


class QueryRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One SELECT; `project` must be the token's own where it is given."""

    sql: str
    project: str | None = None


class ColumnDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a table's contract; `type` is a SQL type as DuckDB prints it."""

    name: str
    type: str
    title: str = ""
    description: str = ""
    place: bool = False
    sensitivity: str = "none"
    missing_markers: tuple[str, ...] = ()


class TableDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One table of a release. `address` is what a query names; `bytes` are those of its Parquet."""

    name: str
    address: str
    contract_version: int
    rows: int
    bytes: int
    columns: tuple[ColumnDescription, ...]


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


class DatasetDescription(DatasetSummary, frozen=True, kw_only=True):
    """A dataset with its newest release.

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


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who the token speaks for, and until when."""

    name: str
    project: str | None
    purpose: str
    role: str | None
    organisation: str | None
    audience: str
    valid_until: datetime


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the service can do its work. Each part is "ok", or says in a word what it is not."""

    status: str
    parts: dict[str, str]
