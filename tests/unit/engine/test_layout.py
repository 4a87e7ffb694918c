"""Where a table's rows lie: sorted as its contract says, in files of bounded size."""

from itertools import accumulate
from pathlib import Path

import duckdb
import pytest
from pyarrow import parquet

from catalogue.manifest import next_contract
from catalogue.table_schema import TableSchema
from marketplace.engine.ingest.ingest_job import Ingested, IngestOptions
from marketplace.engine.ingest.layout import Layout
from marketplace.engine.ingest.read_table import read_table
from marketplace.engine.limits import Limits
from marketplace.errors import FileUnreadable

PAYMENTS = (
    "Paid on,Supplier,No\n2024-03-01,b,1\n2024-01-01,c,2\n,a,3\n2024-03-01,a,4\n2024-01-01,a,5\n"
)


def published(
    tmp_path: Path, text: str, *, sort: tuple[str, ...] = (), contract: TableSchema | None = None
) -> Ingested:
    into = tmp_path / f"into-{len(list(tmp_path.iterdir()))}"
    into.mkdir()
    source = tmp_path / "payments.csv"
    source.write_text(text)
    return read_table(
        source,
        name=source.name,
        into=into,
        contract=contract,
        options=IngestOptions(sort=sort),
        limits=Limits(),
        progress=lambda _: None,
    )


def column(ingested: Ingested, name: str) -> list[object]:
    """The values of a column in the order of the files."""
    files = [str(file.path) for file in ingested.files]
    return [row[0] for row in duckdb.sql(f"SELECT {name} FROM read_parquet({files})").fetchall()]


def test_rows_keep_the_order_of_the_publishers_file_where_nothing_is_said(tmp_path: Path) -> None:
    ingested = published(tmp_path, PAYMENTS)
    assert column(ingested, "no") == [1, 2, 3, 4, 5]
    assert ingested.schema.sort == ()


def test_rows_are_sorted_by_the_columns_that_are_said_and_then_as_they_were(tmp_path: Path) -> None:
    ingested = published(tmp_path, PAYMENTS, sort=("Paid on",))
    assert column(ingested, "no") == [2, 5, 1, 4, 3]
    assert ingested.schema.sort == ("paid_on",)
    assert "Rows are sorted by paid_on." in ingested.notes
    assert [file.path.name for file in ingested.files] == [
        path.name for path in ingested.files[0].path.parent.glob("*.parquet")
    ]


def test_the_first_column_said_comes_first(tmp_path: Path) -> None:
    assert column(published(tmp_path, PAYMENTS, sort=("supplier", "no")), "no") == [3, 4, 5, 1, 2]


def test_a_later_release_is_sorted_as_the_contract_says(tmp_path: Path) -> None:
    contract = published(tmp_path, PAYMENTS, sort=("supplier",)).schema
    later = published(tmp_path, PAYMENTS, contract=contract)
    assert column(later, "no") == [3, 4, 5, 1, 2]
    assert next_contract((1, contract), later.schema) == (1, contract)


def test_another_sort_order_is_the_contracts_next_version(tmp_path: Path) -> None:
    contract = published(tmp_path, PAYMENTS, sort=("supplier",)).schema
    later = published(tmp_path, PAYMENTS, sort=("no",), contract=contract).schema
    version, newest = next_contract((3, contract), later)
    assert (version, newest.sort, newest.columns) == (4, ("no",), contract.columns)


def test_many_rows_that_are_equal_stay_in_their_order_so_the_same_file_is_the_same_again(
    tmp_path: Path,
) -> None:
    rows = "".join(f"{n % 3},{n}\n" for n in range(400_000))
    first, second = (published(tmp_path, f"key,n\n{rows}", sort=("key",)) for _ in range(2))
    assert column(first, "n") == sorted(range(400_000), key=lambda n: (n % 3, n))
    assert first.files[0].sha256 == second.files[0].sha256


def test_a_release_without_rows_keeps_the_sort(tmp_path: Path) -> None:
    contract = published(tmp_path, PAYMENTS, sort=("supplier",)).schema
    empty = published(tmp_path, "Paid on,Supplier,No\n", contract=contract)
    assert (empty.rows, empty.schema.sort) == (0, ("supplier",))


def test_a_sort_by_what_is_no_column_is_refused_with_the_columns(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match="sort names what is no column") as refusal:
        published(tmp_path, PAYMENTS, sort=("Suplier",))
    assert "Supplier" in refusal.value.next_step


def test_notes_below_the_table_are_found_although_rows_are_sorted(tmp_path: Path) -> None:
    rows = "".join(f"{n},supplier,{n},{n}\n" for n in range(100))
    with pytest.raises(FileUnreadable, match="line 102"):
        published(tmp_path, f"a,b,c,d\n{rows}Source: ledger,,,\n", sort=("b",))


def test_a_column_may_be_called_what_duckdb_calls_the_place_of_a_row(tmp_path: Path) -> None:
    ingested = published(tmp_path, "file_row_number,b,c\n7,1,1\n3,1,1\n", sort=("b",))
    assert column(ingested, ingested.schema.names[0]) == [7, 3]


def cut_files(tmp_path: Path, rows: int, largest: int) -> tuple[Ingested, Ingested]:
    """A table before it is cut, its file kept aside, and after."""
    text = "n,key\n" + "".join(f"{n},{n % 7}\n" for n in range(rows))
    whole = published(tmp_path, text)
    kept = whole.files[0].path.with_name("kept")
    kept.write_bytes(whole.files[0].path.read_bytes())
    after = Layout(duckdb.connect(), lambda _: None, largest=largest).of(whole, ())
    return whole, after


def parquet_group_ends(path: Path) -> set[int]:
    """Before which rows a row group of the file ends."""
    metadata = parquet.read_metadata(path)
    rows = (metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
    return set(accumulate(rows))


def ends_of(ingested: Ingested) -> set[int]:
    """Before which rows of the table a file ends."""
    return set(accumulate(file.rows for file in ingested.files))


def test_a_large_table_is_cut_into_files_that_follow_on_one_another(tmp_path: Path) -> None:
    whole, after = cut_files(tmp_path, 600_000, largest=400_000)
    groups = parquet_group_ends(whole.files[0].path.with_name("kept"))
    assert whole.files[0].bytes > 400_000
    assert len(after.files) > 2
    assert all(file.bytes <= 400_000 for file in after.files)
    assert column(after, "n") == list(range(600_000))
    assert ends_of(after) <= groups
    assert sum(file.rows for file in after.files) == after.rows == 600_000
    assert not whole.files[0].path.exists()


def test_each_files_bounds_are_those_of_its_own_rows(tmp_path: Path) -> None:
    _, after = cut_files(tmp_path, 600_000, largest=400_000)
    first = 0
    for file in after.files:
        bounds = next(known for known in file.columns if known.name == "n")
        assert (bounds.minimum, bounds.maximum) == (str(first), str(first + file.rows - 1))
        first += file.rows


def test_one_row_group_is_not_cut(tmp_path: Path) -> None:
    _, after = cut_files(tmp_path, 10_000, largest=1)
    assert len(after.files) == 1
    assert after.files[0].rows == 10_000
