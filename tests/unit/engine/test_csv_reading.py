"""CSV: encodings, dialects, headings, ragged rows; a right table or a sentence with the line."""

import codecs
import gzip
import re

import pytest

from marketplace.engine.ingest.text_file import RecordScan
from marketplace.errors import FileUnreadable

PLAIN = "name,note\nZoë,café\nBob,£5 € off\n"
EXPECTED = {"name": ["Zoë", "Bob"], "note": ["café", "£5 € off"]}


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        codecs.BOM_UTF8 + PLAIN.encode(),
        PLAIN.encode("utf-16"),
        codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
        PLAIN.encode("cp1252"),
        gzip.compress(PLAIN.encode("cp1252")),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace(",", "|").encode(),
        ("Payments of March\n\n" + PLAIN).encode(),
        (PLAIN + "\n\n").encode(),
        PLAIN.replace("\nBob", "\n\nBob").encode(),
        PLAIN.replace("\nBob", "\n,\nBob").encode(),
        PLAIN.replace("\n", ",,\n").encode(),
        PLAIN.replace("\nBob,£5 € off", ",,\nBob,£5 € off,").encode(),
        ("sep=,\n" + PLAIN).encode(),
        PLAIN.rstrip("\n").encode(),
    ],
    ids=[
        *("utf-8", "utf-8 with mark", "utf-16 le", "utf-16 be", "cp1252", "gzip", "crlf", "cr"),
        *("semicolon", "tab", "bar", "title rows", "blank lines below", "blank line", "empty row"),
        *("empty columns", "empty cells beyond", "sep line", "no last line end"),
    ],
)
def test_one_table_reads_the_same_however_it_is_written(content: bytes, read_file) -> None:
    assert read_file(content).columns == EXPECTED


