"""How a table's rows lie in its files: sorted where its contract says so, no file too large.

Both are done with the Parquet that was written first: what is wrong with a file is found in the
publisher's own order, and a table that needs neither is written once.
"""

from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import duckdb
import msgspec

from marketplace.engine.ingest.column_names import columns_meant
from marketplace.engine.ingest.ingest_job import Ingested, Progress
from marketplace.engine.ingest.parquet_writing import write_parquet
from marketplace.engine.instance import identifier, literal
from marketplace.engine.written_file import WrittenFile

# A file of more is cut into ones of at most about half of it. That writes the table once more, so
# it is done where files are large enough to be worth leaving unopened.
LARGEST_FILE = 512 * 1024**2

Report = Callable[[Progress], None]


class Layout:
    """Puts the one file of a table in order. Use it once."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        report: Report,
        *,
        largest: int = LARGEST_FILE,
    ) -> None:
        self._connection = connection
        self._report = report
        self._largest = largest

    def of(self, ingested: Ingested, sort: tuple[str, ...]) -> Ingested:
        """The table sorted by the columns `sort` (names or headings) and in files of bounded size.

        Raises FileUnreadable where one names no column.
        """
        titles = {column.name: column.title or column.name for column in ingested.schema.columns}
        sort = columns_meant(sort, titles, option="sort")
        [file] = ingested.files
        notes = ingested.notes
        if sort:
            file = self._sorted(file, sort)
            notes += (f"Rows are sorted by {', '.join(sort)}.",)
        return msgspec.structs.replace(
            ingested,
            schema=msgspec.structs.replace(ingested.schema, sort=sort),
            files=self._cut(file),
            notes=notes,
        )

    def _sorted(self, file: WrittenFile, sort: tuple[str, ...]) -> WrittenFile:
        """Rows that are equal in all of `sort` stay in the order of the publisher's file."""
        keys = ", ".join(f"{identifier(name)} ASC NULLS LAST" for name in sort)
        rows = f"(SELECT * FROM {_scan(file.path)} ORDER BY {keys}, file_row_number)"
        ordered = self._write(rows, file, "sorted.parquet", "sorting")
        file.path.unlink()
        return ordered

    def _cut(self, file: WrittenFile) -> tuple[WrittenFile, ...]:
        """Files that follow on one another; each ends where a row group ended."""
        if file.bytes <= self._largest:
            return (file,)
        groups = [0, *accumulate(self._row_groups(file.path))]
        last = len(groups) - 1
        parts = min(-(-2 * file.bytes // self._largest), last)
        ends = [groups[last * part // parts] for part in range(parts + 1)]
        files = tuple(
            self._write(
                f"(SELECT * FROM {_scan(file.path)} WHERE file_row_number >= {ends[part]} "
                f"AND file_row_number < {ends[part + 1]})",
                file,
                f"part-{part + 1:05}.parquet",
                f"writing file {part + 1} of {parts}",
            )
            for part in range(parts)
        )
        file.path.unlink()
        return files

    def _write(self, rows: str, source: WrittenFile, name: str, stage: str) -> WrittenFile:
        def tell(share: float) -> None:
            done = int(source.bytes * share)
            self._report(Progress(stage=stage, done_bytes=done, total_bytes=source.bytes))

        return write_parquet(
            self._connection,
            rows,
            source.path.with_name(name),
            rows_of_a_group=max(self._row_groups(source.path), default=1),
            report=tell,
        )

    def _row_groups(self, path: Path) -> list[int]:
        """How many rows each row group has, in their order."""
        found = self._connection.execute(
            "SELECT row_group_id, any_value(row_group_num_rows) "
            f"FROM parquet_metadata({literal(str(path))}) GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        return [rows for _, rows in found]


def _scan(path: Path) -> str:
    """The file's rows; `file_row_number` is the place of each, which is no column of it."""
    return f"read_parquet({literal(str(path))})"
