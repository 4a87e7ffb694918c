"""What the parent asks of an extract worker, and what it hears back."""

import msgspec

from access_policies.scope import Mask, RowsBetweenDays, RowsInRange, RowsWithValues
from marketplace.engine.written_file import WrittenFile

Condition = RowsWithValues | RowsInRange | RowsBetweenDays
"""A condition on rows whose places, if it had any, are written out as codes."""


class HashKey(msgspec.Struct, frozen=True):
    """The key of one project and kind of identifier; never shown, not even by `repr`."""

    value: bytes

    def __repr__(self) -> str:
        return "HashKey(...)"


class ExtractColumn(msgspec.Struct, frozen=True):
    """A column as it is shown: as it is or by its mask, of which a keyed hash has a key."""

    name: str
    mask: Mask | None = None
    key: HashKey | None = None


class ExtractRequest(msgspec.Struct, frozen=True):
    """What the confined process is asked to write; all `conditions` hold of every row."""

    files: tuple[str, ...]
    columns: tuple[ExtractColumn, ...]
    conditions: tuple[Condition, ...]
    into: str


class ExtractProgress(msgspec.Struct, frozen=True):
    """The share that is done, 0 to 1."""

    share: float


class Extracted(msgspec.Struct, frozen=True):
    """What it has written."""

    files: tuple[WrittenFile, ...]
