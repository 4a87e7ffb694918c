"""Types are inferred from all values; what is not certain stays text."""

import datetime as dt
from decimal import Decimal

import pytest

from catalogue.errors import ContractBroken
from catalogue.table_schema import Column, TableSchema
from marketplace.engine.ingest.ingest_job import DateOrder
from marketplace.errors import FileUnreadable

D = Decimal
moment = dt.datetime.fromisoformat


def column(values: list[str], heading: str = "x") -> bytes:
    quoted = "".join(f'"{value}",k\n' for value in values)
    return f"{heading},key\n{quoted}".encode()


@pytest.mark.parametrize(
    ("values", "type_name", "read"),
    [
        (["true", "FALSE", ""], "BOOLEAN", [True, False, None]),
        (["yes", "no"], "VARCHAR", ["yes", "no"]),
        (["1", "-20", " 3 "], "BIGINT", [1, -20, 3]),
        (["1,100", "2"], "BIGINT", [1100, 2]),
        (["999999999999999999"], "BIGINT", [999999999999999999]),
        (["12345678901234567890"], "VARCHAR", ["12345678901234567890"]),
        (["0123", "4567"], "VARCHAR", ["0123", "4567"]),
        (["+44", "5"], "VARCHAR", ["+44", "5"]),
        (["0x1F", "1_000"], "VARCHAR", ["0x1F", "1_000"]),
        (["1,10", "2"], "VARCHAR", ["1,10", "2"]),
        (["1.5", "2"], "DECIMAL(18,2)", [D("1.50"), D("2.00")]),
        (["1,100.00", "£1,100.50", "-£3"], "DECIMAL(18,2)", [D("1100"), D("1100.50"), D("-3")]),
        (["(1,100.00)", "(£2.50)"], "DECIMAL(18,2)", [D("-1100.00"), D("-2.50")]),
        (["1.005", "2"], "DECIMAL(18,3)", [D("1.005"), D("2.000")]),
        (["0.33333333333", "2"], "DOUBLE", [0.33333333333, 2.0]),
        (["1e-05", "2.5E+10"], "DOUBLE", [1e-05, 2.5e10]),
        (["1e5", "2e5"], "VARCHAR", ["1e5", "2e5"]),
        (["inf", "nan"], "VARCHAR", ["inf", "nan"]),
        (["123456789012345678", "1.5"], "VARCHAR", ["123456789012345678", "1.5"]),
        (["2014-09-03", "2020-02-29"], "DATE", [dt.date(2014, 9, 3), dt.date(2020, 2, 29)]),
        (["2021-02-29", "2020-02-29"], "VARCHAR", ["2021-02-29", "2020-02-29"]),
        (["03/09/2014", "31/12/2014"], "DATE", [dt.date(2014, 9, 3), dt.date(2014, 12, 31)]),
        (["3.9.2014", "31-12-2014"], "DATE", [dt.date(2014, 9, 3), dt.date(2014, 12, 31)]),
        (["09/30/2014", "03/09/2014"], "VARCHAR", ["09/30/2014", "03/09/2014"]),
        (["30/09/2014", "09/30/2014"], "VARCHAR", ["30/09/2014", "09/30/2014"]),
        (["03/09/14", "04/09/14"], "VARCHAR", ["03/09/14", "04/09/14"]),
        (["2014-09-03", "04/09/2014"], "VARCHAR", ["2014-09-03", "04/09/2014"]),
        (["09-Mar-2011", "9 MAR 2011"], "DATE", [dt.date(2011, 3, 9)] * 2),
        (["31-Jul-13", "1-Aug-13"], "DATE", [dt.date(2013, 7, 31), dt.date(2013, 8, 1)]),
        (
            ["2020-01-02 10:30", "2020-01-02T10:30:05.25", "2020-01-03"],
            "TIMESTAMP",
            [
                moment("2020-01-02 10:30"),
                moment("2020-01-02 10:30:05.250"),
                moment("2020-01-03"),
            ],
        ),
        (
            ["02/01/2020 10:30", "02/01/2020 10:30:05"],
            "TIMESTAMP",
            [moment("2020-01-02 10:30"), moment("2020-01-02 10:30:05")],
        ),
        (["2020-01-02T10:30:00Z"], "VARCHAR", ["2020-01-02T10:30:00Z"]),
        (["1", "..", "N/A", "[c]", " "], "BIGINT", [1, None, None, None, None]),
        (["2014-09-03", "-"], "DATE", [dt.date(2014, 9, 3), None]),
        (["a", "-"], "VARCHAR", ["a", "-"]),
        (["-", "-"], "VARCHAR", ["-", "-"]),
        (["true", "-"], "VARCHAR", ["true", "-"]),
        (["1", "n/k"], "VARCHAR", ["1", "n/k"]),
        (["", ""], "VARCHAR", [None, None]),
    ],
)
def test_values_become_a_type_only_where_all_of_them_fit(
    values: list[str], type_name: str, read: list[object], read_file
) -> None:
    found = read_file(column(values))
    assert found.types["x"] == type_name
    assert found.columns["x"] == read


