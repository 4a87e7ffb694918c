"""The demo's data: payees left out, and every byte that stays the publisher's own."""

import csv
import gzip
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from marketplace.demo import prepare_data
from marketplace.demo.prepare_data import DATA, without_columns

PAYEES = ("supplier", "benef", "benif", "vat registration", "company number", "charity number")
FREE_TEXT = ("invoice number", "extended description")

RAW = (
    b"\xef\xbb\xbfDate,Payee,Amount,,\r\n"
    b'03/09/2014,"Smith, ""J""","1,100.00",,\r\n'
    b"04/09/2014,D\xe9cor Ltd,-5,,\r\n"
)


def test_a_column_is_cut_out_and_every_other_byte_stays():
    kept = without_columns(RAW, {"Payee"})
    assert kept == (b'\xef\xbb\xbfDate,Amount,,\r\n03/09/2014,"1,100.00",,\r\n04/09/2014,-5,,\r\n')


def test_cutting_nothing_changes_nothing():
    assert without_columns(RAW, set()) == RAW
    assert without_columns(RAW[:-2], set()) == RAW[:-2]


def test_records_can_be_left_out():
    kept = without_columns(RAW, {"Payee"}, lambda fields: fields[0] == b"04/09/2014")
    assert kept == b"\xef\xbb\xbfDate,Amount,,\r\n04/09/2014,-5,,\r\n"


def test_a_heading_that_is_not_there_is_told():
    with pytest.raises(KeyError, match="Supplier"):
        without_columns(RAW, {"Supplier"})


def headings(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        return list(pq.read_schema(path).names)
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return next(csv.reader(io.StringIO(raw.decode("utf-8-sig"))))


@pytest.mark.parametrize("path", sorted(DATA.glob("*.*")), ids=lambda path: path.name)
def test_no_column_that_ships_names_a_payee_or_holds_free_text(path: Path):
    if path.suffix == ".md":
        return
    for heading in headings(path):
        assert not any(word in heading.lower() for word in (*PAYEES, *FREE_TEXT)), heading


def test_the_files_keep_what_makes_them_hard_to_read():
    march = gzip.decompress((DATA / "leeds_2011-03.csv.gz").read_bytes())
    trafford = gzip.decompress((DATA / "trafford_2014-09.csv.gz").read_bytes())
    assert march.splitlines(keepends=True)[1].endswith(b"," * 17 + b"\r\n")
    assert b"09-Mar-2011" in march
    assert trafford.startswith(b"\xef\xbb\xbf")
    assert b'"1,100.00"' in trafford
    assert "Mobile Crèche".encode() in trafford


@pytest.mark.shared_data
def test_the_data_is_what_the_publishers_files_give(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(prepare_data, "DATA", tmp_path)
    folder = shared / "data"
    prepare_data.temporary_accommodation(folder)
    prepare_data.spending(folder)
    prepare_data.organisations(folder)
    made = sorted(tmp_path.iterdir())
    assert len(made) == 5
    for path in made:
        read = gzip.decompress if path.suffix == ".gz" else bytes
        assert read(path.read_bytes()) == read((DATA / path.name).read_bytes()), path.name
