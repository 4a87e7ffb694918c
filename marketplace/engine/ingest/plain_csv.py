"""A CSV file that DuckDB can read without guessing, as a relation of texts."""

from dataclasses import dataclass
from pathlib import Path

from marketplace.engine.instance import identifier, literal

LONGEST_RECORD = 2_000_000
# A quarter of DuckDB's default: as fast, and each thread holds several.
_BUFFER = 8_000_000
_SAMPLE_ROWS = 20_000
_SAMPLE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainCsv:
    """`columns` are (position from 0, name) of the columns to read; the rest of `width` are empty.

    `skip` records are above the first row. `records` is how many follow, blank ones included, as
    something other than DuckDB has counted them. With `parallel` several threads read, which have to
    guess where a record begins: with line ends in cells a guess can be wrong, which shows as an
    error or as another number of records. `record_end` is what ends a record, where it is known.
    """

    path: Path
    delimiter: str
    skip: int
    width: int
    columns: tuple[tuple[int, str], ...]
    records: int
    parallel: bool
    record_end: str | None = None

    @property
    def row_bytes(self) -> int:
        """How long a record is, about."""
        return self.path.stat().st_size // max(self.records, 1) + 1

    @property
    def sample(self) -> int:
        """How many of the first rows are worth looking at before all are read."""
        return min(_SAMPLE_ROWS, _SAMPLE_BYTES // self.row_bytes + 1)

    def scan(self) -> str:
        """SQL for every record with all columns as texts c0, c1 ..."""
        columns = ", ".join(f"'c{position}': 'VARCHAR'" for position in range(self.width))
        ended = f"new_line = {literal(self.record_end)}, " if self.record_end else ""
        return (
            f"read_csv({literal(str(self.path))}, columns = {{{columns}}}, auto_detect = false, "
            f"header = false, skip = {self.skip}, delim = {literal(self.delimiter)}, quote = '\"', "
            f"escape = '\"', strict_mode = true, null_padding = false, ignore_errors = false, "
            f"{ended}max_line_size = {LONGEST_RECORD}, buffer_size = {_BUFFER}, parallel = {str(self.parallel).lower()})"
        )

    def relation(self, only: tuple[str, ...] | None = None, limit: int | None = None) -> str:
        """SQL for the rows with a value, under their column names, or `only` some of the columns.

        Its evaluation fails where a column without a heading has a value.
        """
        shown = ", ".join(
            f"c{position} AS {identifier(name)}"
            for position, name in self.columns
            if only is None or name in only
        )
        ended = f" LIMIT {limit}" if limit is not None else ""
        return f"(SELECT {shown} FROM {self.scan()} WHERE {self._has_value()}{ended})"

    def _has_value(self) -> str:
        named = [position for position, _ in self.columns]
        unnamed = [position for position in range(self.width) if position not in set(named)]
        filled = f"{_first_value(named)} IS NOT NULL"
        if not unnamed:
            return filled
        return (
            f"CASE WHEN {_first_value(unnamed)} IS NOT NULL "
            f"THEN error('a column without heading has a value') ELSE {filled} END"
        )


def _first_value(positions: list[int]) -> str:
    return f"coalesce({', '.join(f'c{position}' for position in positions)}, NULL)"