def test_dates_with_the_month_first_are_read_when_the_publisher_says_so(read_file) -> None:
    content = column(["09/30/2014", "03/09/2014"])
    assert "set date_order to mdy" in read_file(content).notes
    read = read_file(content, date_order=DateOrder.MONTH_FIRST)
    assert read.columns["x"] == [dt.date(2014, 9, 30), dt.date(2014, 3, 9)]


def test_a_comma_groups_no_thousands_in_a_file_cut_by_semicolons(read_file) -> None:
    assert read_file(b"x;key\n1,100;k\n2,200;k\n").columns["x"] == ["1,100", "2,200"]


def test_a_column_can_be_kept_as_text(read_file) -> None:
    read = read_file(column(["1", "2"], "Ref No"), text_columns=("ref no",))
    assert read.columns["ref_no"] == ["1", "2"]


@pytest.mark.parametrize("named", ["Ref No", " REF  no ", "ref_no"])
def test_a_text_column_may_be_named_by_heading_or_name(named: str, read_file) -> None:
    read = read_file(column(["1", "2"], "Ref No"), text_columns=(named,))
    assert read.types["ref_no"] == "VARCHAR"


def test_a_text_column_that_is_none_is_refused_with_the_columns_there_are(read_file) -> None:
    with pytest.raises(FileUnreadable, match="no column of the file: 'Ref Nr'") as caught:
        read_file(column(["01", "02"], "Ref No"), text_columns=("Ref No", "Ref Nr"))
    assert caught.value.next_step == "The columns are 'Ref No', 'key'."


def test_a_late_value_of_another_kind_changes_the_type_of_all(read_file) -> None:
    rows = [f"{n},{n},k{n}" for n in range(30_000)]
    rows[25_000] = "2.5,oops,.."
    read = read_file("\n".join(["number,word,key", *rows]).encode())
    assert read.types == {"number": "DECIMAL(18,2)", "word": "VARCHAR", "key": "VARCHAR"}
    assert read.columns["number"][25_000] == D("2.50")
    assert read.columns["word"][24_999:25_002] == ["24999", "oops", "25001"]


def test_a_column_empty_for_long_is_typed_by_its_late_values(read_file) -> None:
    rows = [f"{n},,-" for n in range(30_000)]
    rows[29_000] = "1,2014-09-03,7"
    read = read_file("\n".join(["key,late,marked", *rows]).encode())
    assert read.types == {"key": "BIGINT", "late": "DATE", "marked": "BIGINT"}
    assert '"-" was read as no value in marked (29,999).' in read.notes


def test_a_late_missing_marker_is_found_and_counted_over_all_rows(read_file) -> None:
    rows = [f"{n},{n}" for n in range(30_000)]
    rows[5], rows[29_999] = "5,..", "1,[c]"
    read = read_file("\n".join(["key,x", *rows]).encode())
    assert read.columns["x"][29_999] is None
    assert read.ingested.schema.columns[1].missing_markers == ("..", "[c]")
    assert '".." was read as no value in x (1).' in read.notes


def test_the_first_column_of_nearly_only_area_codes_is_the_place(read_file) -> None:
    codes = [f"E0{6000000 + n}" for n in range(40)]
    rows = "".join(f"{n},{code},{code}\n" for n, code in enumerate(codes))
    read = read_file(f"n,a,b\n{rows}99,Unknown,E06000001\n".encode())
    assert [c.name for c in read.ingested.schema.columns if c.place] == ["a"]
    few = read_file(b"n,a\n1,E06000001\n2,York\n3,Leeds\n")
    assert few.ingested.schema.place_column is None


