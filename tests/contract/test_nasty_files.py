"""Every nasty file ends in a correct table or in a sentence."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from marketplace.errors import FileUnreadable

NASTY = Path(__file__).parents[1] / "fixtures" / "nasty"
SPECTRUM = sorted((NASTY / "csv-spectrum" / "csvs").iterdir())
CSVLINT = sorted((NASTY / "csvlint").iterdir())

FOO = {"foo": ["Biff", "Qux"], "bar": ["Baff", "Teaspoon"], "baz": ["Boff", "Doge"]}
FOO_BSR = {"foo": FOO["foo"], "bsr": FOO["bar"], "baz": FOO["baz"]}
NUMBERS = {"foo": [1, 3], "bar": [2, 2], "baz": [3, 1]}

# What each file of csvlint must end in: a table, or a part of the sentence.
EXPECTED: dict[str, dict[str, list[Any]] | str] = {
    "cr-line-endings.csv": FOO,
    "crlf-line-endings.csv": FOO_BSR,
    "inconsistent-line-endings-unquoted.csv": FOO_BSR,
    "inconsistent-line-endings.csv": FOO_BSR,
    "invalid-byte-sequence.csv": "",
    "invalid_many_rows.csv": "line 4 text follows a closing quote",
    "lf-line-endings.csv": FOO_BSR,
    "spreadsheet.xls": "headings but no rows",
    "spreadsheet.xlsx": "headings but no rows",
    "title-row.csv": FOO_BSR,
    "valid.csv": NUMBERS,
    "valid_many_rows.csv": {name: values * 3 for name, values in NUMBERS.items()},
    "white space in filename.csv": NUMBERS,
    "windows-line-endings.csv": {"a": ["d"], "b": ["e"], "c": ["f"]},
}


def as_text(value: object) -> str:
    return "" if value is None else str(value)


@pytest.mark.parametrize("path", SPECTRUM, ids=lambda path: path.name)
def test_a_file_of_csv_spectrum_reads_as_its_expected_json(path: Path, read_file) -> None:
    expected = json.loads((NASTY / "csv-spectrum" / "json" / f"{path.stem}.json").read_text())
    content = path.read_bytes()
    if path.stem.endswith("_crlf"):
        content = content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    read = read_file(content)
    rows = zip(*read.columns.values(), strict=True)
    found = [dict(zip(read.columns, map(as_text, row), strict=True)) for row in rows]
    assert found == expected


@pytest.mark.parametrize("path", CSVLINT, ids=lambda path: path.name)
def test_a_file_of_csvlint_ends_in_the_right_table_or_in_a_sentence(path: Path, read_file) -> None:
    expected = EXPECTED[path.name]
    if path.name == "invalid-byte-sequence.csv":
        check_bank_statement(read_file(path), path)
    elif isinstance(expected, str):
        with pytest.raises(FileUnreadable, match=expected) as caught:
            read_file(path)
        assert caught.value.next_step
    else:
        assert read_file(path).columns == expected


def check_bank_statement(read: Any, path: Path) -> None:
    """Its dates have the month first, and it is in cp1252: text as it stands, amounts as numbers."""
    rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode("cp1252"), newline="")))
    assert read.columns["data"] == [row["Data"] for row in rows]
    assert read.columns["historico"] == [row["Histórico"] for row in rows]
    assert [f"{value:.2f}" for value in read.columns["valor"]] == [row["Valor"] for row in rows]
    assert read.types["data"] == "VARCHAR"
    assert "month first" in read.notes
    assert "cp1252" in read.notes


@pytest.mark.shared_data
def test_every_nasty_file_there_is_has_a_place_here(shared: Path) -> None:
    there = {path.name for path in (shared / "data" / "nasty").rglob("*.*") if path.is_file()}
    here = {path.name for path in NASTY.rglob("*.*")} | {"SOURCES.md"}
    assert there <= here
