"""A Parquet file as the engine leaves it for the store."""

from pathlib import Path

import msgspec

from catalogue.dataset import ColumnStatistics


class WrittenFile(msgspec.Struct, frozen=True, kw_only=True):
    """A finished Parquet file, its SHA-256 in hexadecimal, and what it holds."""

    path: Path
    sha256: str
    bytes: int
    rows: int
    columns: tuple[ColumnStatistics, ...]
