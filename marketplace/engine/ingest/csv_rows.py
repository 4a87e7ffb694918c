"""The records of a CSV file one by one with their line numbers, and the choice of its delimiter.

DuckDB reads the bulk. This reader is slower and exact about lines: it finds the headings, tells
where a file is wrong, and rewrites what DuckDB would not read the same way.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from marketplace.engine.ingest.table_rows import Row
from marketplace.errors import FileUnreadable

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
LONGEST_RECORD = 2_000_000
_SAMPLE = 1 << 18
_SAMPLE_ROWS = 500
_OTHER_SEPARATORS = re.compile(r"[;|\t^~:,]")


class CsvRows:
    """Iterates over (line on which the record begins, its cells); a blank line has no cells.

    Iterating raises FileUnreadable, with the line, where quotes are not used as RFC 4180 has it.
    """

    unit = "line"

    def __init__(self, path: Path, delimiter: str) -> None:
        self._path = path
        self._delimiter = delimiter

    def __iter__(self) -> Iterator[Row]:
        csv.field_size_limit(LONGEST_RECORD)
        with self._path.open(encoding="utf-8-sig", newline="") as stream:
            yield from _records(stream, self._delimiter)


def _records(stream: io.TextIOBase, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(stream, delimiter=delimiter, strict=True, skipinitialspace=False)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _misquoted(line, reader.line_num, str(error)) from None
        yield line, cells


def _misquoted(begins: int, ends: int, reason: str) -> FileUnreadable:
    if "field larger" in reason or "end of data" in reason:
        detail = f"A quote that is opened in the record on line {begins} is not closed."
    else:
        detail = f"In line {ends} text follows a closing quote."
    return FileUnreadable(
        detail,
        next_step='Inside a quoted cell write each quote twice (""), and close the cell with one.',
    )


def choose_delimiter(path: Path, given: str | None) -> tuple[str, str]:
    """The delimiter, and a sentence on why it is this one ("" where it was given).

    Chosen is the one that cuts most of the first records into the same number of cells; where
    two do so equally well the file is refused. Raises FileUnreadable.
    """
    if given is not None:
        return _given(given), ""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        sample = stream.read(_SAMPLE)
    whole = len(sample) < _SAMPLE
    found = {delimiter: _evenness(sample, whole, delimiter) for delimiter in DELIMITERS}
    ranked = sorted(found, key=lambda delimiter: found[delimiter], reverse=True)
    best, second = ranked[0], ranked[1]
    if found[best] == (0.0, 1):
        return _single_column(sample)
    if found[best] == found[second]:
        raise FileUnreadable(
            f"The delimiter may be a {DELIMITERS[best]} or a {DELIMITERS[second]}: both cut the "
            "records into equally many cells.",
            next_step="Set the delimiter.",
        )
    share, width = found[best]
    return best, (
        f"The delimiter is a {DELIMITERS[best]}: it cuts {share:.0%} of the first records into "
        f"{width} cells."
    )


def _given(delimiter: str) -> str:
    text = {"tab": "\t", "\\t": "\t"}.get(delimiter.lower(), delimiter)
    if text not in DELIMITERS:
        raise FileUnreadable(
            f"{delimiter[:20]!r} cannot be the delimiter.",
            next_step="Set a comma, a semicolon, a tab or a vertical bar.",
        )
    return text


def _evenness(sample: str, whole: bool, delimiter: str) -> tuple[float, int]:
    """The share of records that have the most frequent width above 1, and that width."""
    rows = _sample_rows(sample, whole, delimiter)
    widths = Counter(len(row) for row in rows if any(row))
    many = [(count, width) for width, count in widths.items() if width > 1]
    if not many:
        return 0.0, 1
    count, width = max(many)
    return count / widths.total(), width


def _sample_rows(sample: str, whole: bool, delimiter: str) -> Sequence[list[str]]:
    csv.field_size_limit(LONGEST_RECORD)
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    rows: list[list[str]] = []
    try:
        rows.extend(islice(reader, _SAMPLE_ROWS))
    except csv.Error:
        return rows
    return rows if whole or len(rows) == _SAMPLE_ROWS else rows[:-1] or rows


def _single_column(sample: str) -> tuple[str, str]:
    heading = sample.lstrip("\r\n").splitlines()[0] if sample.strip("\r\n") else ""
    if not heading.startswith('"') and _OTHER_SEPARATORS.search(heading):
        raise FileUnreadable(
            "No comma, semicolon, tab or vertical bar cuts the records into cells.",
            next_step="Set the delimiter, or write the table with commas.",
        )
    return ",", "The file has one column."
