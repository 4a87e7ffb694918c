"""Facts about a sheet of an .xlsx that only its XML tells, found without building a tree."""

import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec

from marketplace.errors import FileUnreadable

_PIECE = 1 << 20
_MOST_HELD = 32 << 20
_MOST_INDEX = 16 << 20
_HIDDEN_ROW = re.compile(rb'<row\b(?=[^>]*\bhidden="(?:1|true)")[^>]*\br="(\d+)"')
_CELL = re.compile(rb'<c\b[^>]*\br="([A-Z]{1,3})(\d{1,7})"')
_ERROR = re.compile(rb'<c\b[^>]*\bt="e"')
_UNSAVED = re.compile(
    rb'<c\b(?![^>]*\bt="str")[^>]*>\s*<f\b(?:[^>]*/>|[^>]*>[^<]*</f>)\s*(?:<v\s*/>|<v>\s*</v>)?\s*</c>'
)
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_ROWS_SHOWN = 20


class SheetFacts(msgspec.Struct, frozen=True, kw_only=True):
    """All zero where the format does not tell. `rows` and `columns` are the extent of the grid."""

    hidden_rows: tuple[int, ...] = ()
    errors: int = 0
    unsaved_formulas: int = 0
    rows: int = 0
    columns: int = 0

    def notes(self) -> tuple[str, ...]:
        """What the publisher should know, in sentences."""
        notes = []
        if self.hidden_rows:
            shown = ", ".join(map(str, self.hidden_rows[:_ROWS_SHOWN]))
            more = " ..." if len(self.hidden_rows) > _ROWS_SHOWN else ""
            notes.append(
                f"Rows that are hidden in the sheet were read like the others: {shown}{more}."
            )
        if self.errors:
            notes.append(
                f"{self.errors:,} cells hold an error such as #N/A and were read as empty."
            )
        return tuple(notes)


def facts_of(file: Path, sheet: str) -> SheetFacts:
    """Look into the XML of one sheet; no facts for a zip that is not .xlsx. Raises FileUnreadable."""
    try:
        with zipfile.ZipFile(file) as archive:
            member = _member(archive, sheet)
            return _facts(_whole_rows(archive, member)) if member else SheetFacts()
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ET.ParseError,
        RuntimeError,
    ):
        raise FileUnreadable(
            "The workbook is damaged.", next_step="Save it again and send it again."
        ) from None


def _member(archive: zipfile.ZipFile, sheet: str) -> str | None:
    names = set(archive.namelist())
    if "xl/workbook.xml" not in names:
        return None
    targets = {
        relation.get("Id"): relation.get("Target", "")
        for relation in _index(archive, "xl/_rels/workbook.xml.rels")
    }
    for element in _index(archive, "xl/workbook.xml").iter():
        if element.tag.endswith("}sheet") and element.get("name") == sheet:
            target = targets.get(element.get(_RELATION), "")
            path = posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")
            return path if path in names else None
    return None


def _index(archive: zipfile.ZipFile, name: str) -> ET.Element:
    with archive.open(name) as stream:
        text = stream.read(_MOST_INDEX)
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise FileUnreadable(
            "The workbook's XML declares entities, which no spreadsheet program writes.",
            next_step="Save the sheet as CSV.",
        )
    return ET.fromstring(text)  # noqa: S314 -- bounded, and without entities


def _whole_rows(archive: zipfile.ZipFile, member: str) -> Iterator[bytes]:
    """The XML in pieces that end with a row."""
    held = b""
    with archive.open(member) as stream:
        while piece := stream.read(_PIECE):
            held += piece
            end = held.rfind(b"</row>") + len(b"</row>")
            if end >= len(b"</row>"):
                yield held[:end]
                held = held[end:]
            elif len(held) > _MOST_HELD:
                raise FileUnreadable(
                    "A row of the sheet is too long to be read.", next_step="Save it as CSV."
                )
    yield held


def _facts(pieces: Iterator[bytes]) -> SheetFacts:
    hidden: list[int] = []
    errors = unsaved = rows = columns = 0
    for piece in pieces:
        hidden.extend(int(row) for row in _HIDDEN_ROW.findall(piece))
        errors += len(_ERROR.findall(piece))
        if b"<f" in piece:
            unsaved += len(_UNSAVED.findall(piece))
        letters = set()
        for column, row in _CELL.findall(piece):
            letters.add(column)
            rows = max(rows, int(row))
        columns = max([columns, *map(_column_number, letters)])
    return SheetFacts(
        hidden_rows=tuple(hidden),
        errors=errors,
        unsaved_formulas=unsaved,
        rows=rows,
        columns=columns,
    )


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number
