"""What the catalogue holds, in DCAT's words: datasets, releases and the manifest of their files."""

import hashlib
from datetime import datetime
from enum import StrEnum

import msgspec

from catalogue.address import DatasetAddress
from catalogue.errors import AboveOfficial
from catalogue.table_schema import TableSchema


class AccessRights(StrEnum):
    """The UK metadata model's access rights."""

    INTERNAL = "INTERNAL"
    OPEN = "OPEN"
    COMMERCIAL = "COMMERCIAL"


class Classification(StrEnum):
    """The government's security classifications. Only OFFICIAL is ever taken in."""

    OFFICIAL = "OFFICIAL"
    SECRET = "SECRET"  # noqa: S105 -- the name of a classification
    TOP_SECRET = "TOP_SECRET"  # noqa: S105 -- the name of a classification

    def check_taken(self) -> None:
        """Raise AboveOfficial for data that the marketplace takes in no form."""
        if self is not Classification.OFFICIAL:
            raise AboveOfficial(
                f"The marketplace holds OFFICIAL data only, and this is said to be {self.value}.",
                next_step="Nothing of it was kept. Do not send it again; ask your security adviser.",
            )


class Handling(StrEnum):
    """A handling instruction beside the classification. HMG USE ONLY stays in central government."""

    NONE = "none"
    HMG_USE_ONLY = "hmg_use_only"


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset as its publisher describes it. `licence` is a URI or DATA_SHARE_AGREEMENT."""

    address: DatasetAddress
    title: str
    description: str = ""
    licence: str = "DATA_SHARE_AGREEMENT"
    access_rights: AccessRights = AccessRights.INTERNAL
    official_sensitive: bool = False
    handling: Handling = Handling.NONE
    created_at: datetime


class ColumnStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds in one column; the bounds are written as text, absent where all is null."""

    name: str
    minimum: str | None
    maximum: str | None
    nulls: int


class DataFile(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of a release, known by its content."""

    key: str
    sha256: str
    bytes: int
    rows: int
    columns: tuple[ColumnStatistics, ...] = ()


class ReleaseTable(msgspec.Struct, frozen=True, kw_only=True):
    """One table of a release under the contract version that it keeps."""

    name: str
    contract_version: int
    schema: TableSchema
    files: tuple[DataFile, ...]

    @property
    def rows(self) -> int:
        """How many rows the table has."""
        return sum(file.rows for file in self.files)


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable version of a dataset with all its tables, numbered 1, 2, 3 ..."""

    dataset: DatasetAddress
    number: int
    tables: tuple[ReleaseTable, ...]
    published_at: datetime
    published_by: str
    notes: str = ""

    def table(self, name: str) -> ReleaseTable | None:
        """The table of that name, if the release has it."""
        return next((table for table in self.tables if table.name == name), None)

    @property
    def manifest_digest(self) -> str:
        """SHA-256 over the canonical manifest, in hexadecimal; two equal releases have one digest."""
        return hashlib.sha256(msgspec.json.encode(self.tables, order="deterministic")).hexdigest()
