"""The rows of a table inside a file that may hold more: titles above, blank rows, empty columns.

Works on any source of (line, cells), be it CSV or a sheet. What cannot be told for certain is
refused with the option that settles it.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from marketplace.engine.ingest.ingest_job import IngestOptions
from marketplace.errors import FileUnreadable

Row = tuple[int, list[str]]
FINDINGS_SHOWN = 20
_ROWS_SEARCHED = 100
_MOST_COLUMNS = 2000
# What no heading is: a date, an area code, an amount; years and short numbers may be headings.
_DATA = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*|[0-9]{1,2}[/.-][0-9]{1,2}[/.-][0-9]{2,4}.*"
    r"|[0-9]{1,2}[ -][A-Za-z]{3}[ -][0-9]{2,4}|[EWSNK][0-9]{8}"
    r"|[-(]?£?-?[0-9][0-9,]*[.][0-9]+[)]?|[-(]?£-?[0-9].*|-[0-9]+|[0-9]{5,}"
)


class Rows(Protocol):
    """Rows with the number of the line (or sheet row) on which each begins; can be read again."""

    unit: str

    def __iter__(self) -> Iterator[Row]:
        """From the top of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headings:
    """Where the table begins: `record` counts the records before the headings, blank ones too."""

    line: int
    record: int
    texts: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def named(self) -> tuple[int, ...]:
        """The positions, from 0, that have a heading."""
        return tuple(position for position, text in enumerate(self.texts) if text)


def find_headings(rows: Rows, options: IngestOptions) -> Headings:
    """Find the row of column headings.

    It is the given one, else the first row with more than one filled cell (in a file of one
    column, the first row). Raises FileUnreadable where there is none, where a column has values
    but no heading, or where the row looks like data.
    """
    sample = list(islice(rows, _ROWS_SEARCHED))
    if options.header_line is not None:
        headings = _given_headings(rows, options.header_line)
    else:
        headings = _first_wide_row(sample, rows.unit)
        _refuse_data_as_headings(headings, rows.unit)
    following = [row for row in sample if row[0] > headings.line and any(row[1])]
    _refuse_columns_without_heading(headings, following, rows.unit)
    return headings


def _given_headings(rows: Rows, wanted: int) -> Headings:
    for record, (line, cells) in enumerate(rows):
        if line == wanted and any(cell.strip() for cell in cells):
            note = (f"The headings were taken from {rows.unit} {line}, as asked.",)
            return Headings(line=line, record=record, texts=_stripped(cells), notes=note)
        if line > wanted:
            break
    raise FileUnreadable(
        f"There are no headings on {rows.unit} {wanted}.",
        next_step=f"Set header_line to the {rows.unit} of the column headings.",
    )


def _first_wide_row(sample: Sequence[Row], unit: str) -> Headings:
    if not any(_filled(cells) for _, cells in sample):
        raise FileUnreadable(
            "The file is empty: it has neither headings nor rows.",
            next_step="Send a file whose first row holds the column headings.",
        )
    needed = 2 if any(_filled(cells) > 1 for _, cells in sample) else 1
    record, (line, cells) = next(
        (record, row) for record, row in enumerate(sample) if _filled(row[1]) >= needed
    )
    skipped = [number for number, above in sample[:record] if any(above)]
    notes: tuple[str, ...] = ()
    if skipped:
        places = ", ".join(map(str, skipped))
        notes = (
            f"The headings are on {unit} {line}; what stands above ({unit} {places}) was left out.",
        )
    return Headings(line=line, record=record, texts=_stripped(cells), notes=notes)


def _filled(cells: Iterable[str]) -> int:
    return sum(1 for cell in cells if cell.strip())


def _stripped(cells: Sequence[str]) -> tuple[str, ...]:
    if len(cells) > _MOST_COLUMNS:
        raise FileUnreadable(
            f"The table has {len(cells):,} columns; {_MOST_COLUMNS:,} are the most.",
            next_step="Publish it with fewer columns, for example one row per value.",
        )
    return tuple(cell.strip() for cell in cells)


