"""Whether a publisher's Parquet file still holds what its writer put in.

DuckDB reads a page whose checksum is wrong without a word, so a flipped bit would become another
value. Arrow verifies the checksums, where the writer gave any; where it gave none, the statistics
of the footer are all there is to compare with.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from catalogue.dataset import ColumnStatistics
from marketplace.errors import FileUnreadable

_BATCH_ROWS = 8192
_BATCH_BYTES = 8 * 1024 * 1024
_BUFFER = 64 * 1024
_MOST_CHUNKS_COMPARED = 200_000  # Arrow takes some microseconds to show the statistics of each
_WHOLE_NUMBERS = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
)


def damaged() -> FileUnreadable:
    """The error for a file that is not what its writer wrote."""
    return FileUnreadable(
        "The Parquet file is cut short or damaged.", next_step="Write it again and send it again."
    )


def verify_pages(file: Path, *, row_bytes: int, report: Callable[[float], None]) -> None:
    """Read every page once and hold it to its checksum, in little memory and on this thread.

    `report` is given the share that is done. Raises FileUnreadable.
    """
    rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(row_bytes, 1)))
    try:
        with parquet.ParquetFile(
            file, page_checksum_verification=True, buffer_size=_BUFFER, pre_buffer=False
        ) as source:
            declared, read, told = source.metadata.num_rows, 0, 0.0
            for batch in source.iter_batches(rows, use_threads=False):
                read += batch.num_rows
                if (share := read / max(declared, 1)) - told >= 0.01:
                    told = share
                    report(share)
    except pa.ArrowMemoryError:
        raise
    except pa.ArrowNotImplementedError:
        raise FileUnreadable(
            "The Parquet file holds pages that cannot be checked for damage.",
            next_step="Write it with usual encodings and compression (zstd or snappy).",
        ) from None
    except (pa.ArrowException, OSError, ValueError):
        raise damaged() from None
    if read != declared:
        raise damaged()


def refuse_contradictions(
    metadata: parquet.FileMetaData, read: Sequence[ColumnStatistics], types: Mapping[str, str]
) -> None:
    """Raise FileUnreadable where the footer's statistics are not those of the values `read`.

    `types` are the file's columns in their order, by the names that `read` has. Nulls are counted
    for every column; bounds are compared for whole numbers and texts, whose order all writers share.
    """
    if metadata.num_row_groups * metadata.num_columns > _MOST_CHUNKS_COMPARED:
        return
    positions = {name: position for position, name in enumerate(types)}
    findings = [
        f'Column "{column.name}": {finding}.'
        for column in read
        for finding in _contradictions(
            _statistics(metadata, positions[column.name]), column, types[column.name]
        )
    ]
    if findings:
        raise FileUnreadable(
            "The Parquet file is damaged: its values are not those that its footer describes.",
            next_step="Write it again and send it again.",
            lines=findings[:20],
        )


def _statistics(metadata: parquet.FileMetaData, position: int) -> list[parquet.Statistics | None]:
    """The statistics of one column in each row group that has rows."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    return [group.column(position).statistics for group in groups if group.num_rows]


def _contradictions(
    declared: Sequence[parquet.Statistics | None], read: ColumnStatistics, type_name: str
) -> Iterator[str]:
    known = [statistics for statistics in declared if statistics is not None]
    if not known or len(known) < len(declared):
        return
    if all(statistics.has_null_count for statistics in known):
        nulls = sum(statistics.null_count for statistics in known)
        if nulls != read.nulls:
            yield f"{nulls:,} missing values by the footer, {read.nulls:,} in the pages"
    bounded = [statistics for statistics in known if statistics.num_values]
    if bounded and all(statistics.has_min_max for statistics in bounded):
        yield from _outside(bounded, read, type_name)


def _outside(
    declared: Sequence[parquet.Statistics], read: ColumnStatistics, type_name: str
) -> Iterator[str]:
    """What lies outside the footer's bounds, which may be wider than the values are."""
    if read.minimum is None or read.maximum is None:
        return
    if type_name in _WHOLE_NUMBERS:
        below = int(read.minimum) < min(statistics.min for statistics in declared)
        above = int(read.maximum) > max(statistics.max for statistics in declared)
    elif type_name == "VARCHAR":
        below = read.minimum.encode() < min(statistics.min_raw for statistics in declared)
        above = read.maximum.encode() > max(statistics.max_raw for statistics in declared)
    else:
        return
    if below or above:
        yield "a value lies outside the footer's bounds"
