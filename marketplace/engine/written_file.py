"""A Parquet file that the engine has written, with what a manifest needs to know of it."""

import hashlib
from pathlib import Path

import msgspec

from catalogue.dataset import ColumnStatistics

_BLOCK = 1024 * 1024


class WrittenFile(msgspec.Struct, frozen=True, kw_only=True):
    """`columns` is empty where nobody may learn bounds from a manifest (an extract)."""

    path: Path
    sha256: str
    bytes: int
    rows: int
    columns: tuple[ColumnStatistics, ...] = ()


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            sha256.update(block)
    return sha256.hexdigest()
