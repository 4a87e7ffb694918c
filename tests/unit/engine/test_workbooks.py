"""One sheet of a workbook is read, or refused with what to do."""

import datetime as dt
import io
import re
import zipfile
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from marketplace.errors import FileUnreadable


def workbook(**sheets: Callable[[Worksheet], None]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, fill in sheets.items():
        fill(book.create_sheet(name))
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def rows(*cells: tuple[Any, ...]) -> Callable[[Worksheet], None]:
    def fill(sheet: Worksheet) -> None:
        for row in cells:
            sheet.append(row)

    return fill


def with_xml(content: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return stream.getvalue()


moment = dt.datetime.fromisoformat
TABLE = rows(
    ("Council", "Paid", "Amount", "At", "Flag"),
    ("Leeds", dt.date(2014, 9, 3), 28.939999999999998, moment("2014-09-03 10:30"), True),
    ("York", dt.date(2014, 9, 4), -1100, moment("2014-09-04"), False),
)
READ = {
    "council": ["Leeds", "York"],
    "paid": [dt.date(2014, 9, 3), dt.date(2014, 9, 4)],
    "amount": [Decimal("28.94"), Decimal("-1100.00")],
    "at": [moment("2014-09-03 10:30"), moment("2014-09-04")],
    "flag": [True, False],
}


def test_cells_become_the_types_they_are(read_file) -> None:
    assert read_file(workbook(Data=TABLE)).columns == READ


def test_the_only_sheet_with_cells_is_read_and_another_by_its_name(read_file) -> None:
    one = workbook(Empty=rows(), Data=TABLE)
    assert "sheet 'Data'" in read_file(one).notes
    both = workbook(Notes=rows(("About", "us"), ("x", "y")), Data=TABLE)
    assert read_file(both, sheet="Data").columns == READ
    with pytest.raises(FileUnreadable, match="2 sheets with cells") as caught:
        read_file(both)
    assert caught.value.lines == ("'Notes'", "'Data'")
    with pytest.raises(FileUnreadable, match="no sheet 'Dta'"):
        read_file(both, sheet="Dta")


def test_title_rows_are_left_out_and_hidden_rows_are_told(read_file) -> None:
    def fill(sheet: Worksheet) -> None:
        rows(("Spending in March",), (None,), ("a", "b"), (1, 2), (3, 4))(sheet)
        sheet.row_dimensions[5].hidden = True

    read = read_file(workbook(Data=fill))
    assert read.columns == {"a": [1, 3], "b": [2, 4]}
    assert "headings are on row 3" in read.notes
    assert "hidden in the sheet were read like the others: 5." in read.notes


def merged(sheet: Worksheet) -> None:
    rows(("a", "b"), ("x", 1), (None, 2))(sheet)
    sheet.merge_cells("A2:A3")


def formulas(sheet: Worksheet) -> None:
    rows(("a", "b"), (1, "=A2+1"))(sheet)


def stray(sheet: Worksheet) -> None:
    rows(("a", "b"), (1, 2))(sheet)
    sheet["XFD1048576"] = "x"


@pytest.mark.parametrize(
    ("fill", "sentence"),
    [
        (merged, "Cells of the table are merged"),
        (formulas, "1 formulas whose results are not saved"),
        (stray, "cells as far as row 1,048,576 and column 16,384"),
        (rows(), "No visible sheet"),
        (rows(("a", "b")), "headings but no rows"),
        (rows(("a", "a"), (1, 2)), "headings cannot be used"),
        (rows(("a", "b"), (1, 2), (3, None, "loose")), "column has values but no heading"),
    ],
)
def test_a_sheet_that_is_no_certain_table_is_refused(
    fill: Callable[[Worksheet], None], sentence: str, read_file
) -> None:
    with pytest.raises(FileUnreadable, match=sentence) as caught:
        read_file(workbook(Data=fill))
    assert caught.value.next_step


def test_error_cells_are_told(read_file) -> None:
    def fill(sheet: Worksheet) -> None:
        rows(("a", "b"), (1, 2), (3, 4))(sheet)
        sheet["B3"].value = "#N/A"
        sheet["B3"].data_type = "e"

    read = read_file(workbook(Data=fill))
    assert read.columns["b"] == [2, None]
    assert "1 cells hold an error" in read.notes


def test_damaged_and_hostile_workbooks_are_refused(read_file) -> None:
    good = workbook(Data=TABLE)
    entities = with_xml(
        good,
        lambda name, xml: (
            re.sub(rb"(<workbook)", rb'<!DOCTYPE x [<!ENTITY a "b">]>\1', xml, count=1)
            if name == "xl/workbook.xml"
            else xml
        ),
    )
    stream = io.BytesIO(good)
    with (
        zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/bomb.xml", "w", force_zip64=True) as member,
    ):
        for _ in range(1100):
            member.write(b"\0" * 1024**2)
    for content in (good[:-200], good[:1000], b"PK\x03\x04" + b"x" * 100, entities):
        with pytest.raises(FileUnreadable) as caught:
            read_file(content)
        assert caught.value.next_step
    with pytest.raises(FileUnreadable, match="Unpacked, the workbook has"):
        read_file(stream.getvalue())