def test_statistics_and_digest_are_those_of_the_file(read_file) -> None:
    read = read_file(b"n,when,flag,t\n2,2014-09-03,true,b\n10,2013-01-01,false,\n,,false,a\n")
    (file,) = read.ingested.files
    bounds = [(c.name, c.minimum, c.maximum, c.nulls) for c in file.columns]
    assert bounds == [
        ("n", "2", "10", 1),
        ("when", "2013-01-01", "2014-09-03", 1),
        ("flag", "false", "true", 0),
        ("t", "a", "b", 1),
    ]
    assert file.rows == 3
    assert len(file.sha256) == 64


CONTRACT = TableSchema(
    columns=(
        Column(name="code", type="VARCHAR", place=True),
        Column(name="n", type="BIGINT", title="Number", missing_markers=("..",)),
        Column(name="amount", type="DECIMAL(18,2)"),
        Column(name="paid", type="DATE"),
    )
)


def test_a_contract_is_kept_whatever_the_order_of_the_headings(read_file) -> None:
    content = b'paid,NUMBER,amount,code,extra\n03/09/2014,..,"1,100",007,5\n,4,2.5,,6\n'
    read = read_file(content, contract=CONTRACT)
    assert read.ingested.schema.columns[:4] == CONTRACT.columns
    assert read.types["extra"] == "BIGINT"
    assert read.columns == {
        "code": ["007", None],
        "n": [None, 4],
        "amount": [D("1100.00"), D("2.50")],
        "paid": [dt.date(2014, 9, 3), None],
        "extra": [5, 6],
    }


def test_every_value_that_breaks_the_contract_is_told_by_line(read_file) -> None:
    content = (
        b'code,Number,amount,paid\n"a\nb",1.5,1.005,2014-02-30\n\nc,7,1,2014-02-28\nd,x,1,soon\n'
    )
    with pytest.raises(ContractBroken) as caught:
        read_file(content, contract=CONTRACT)
    assert caught.value.lines == (
        "line 2: column \"Number\": '1.5' is not a whole number",
        "line 2: column \"amount\": '1.005' is not a number with at most 2 decimals and 18 digits",
        "line 2: column \"paid\": '2014-02-30' is not a date (yyyy-mm-dd, dd/mm/yyyy or dd-Mon-yyyy)",
        "line 6: column \"Number\": 'x' is not a whole number",
        "line 6: column \"paid\": 'soon' is not a date (yyyy-mm-dd, dd/mm/yyyy or dd-Mon-yyyy)",
    )


def test_of_many_breaches_the_first_are_shown_and_the_rest_counted(read_file) -> None:
    rows = "".join(f"c,{'x' if n >= 25_000 else n},1,\n" for n in range(30_000))
    with pytest.raises(ContractBroken) as caught:
        read_file(f"code,Number,amount,paid\n{rows}".encode(), contract=CONTRACT)
    assert caught.value.lines[0] == "line 25002: column \"Number\": 'x' is not a whole number"
    assert caught.value.lines[-1] == "and 4,980 more"


def test_a_missing_column_breaks_the_contract(read_file) -> None:
    with pytest.raises(ContractBroken) as caught:
        read_file(b"code,Number,amount\n1,2,3\n", contract=CONTRACT)
    assert caught.value.lines == ('The column "paid" (DATE) is missing.',)


def test_no_rows_keep_a_contract_but_cannot_begin_one(read_file) -> None:
    content = b"code,Number,amount,paid\n"
    assert read_file(content, contract=CONTRACT).ingested.rows == 0
    with pytest.raises(FileUnreadable, match="no rows"):
        read_file(content)


@pytest.mark.parametrize(
    ("usual", "late", "type_name"),
    [
        ("7", "0x1F", "VARCHAR"),
        ("7", "1_000", "VARCHAR"),
        ("2014-09-03", "infinity", "VARCHAR"),
        ("2014-09-03", "2014-9-3", "VARCHAR"),
        ("2014-09-03 10:30:00", "2014-09-03 10:30:00+02", "VARCHAR"),
        ("1.50", "1.505", "DECIMAL(18,3)"),
        ("0.123456789", "inf", "VARCHAR"),
        ("true", "yes", "VARCHAR"),
    ],
)
def test_a_value_far_below_that_duckdb_alone_would_take_changes_the_type(
    usual: str, late: str, type_name: str, read_file
) -> None:
    rows = [f"{n},{usual}" for n in range(25_000)]
    rows[24_000] = f"1,{late}"
    read = read_file("\n".join(["key,x", *rows]).encode())
    assert read.types["x"] == type_name
    assert str(read.columns["x"][24_000]) == late