def test_what_was_decided_is_said(read_file) -> None:
    notes = read_file(("Title,,\n" + PLAIN.replace("\n", ",\n")).encode("cp1252")).notes
    assert "read as cp1252" in notes
    assert "The delimiter is a comma" in notes
    assert "headings are on line 2; what stands above (line 1) was left out" in notes
    assert "1 column without heading and without any value was left out" in notes


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        (b"", {}, "is empty"),
        (b"\n\n", {}, "neither headings nor rows"),
        (b"\xef\xbb\xbf", {}, "neither headings nor rows"),
        (b"a,b\n", {}, "headings but no rows"),
        (b"a,b\n1,\x81\n", {}, "Line 2 holds bytes that are not cp1252"),
        ("a,b\né,1\n".encode() + b"x,\xff\n", {}, "first invalid byte is on line 3"),
        (PLAIN.encode("utf-16-le"), {}, "holds NUL characters"),
        (b"a,b\n1,\x00\n", {}, "Line 2 holds a NUL byte"),
        (b"a,b\n1,2\n", {"encoding": "klingon"}, "encoding 'klingon' is not known"),
        (b"a,b\n1,2\n", {"delimiter": "x"}, "'x' cannot be the delimiter"),
        (b"a,b\n1,2\n", {"header_line": 9}, "no headings on line 9"),
        (b"a:b\n1:2\n", {}, "No comma, semicolon, tab or vertical bar"),
        (b"a,b;c\n1,2;3\n", {}, "may be a comma or a semicolon"),
        (b'a,b\n1,"2\n3,4\n', {}, "record on line 2 is not closed"),
        (b'a,b\n1,"2"x\n', {}, "line 2 text follows a closing quote"),
        (b"1,2\n3,4\n", {}, "looks like data"),
        (b"Leeds,2014-09-03\nYork,2014-09-04\n", {}, "looks like data"),
        (b"a,,c\n1,2,3\n", {}, "column has values but no heading"),
        (b"a,b,c\n1,2,3\n1,2,3\nTotal,,\n", {}, "seems to end before line 4"),
        (gzip.compress(PLAIN.encode())[:-6], {}, "cut short or damaged"),
        (gzip.compress(PLAIN.encode())[:9] + b"\xff" * 20, {}, "cut short or damaged"),
        (b"%PDF-1.7 ...", {}, "a PDF document"),
        (b"\xef\xbb\xbf <!doctype html>", {}, "HTML or XML"),
        (b'{"a": 1}', {}, "JSON"),
        (b"a" * 3_000_000 + b",b\n1,2\n", {}, "not closed|500 are the most|headings cannot"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_is_no_table_is_refused_with_a_sentence_and_a_way_on(
    content: bytes, options: dict[str, str], sentence: str, read_file
) -> None:
    with pytest.raises(FileUnreadable) as caught:
        read_file(content, **options)
    assert re.search(sentence, caught.value.detail)
    assert caught.value.next_step


def test_ragged_rows_are_told_by_line_also_behind_cells_with_line_ends(read_file) -> None:
    content = b'a,b\n"x\ny",1\n2\n3,4\n5,6,7\n'
    with pytest.raises(FileUnreadable) as caught:
        read_file(content)
    assert caught.value.lines == (
        "line 4: 1 cells, 2 expected",
        "line 6: the value in cell 3 has no heading (2 headings)",
    )


def test_of_many_ragged_rows_the_first_twenty_are_shown_and_the_rest_counted(read_file) -> None:
    with pytest.raises(FileUnreadable) as caught:
        read_file(b"a,b\n" + b"1,2\n3\n" * 30)
    assert len(caught.value.lines) == 21
    assert caught.value.lines[0] == "line 3: 1 cells, 2 expected"
    assert caught.value.lines[-1] == "and 10 more"


def test_a_value_far_below_in_a_column_without_heading_is_refused(read_file) -> None:
    content = b"a,b,\n" + b"1,2,\n" * 500 + b"1,2,oops\n" + b"1,2,\n" * 500
    with pytest.raises(FileUnreadable) as caught:
        read_file(content)
    assert caught.value.lines == ("line 502: the value in cell 3 has no heading (2 headings)",)


def test_quotes_within_cells_stay_what_they_are(read_file) -> None:
    read = read_file(b'size,note\n5" pipe,"say ""hi"""\n6" pipe,x\n')
    assert read.columns == {"size": ['5" pipe', '6" pipe'], "note": ['say "hi"', "x"]}
    assert "left out" not in read.notes


def test_the_given_lines_bound_the_table(read_file) -> None:
    content = b"About,,\nMerged,,x\na,b,c\n1,2,3\n4,5,6\nSource: us,,\n"
    read = read_file(content, header_line=3, last_line=5)
    assert read.columns == {"a": [1, 4], "b": [2, 5], "c": [3, 6]}


def test_headings_that_look_like_data_can_be_confirmed(read_file) -> None:
    assert read_file(b"E08000012,E08000019\n1,2\n", header_line=1).ingested.rows == 1


def test_a_gzip_file_within_the_limit_is_read_and_progress_is_told(read_file) -> None:
    told = []
    read_file(gzip.compress(b"a,b\n" + b"1,2\n" * 400_000), progress=told.append)
    assert {progress.stage for progress in told} == {"unpacking", "checking", "reading"}
    last = [progress for progress in told if progress.stage == "checking"][-1]
    assert last.done_bytes == last.total_bytes == 1_600_004


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) - 1, (1 << 20) + 1])
def test_line_ends_and_characters_cut_by_a_chunk_are_whole(size: int, read_file) -> None:
    head = "a,b\r\n"
    filler = "x" * (size - len(head) - 3)
    content = f'{head}{filler},é\r\n"1\r\n2","z"\r\n'.encode()
    assert read_file(content).columns == {"a": [filler, "1\r\n2"], "b": ["é", "z"]}


@pytest.mark.parametrize(
    ("text", "records", "quoted"),
    [
        (b'a,b\r\n"x\r\ny","z"\r\n1,""\r\n', 3, True),
        (b'a,b\n"x","y"\n\n"",2\n\n\n', 4, False),
        (b'a\r"\r"\r"b"\r', 3, True),
        (b"a,b\n1,2", 2, False),
        (b"", 0, False),
    ],
)
def test_records_are_counted_the_same_wherever_the_bytes_are_cut(
    text: bytes, records: int, quoted: bool
) -> None:
    for cut in range(len(text) + 1):
        scan = RecordScan()
        for chunk in (text[:cut], text[cut : cut + 1], text[cut + 1 :]):
            scan.feed(chunk)
        assert scan.finish() == (records, quoted)


@pytest.mark.parametrize("cell", ["1,x,2\n", '1,x,2\n3,"y",4\n', '","\n', "\n\n\n"])
def test_cells_full_of_what_looks_like_records_are_read_whole(cell: str, read_file) -> None:
    """Large enough that DuckDB's threads begin in the middle of such cells."""
    text = cell * (3000 // len(cell))
    quoted = text.replace('"', '""')
    rows = "".join(f'{n},"{quoted}",{n + 1}\n' for n in range(12_000))
    read = read_file(f"first,text,second\n{rows}".encode())
    assert read.columns["first"] == list(range(12_000))
    assert set(read.columns["text"]) == {text}
    assert read.columns["second"] == list(range(1, 12_001))
