"""Real files of councils and MHCLG end in the table they hold, or in a sentence."""

import csv
import datetime as dt
import gzip
import io
from decimal import Decimal
from pathlib import Path

import pytest

from catalogue.errors import ContractBroken
from marketplace.errors import FileUnreadable

pytestmark = pytest.mark.shared_data


def raw_rows(path: Path, encoding: str) -> list[dict[str, str]]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode(encoding)
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    ("name", "encoding", "rows", "amount", "date"),
    [
        ("leeds_2011-03_raw.csv.gz", "utf-8", 11024, "net_amount", "date_paid"),
        ("trafford_2014-09_raw.csv", "utf-8-sig", 9670, "amount", "date"),
        ("manchester_2011-04.csv", "utf-8", 3501, "net_amount", "invoice_payment_date"),
        ("manchester_2022-03.csv", "utf-8", 5183, "net_amount", "invoice_payment_date"),
        ("manchester_2014-09_raw.xls", "cp1252", 3584, "net_amount", "invoice_payment_date"),
        ("calderdale_2022-07.csv", "utf-8", 1582, "net_amount", "date"),
    ],
)
def test_a_spending_file_keeps_every_row_and_the_sum_of_its_amounts(
    shared: Path, read_file, name: str, encoding: str, rows: int, amount: str, date: str
) -> None:
    path = shared / "data" / "council_spend" / name
    read = read_file(path)
    raw = raw_rows(path, encoding)
    title = next(c.title or c.name for c in read.ingested.schema.columns if c.name == amount)
    assert read.ingested.rows == rows == len(raw)
    assert read.types[amount] == "DECIMAL(18,2)"
    assert read.types[date] == "DATE"
    amounts = [row[title].replace(",", "").replace("£", "") for row in raw]
    assert sum(read.columns[amount]) == sum(map(Decimal, amounts))


def test_leeds_loses_its_blank_row_and_keeps_its_accents(shared: Path, read_file) -> None:
    path = shared / "data" / "council_spend" / "leeds_2020-06_raw.csv.gz"
    read = read_file(path)
    raw = [row for row in raw_rows(path, "cp1252") if any(row.values())]
    assert read.columns["beneficiary_name"] == [row["Beneficiary Name"] for row in raw]
    assert "1 row without any value" in read.notes
    assert read.columns["payment_date"][0] == dt.date(2020, 6, 24)


def test_a_total_below_the_table_is_refused_until_the_last_line_is_given(
    shared: Path, read_file
) -> None:
    path = shared / "data" / "council_spend" / "leeds_2013-07_raw.csv.gz"
    with pytest.raises(FileUnreadable, match="end before line 10780"):
        read_file(path)
    read = read_file(path, last_line=10779)
    assert read.ingested.rows == 10778
    assert sum(read.columns["netamount"]) == Decimal("89322769.75")


def test_a_cut_last_line_is_refused_by_number(shared: Path, read_file) -> None:
    with pytest.raises(FileUnreadable) as caught:
        read_file(shared / "data" / "council_spend" / "sheffield_2012-10.csv")
    assert caught.value.lines == ("line 12621: 9 cells, 11 expected",)


def test_headings_that_are_there_twice_are_refused_with_their_positions(
    shared: Path, read_file
) -> None:
    with pytest.raises(FileUnreadable) as caught:
        read_file(shared / "data" / "council_spend" / "wakefield_2017-Q3.csv.gz")
    assert "Columns 19, 21 have the same heading: 'Procurement Classification'." in (
        caught.value.lines
    )


def test_the_tidy_table_knows_its_area_codes_and_missing_markers(shared: Path, read_file) -> None:
    read = read_file(shared / "data" / "homelessness" / "mhclg_ta1_2025-04_06_tidy_by_la.csv")
    place = read.ingested.schema.place_column
    assert place is not None
    assert place.name == "la_code"
    assert read.ingested.rows == 296
    assert read.types["total_households_in_ta"] == "BIGINT"
    row = read.columns["la_code"].index("E08000039")
    assert read.columns["la_name"][row] == "Sheffield"
    markers = {c.name: c.missing_markers for c in read.ingested.schema.columns}
    assert markers["bnb_with_children"] == ("-", "..")
    assert markers["la_name"] == ()
    assert '"-" was read as no value in bnb_with_children (67)' in read.notes


@pytest.mark.parametrize("options", [{}, {"header_line": 7}, {"header_line": 8}])
def test_the_verbatim_sheet_is_never_taken_for_a_table(
    shared: Path, read_file, options: dict[str, int]
) -> None:
    with pytest.raises(FileUnreadable) as caught:
        read_file(
            shared / "data" / "homelessness" / "mhclg_ta1_2025-04_06_sheet_verbatim.csv", **options
        )
    assert "Column 1 has a value" in " ".join(caught.value.lines)


def test_the_workbook_names_its_sheets_and_its_real_tables_are_refused_with_a_reason(
    shared: Path, read_file
) -> None:
    path = shared / "data" / "homelessness" / "mhclg_detailed_la_2025-04_06.xlsx"
    with pytest.raises(FileUnreadable) as caught:
        read_file(path)
    assert "'TA1'" in caught.value.lines
    with pytest.raises(FileUnreadable, match="column has values but no heading"):
        read_file(path, sheet="TA1")


def test_the_large_parquet_keeps_every_row(shared: Path, read_file) -> None:
    read = read_file(shared / "data" / "large" / "uk_council_spend_manchester_2010_2022.parquet")
    assert read.ingested.rows == 474_674
    assert read.types["amount"] == "DOUBLE"


def test_the_next_month_keeps_the_contract_and_another_council_breaks_it(
    shared: Path, read_file
) -> None:
    folder = shared / "data" / "council_spend"
    contract = read_file(folder / "manchester_2011-04.csv").ingested.schema
    read = read_file(folder / "manchester_2014-07.csv", contract=contract)
    assert read.ingested.schema == contract
    with pytest.raises(ContractBroken) as caught:
        read_file(folder / "trafford_2014-09_raw.csv", contract=contract)
    assert 'The column "net_amount" (DECIMAL(18,2)) is missing.' in caught.value.lines
