"""Any table, written as CSV in any dialect, reads back as it was, or is refused."""

import csv
import io
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.engine.ingest.csv_rows import DELIMITERS
from marketplace.errors import FileUnreadable

# Letters that no type but text is made of, with everything that CSV and encodings get wrong.
CELL = st.text(alphabet="xyéß€ \"',;|\t\n\r#\\", max_size=8)
HEADINGS = ("first", "second", "third", "fourth")


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    width = draw(st.integers(2, 4))
    key = st.integers(0, 10**6).map(lambda number: f"k{number}")
    row = st.tuples(key, *[CELL] * (width - 1)).map(list)
    return draw(st.lists(row, min_size=1, max_size=12))


@dataclass(frozen=True)
class Dialect:
    delimiter: str
    end: str
    quote_all: bool

    def write(self, rows: list[list[str]]) -> str:
        return "".join(self.delimiter.join(map(self.cell, row)) + self.end for row in rows)

    def cell(self, text: str) -> str:
        if self.quote_all or set(text) & {self.delimiter, '"', "\r", "\n"}:
            return '"' + text.replace('"', '""') + '"'
        return text


DIALECTS = st.builds(
    Dialect, st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans()
)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=tables(), dialect=DIALECTS, encoding=ENCODINGS, title=st.booleans())
def test_a_table_reads_back_as_it_was_written(
    read_file, rows: list[list[str]], dialect: Dialect, encoding: str, title: bool
) -> None:
    headings = list(HEADINGS[: len(rows[0])])
    content = dialect.write([*([["A title"]] if title else []), headings, *rows]).encode(encoding)
    # Some cp1252 texts are UTF-8 as well, of other letters: nothing in such a file tells.
    named = "cp1252" if encoding == "cp1252" else None
    read = read_file(content, last_line=10**6, delimiter=dialect.delimiter, encoding=named)
    assert_same(read.columns, headings, rows)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=tables(), dialect=DIALECTS)
def test_without_any_options_a_table_is_read_right_or_refused(
    read_file, rows: list[list[str]], dialect: Dialect
) -> None:
    headings = list(HEADINGS[: len(rows[0])])
    read = table_or_none(read_file, dialect.write([headings, *rows]).encode())
    if read is not None:
        assert_same(read.columns, headings, rows)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.text(alphabet='ab1,;"\n\r \t', max_size=40))
def test_any_text_is_a_table_as_python_reads_it_or_is_refused(read_file, content: str) -> None:
    read = table_or_none(read_file, content.encode())
    if read is None:
        return
    said = [mark for mark, name in DELIMITERS.items() if f"delimiter is a {name}" in read.notes]
    rows = list(csv.reader(io.StringIO(content, newline=""), delimiter=(said or [","])[0]))
    needed = 2 if any(len(list(filter(str.strip, row))) > 1 for row in rows) else 1
    begin = next(n for n, row in enumerate(rows) if len(list(filter(str.strip, row))) >= needed)
    named = [place for place, text in enumerate(rows[begin]) if text.strip()]
    below = [row for row in rows[begin + 1 :] if any(row)]
    expected = [[row[place].strip(" ") for place in named] for row in below]
    found = [
        ["" if value is None else str(value).strip(" ") for value in row]
        for row in zip(*read.columns.values(), strict=True)
    ]
    assert found == expected


def table_or_none(read_file, content: bytes):
    """The table, or None where the file is refused; anything but a refusal fails."""
    try:
        return read_file(content)
    except FileUnreadable:
        return None


def assert_same(
    columns: dict[str, list[object]], headings: list[str], rows: list[list[str]]
) -> None:
    expected = {
        heading: [row[place] or None for row in rows] for place, heading in enumerate(headings)
    }
    # A column where every cell is space or empty is typed as text all the same.
    assert columns == expected