def _refuse_columns_without_heading(
    headings: Headings, following: Sequence[Row], unit: str
) -> None:
    findings = []
    for position, text in enumerate(headings.texts):
        if text:
            continue
        line = next(
            (line for line, cells in following if position < len(cells) and cells[position]), None
        )
        if line is not None:
            findings.append(
                f"Column {position + 1} has a value on {unit} {line} but no heading on {unit} "
                f"{headings.line}."
            )
    if findings:
        raise FileUnreadable(
            "A column has values but no heading.",
            next_step="Give every column one heading in one row, or set header_line if the "
            "headings are in another row. Merged headings over several rows cannot be read.",
            lines=findings[:FINDINGS_SHOWN],
        )


def _refuse_data_as_headings(headings: Headings, unit: str) -> None:
    """Raise where a file may have no headings: the first row would be lost without a word."""
    named = [text for text in headings.texts if text]
    like_data = [text for text in named if _DATA.fullmatch(text)]
    if like_data or all(text.isdigit() for text in named):
        example = (like_data or named)[0]
        raise FileUnreadable(
            f"{unit.capitalize()} {headings.line}, where the headings should be, looks like data: "
            f"it holds {example[:40]!r}.",
            next_step="Add a row of column headings. If these are the headings, set header_line "
            f"to {headings.line}.",
        )


class TableRows:
    """The rows below the headings, cut to the columns that have one.

    Iterating gives (line, cells) and leaves out rows without any value. Raises FileUnreadable,
    naming the first rows at fault, when a row has more or fewer cells than there are headings
    (empty cells beyond the headings are no fault) or a value in a column without heading.
    """

    def __init__(self, rows: Rows, headings: Headings, last_line: int | None) -> None:
        self._rows = rows
        self._headings = headings
        self._last_line = last_line
        self.blank = 0

    def __iter__(self) -> Iterator[Row]:
        named = self._headings.named
        needed = named[-1] + 1
        findings: list[str] = []
        count = 0
        self.blank = 0
        for line, cells in islice(self._rows, self._headings.record + 1, None):
            if self._last_line is not None and line > self._last_line:
                break
            if not any(cells):
                self.blank += 1
                continue
            finding = self._fault(line, cells, needed)
            if not finding:
                if not count:
                    yield line, [cells[position] for position in named]
                continue
            count += 1
            if len(findings) < FINDINGS_SHOWN:
                findings.append(finding)
        if count:
            raise _uneven(count, findings, self._rows.unit)

    def _fault(self, line: int, cells: list[str], needed: int) -> str:
        texts = self._headings.texts
        if len(cells) < needed:
            return f"{self._rows.unit} {line}: {len(cells)} cells, {needed} expected"
        for position, cell in enumerate(cells):
            if cell and (position >= len(texts) or not texts[position]):
                return (
                    f"{self._rows.unit} {line}: the value in cell {position + 1} has no heading"
                    f" ({len(self._headings.named)} headings)"
                )
        return ""


def _uneven(count: int, findings: list[str], unit: str) -> FileUnreadable:
    more = [f"and {count - len(findings):,} more"] if count > len(findings) else []
    return FileUnreadable(
        f"In {count:,} {unit}{'s' if count > 1 else ''} the cells do not stand one under each heading.",
        next_step="Correct them. A cell that holds the delimiter or a line end must be in double "
        "quotes; notes above or below the table must go, or set header_line and last_line.",
        lines=(*findings, *more),
    )


def write_plain_csv(rows: Iterable[Row], into: Path) -> tuple[int, bool]:
    """Write rows as the plainest CSV: every cell quoted, no headings.

    Returns how many there are, and whether a cell holds a line end.
    """
    count = 0
    line_ends = False
    with into.open("x", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for _, cells in rows:
            writer.writerow(cells)
            count += 1
            line_ends = line_ends or any("\n" in cell or "\r" in cell for cell in cells)
    return count, line_ends


def lines_of(rows: Iterable[Row], ordinals: Iterable[int]) -> dict[int, int]:
    """The line of each wanted row; rows are counted from 0."""
    wanted = set(ordinals)
    found: dict[int, int] = {}
    for ordinal, (line, _) in enumerate(rows):
        if ordinal in wanted:
            found[ordinal] = line
            if len(found) == len(wanted):
                break
    return found
