"""What the pool asks of a query worker, and what it is told at the end."""

from enum import StrEnum

import msgspec


class OutputFormat(StrEnum):
    """How a result is written; the README says how each writes dates, decimals and nested values."""

    ARROW = "arrow"
    PARQUET = "parquet"
    CSV = "csv"
    JSON = "json"
    JSON_LINES = "json_lines"


class Compression(StrEnum):
    """How the buffers of an Arrow stream are packed; every Arrow reader unpacks them by itself."""

    NONE = "none"
    LZ4 = "lz4"
    ZSTD = "zstd"


class Encoding(msgspec.Struct, frozen=True):
    """A format, and how its bytes are packed. Raises ValueError: only Arrow can be packed.

    Parquet packs its columns anyway, and text is packed by what carries it.
    """

    format: OutputFormat
    compression: Compression = Compression.NONE

    def __post_init__(self) -> None:
        if self.compression is not Compression.NONE and self.format is not OutputFormat.ARROW:
            raise ValueError(f"{self.format} is not written with {self.compression}")


ENCODINGS = (
    *(Encoding(output_format) for output_format in OutputFormat),
    *(Encoding(OutputFormat.ARROW, packed) for packed in (Compression.LZ4, Compression.ZSTD)),
)
"""Every encoding there is."""


class TableFiles(msgspec.Struct, frozen=True):
    """One table of a view map, as text."""

    organisation: str
    dataset: str
    name: str
    short: bool
    files: tuple[str, ...]


class TableOutline(msgspec.Struct, frozen=True):
    """One table of a view map that has no files, with its columns' names and SQL types."""

    organisation: str
    dataset: str
    name: str
    columns: tuple[tuple[str, str], ...]


class Bind(msgspec.Struct, frozen=True, tag="bind"):
    """Open the instance that shows these tables and nothing else: with files, or outlined."""

    tables: tuple[TableFiles, ...]
    outlines: tuple[TableOutline, ...] = ()


class Parameters(msgspec.Struct, frozen=True):
    """What a statement calls its parameters, in the order in which they are bound, and their values.

    `values` is an Arrow IPC stream of one row, as the caller sent it; None binds none.
    """

    names: tuple[str, ...] = ()
    values: bytes | None = None


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Run a checked statement and write its result, of at most so many rows if that is said."""

    sql: str
    output: Encoding
    most_rows: int | None = None
    parameters: Parameters = Parameters()


class Describe(msgspec.Struct, frozen=True, tag="describe"):
    """Write the Arrow schema that a checked statement's result would have, without running it."""

    sql: str
    parameters: Parameters = Parameters()


class Bound(msgspec.Struct, frozen=True):
    """The instance is open and locked."""


class Ended(msgspec.Struct, frozen=True):
    """The result is complete."""

    rows: int
    bytes: int
