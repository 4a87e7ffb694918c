"""Headings become identifiers; hostile ones are refused, naming the column."""

import pytest

from catalogue.address import check_identifier
from catalogue.table_schema import Column, TableSchema
from marketplace.engine.ingest.column_names import name_columns
from marketplace.errors import FileUnreadable


def test_headings_become_lower_case_identifiers() -> None:
    assert name_columns(["Net Amount (£)", "2011-03", 'Say "hi"'], None) == (
        "net_amount",
        "n_2011_03",
        "say_hi",
    )


def test_headings_that_would_have_one_name_get_a_lasting_suffix_in_any_order() -> None:
    first = name_columns(["Total %", "Total (%) ", "x"], None)
    second = name_columns(["x", "Total (%)", "Total %"], None)
    assert set(first) == set(second)
    assert len(set(first)) == 3
    assert first[0] == second[2]


def test_long_headings_that_begin_alike_stay_apart() -> None:
    long = "Number of households in temporary accommodation at the end of the quarter"
    names = name_columns([f"{long} with children", f"{long} without"], None)
    assert len(set(names)) == 2
    assert all(check_identifier(name) for name in names)


def test_a_heading_without_latin_letters_is_named_after_itself() -> None:
    (name,) = name_columns(["人口"], None)
    assert name == name_columns(["人口"], None)[0]
    assert check_identifier(name).startswith("column_")


def test_a_known_heading_keeps_the_contracts_name() -> None:
    contract = TableSchema(columns=(Column(name="total_1", type="BIGINT", title="Total %"),))
    assert name_columns(["other", "TOTAL %"], contract) == ("other", "total_1")


@pytest.mark.parametrize(
    ("headings", "finding"),
    [
        (["a", "a"], "Columns 1, 2 have the same heading: 'a'."),
        (["Name", "x", "NAME "], "Columns 1, 3 have the same heading: 'NAME' / 'Name'."),
        (["a", "b\x00"], "Column 2: the heading holds the invisible character U+0000."),
        (["a\u202eb"], "Column 1: the heading holds the invisible character U+202E."),
        (["a\u200f"], "Column 1: the heading holds the invisible character U+200F."),
        (["x" * 1_000_000], "Column 1: the heading has 1,000,000 characters; 500 are the most."),
    ],
)
def test_headings_that_cannot_be_used_are_refused_by_position(
    headings: list[str], finding: str
) -> None:
    with pytest.raises(FileUnreadable) as caught:
        name_columns(headings, None)
    assert caught.value.lines == (finding,)
