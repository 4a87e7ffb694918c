"""One sheet of a workbook (.xlsx, .xls, .ods) as rows of texts, read by calamine.

Numbers are written with the 15 digits that a spreadsheet shows. What the reader does not tell
(hidden rows, formulas without a saved result, error values, the size of the grid) is looked up in
the XML of an .xlsx; the other formats do not show it.
"""

import datetime as dt
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import python_calamine
from python_calamine import CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from marketplace.engine.ingest.ingest_job import IngestOptions
from marketplace.engine.ingest.sheet_xml import SheetFacts, facts_of
from marketplace.engine.ingest.table_rows import Headings, Row, find_headings
from marketplace.engine.ingest.text_table import TextTable
from marketplace.engine.limits import Limits
from marketplace.errors import FileUnreadable

_BYTES_PER_CELL = 64
_SHEETS_SHOWN = 40

Cell = int | float | str | bool | dt.time | dt.date | dt.datetime | dt.timedelta


class SheetRows:
    """Iterates over (row of the sheet, its cells as texts)."""

    unit = "row"

    def __init__(self, sheet: CalamineSheet) -> None:
        self._sheet = sheet

    def __iter__(self) -> Iterator[Row]:
        for number, cells in enumerate(self._sheet.iter_rows(), start=1):
            yield number, [cell_text(cell) for cell in cells]


def cell_text(cell: Cell) -> str:
    """A cell as the text that a CSV file would hold.

    >>> cell_text(1100.0), cell_text(28.939999999999998), cell_text(dt.date(2014, 9, 3))
    ('1100', '28.94', '2014-09-03')
    """
    match cell:
        case str():
            return cell
        case bool():
            return "true" if cell else "false"
        case float():
            return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else f"{cell:.15g}"
        case dt.datetime():
            return cell.isoformat(sep=" ")
        case dt.date() | dt.time():
            return cell.isoformat()
        case _:
            return str(cell)


def read_sheet(file: Path, options: IngestOptions, limits: Limits) -> TextTable:
    """The table in the sheet that the options name, or in the only one with cells.

    Raises FileUnreadable where the workbook or the choice of sheet is not clear.
    """
    is_zip = zipfile.is_zipfile(file)
    if is_zip:
        _refuse_large(file, limits)
    workbook = _open(file)
    name = _choose_sheet(workbook, options.sheet, lambda name: _load(workbook, file, name, limits))
    facts = facts_of(file, name) if is_zip else SheetFacts()
    sheet = _load(workbook, file, name, limits)
    rows = SheetRows(sheet)
    headings = find_headings(rows, options)
    _refuse_merged(sheet, headings, options)
    _refuse_unsaved(facts)
    return TextTable(
        rows=rows,
        headings=headings,
        path=file,
        delimiter=",",
        records=None,
        line_ends=True,
        notes=(f"The table is from the sheet {name[:80]!r}.", *headings.notes, *facts.notes()),
    )


def _open(file: Path) -> CalamineWorkbook:
    try:
        with file.open("rb") as stream:
            return CalamineWorkbook.from_filelike(stream)
    except python_calamine.PasswordError:
        raise FileUnreadable(
            "The workbook is protected by a password.", next_step="Send it without."
        ) from None
    except (python_calamine.CalamineError, OSError, ValueError):
        raise _damaged() from None


def _damaged() -> FileUnreadable:
    return FileUnreadable(
        "The file is not a workbook, or it is damaged.",
        next_step="Send .xlsx, .xls or .ods as the spreadsheet program saves it, or CSV or Parquet.",
    )


def _refuse_large(file: Path, limits: Limits) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):
        raise _damaged() from None
    if unpacked > limits.memory:
        raise FileUnreadable(
            f"Unpacked, the workbook has {unpacked:,} bytes, which is more than can be read.",
            next_step="Save the sheet as CSV.",
        )


def _refuse_wide_grid(facts: SheetFacts, limits: Limits) -> None:
    if facts.rows * facts.columns * _BYTES_PER_CELL > limits.memory:
        raise FileUnreadable(
            f"The sheet has cells as far as row {facts.rows:,} and column {facts.columns:,}, which "
            "is more than can be read.",
            next_step="Remove stray cells far from the table, or save the sheet as CSV.",
        )


def _choose_sheet(
    workbook: CalamineWorkbook, wanted: str | None, load: Callable[[str], CalamineSheet]
) -> str:
    sheets = [
        sheet.name for sheet in workbook.sheets_metadata if sheet.typ is SheetTypeEnum.WorkSheet
    ]
    if wanted is not None:
        found = next((name for name in sheets if name.strip() == wanted.strip()), None)
        if found is None:
            raise FileUnreadable(
                f"The workbook has no sheet {wanted[:80]!r}.",
                next_step="Set sheet to one that it has.",
                lines=_shown(sheets),
            )
        return found
    visible = {
        sheet.name
        for sheet in workbook.sheets_metadata
        if sheet.visible is SheetVisibleEnum.Visible
    }
    filled = [name for name in sheets if name in visible and load(name).end is not None]
    if not filled:
        raise FileUnreadable(
            "No visible sheet of the workbook has any cells.",
            next_step="Send a workbook with one table, or set sheet to a hidden one.",
        )
    if len(filled) > 1:
        raise FileUnreadable(
            f"The workbook has {len(filled)} sheets with cells; a table is in one.",
            next_step="Set sheet to the one to publish.",
            lines=_shown(filled),
        )
    return filled[0]


def _load(workbook: CalamineWorkbook, file: Path, name: str, limits: Limits) -> CalamineSheet:
    """Load a sheet; before that make sure that its grid, which the reader fills out, fits."""
    if zipfile.is_zipfile(file):
        _refuse_wide_grid(facts_of(file, name), limits)
    try:
        return workbook.get_sheet_by_name(name)
    except (python_calamine.CalamineError, OSError, ValueError):
        raise _damaged() from None


def _shown(sheets: list[str]) -> list[str]:
    return [repr(name[:80]) for name in sheets[:_SHEETS_SHOWN]]


def _refuse_merged(sheet: CalamineSheet, headings: Headings, options: IngestOptions) -> None:
    """Raise where cells from the headings downwards are merged: only one of them has the value."""
    last = options.last_line or sheet.total_height + 1_048_576
    merged = [
        f"Rows {top + 1} to {bottom + 1}, columns {left + 1} to {right + 1} are merged."
        for (top, left), (bottom, right) in sheet.merged_cell_ranges or ()
        if bottom + 1 >= headings.line and top < last
    ]
    if merged:
        raise FileUnreadable(
            "Cells of the table are merged, so it is not clear which rows and columns their values "
            "belong to.",
            next_step="Unmerge them and fill each cell, or set last_line to the table's last row.",
            lines=merged[:20],
        )


def _refuse_unsaved(facts: SheetFacts) -> None:
    if facts.unsaved_formulas:
        raise FileUnreadable(
            f"The sheet has {facts.unsaved_formulas:,} formulas whose results are not saved in it.",
            next_step="Open it in a spreadsheet program, save it, and send it again.",
        )
