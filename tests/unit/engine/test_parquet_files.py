"""Publishers' Parquet is checked by its footer, read, and written anew."""

import datetime as dt
import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from catalogue.dataset import ColumnStatistics
from catalogue.errors import ContractBroken
from catalogue.table_schema import Column, TableSchema
from marketplace.engine.ingest import parquet_file
from marketplace.engine.ingest.ingest_job import IngestOptions
from marketplace.engine.ingest.parquet_checking import refuse_contradictions
from marketplace.engine.ingest.read_table import read_table
from marketplace.engine.limits import Limits
from marketplace.errors import FileUnreadable


def written(table: pa.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(table, stream, **options)
    return stream.getvalue()


TABLE = pa.table(
    {
        "Area Code": ["E08000039", "E08000012", None],
        "n": pa.array([1, 2, None], pa.int32()),
        "amount": pa.array([Decimal("1.50"), None, Decimal("2.25")], pa.decimal128(9, 2)),
        "at": pa.array([dt.datetime(2020, 1, 2, tzinfo=dt.UTC)] * 3, pa.timestamp("us", "UTC")),
    }
)


def test_a_table_keeps_its_types_and_values_and_gets_names_of_ours(read_file) -> None:
    read = read_file(written(TABLE))
    assert read.types == {
        "area_code": "VARCHAR",
        "n": "INTEGER",
        "amount": "DECIMAL(9,2)",
        "at": "TIMESTAMP WITH TIME ZONE",
    }
    assert list(read.columns.values()) == list(TABLE.to_pydict().values())
    area = read.ingested.schema.columns[0]
    assert (area.title, area.place) == ("Area Code", True)


def test_nothing_of_the_senders_metadata_stays(tmp_path: Path) -> None:
    table = TABLE.replace_schema_metadata({"secret": "left by the writer"})
    (tmp_path / "sent").write_bytes(written(table))
    ingested = read_table(
        tmp_path / "sent",
        name="sent",
        into=tmp_path,
        contract=None,
        options=IngestOptions(),
        limits=Limits(),
        progress=lambda _: None,
    )
    kept = ingested.files[0].path.read_bytes()
    assert b"left by the writer" not in kept
    assert b"ARROW:schema" not in kept


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def without_middle(content: bytes) -> bytes:
    return content[:4] + b"\xff" * 200 + content[204:]


def endless_footer(content: bytes) -> bytes:
    return content[:-8] + b"\xff\xff\xff\x7f" + b"PAR1"


@pytest.mark.parametrize("damage", [cut, without_middle, endless_footer])
def test_a_damaged_file_is_refused(damage: Callable[[bytes], bytes], read_file) -> None:
    content = written(pa.table({"a": [f"value {n}" for n in range(1000)]}), use_dictionary=False)
    with pytest.raises(FileUnreadable, match="cut short or damaged"):
        read_file(damage(content))


def flipped(content: bytes, at: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1 << bit
    return bytes(changed)


NUMBERS = pa.table({"a": list(range(20_000)), "b": [f"x{n}" for n in range(20_000)]})


@pytest.mark.parametrize("place", [0.1, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("options", [{"use_dictionary": False}, {"data_page_version": "2.0"}])
def test_one_flipped_bit_is_found_by_the_checksum_of_its_page(
    place: float, options: dict[str, Any], read_file
) -> None:
    content = written(NUMBERS, write_page_checksum=True, compression="none", **options)
    pages = parquet.read_metadata(io.BytesIO(content)).row_group(0)
    end = max(pages.column(n).data_page_offset + 1000 for n in range(2))
    assert read_file(content).ingested.rows == 20_000
    with pytest.raises(FileUnreadable, match="cut short or damaged"):
        read_file(flipped(content, int(end * place), 0))


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (b"x12345", b"z12345"),
        (b"x12345", b"a12345"),
        ((12_345).to_bytes(8, "little"), (77_881).to_bytes(8, "little")),
    ],
)
def test_without_checksums_a_value_beyond_the_footers_bounds_is_found(
    value: bytes, other: bytes, read_file
) -> None:
    content = written(NUMBERS, compression="none", use_dictionary=False, column_encoding="PLAIN")
    assert content.count(value) == 1
    with pytest.raises(FileUnreadable, match="its footer describes") as caught:
        read_file(content.replace(value, other))
    assert "outside the footer's bounds" in caught.value.lines[0]


def test_another_number_of_missing_values_than_the_footer_says_is_found() -> None:
    metadata = parquet.read_metadata(io.BytesIO(written(pa.table({"a": [1, None, 2]}))))

    def read(nulls: int) -> tuple[ColumnStatistics, ...]:
        return (ColumnStatistics(name="a", minimum="1", maximum="2", nulls=nulls),)

    refuse_contradictions(metadata, read(1), {"a": "BIGINT"})
    with pytest.raises(FileUnreadable) as caught:
        refuse_contradictions(metadata, read(2), {"a": "BIGINT"})
    assert caught.value.lines == ('Column "a": 1 missing values by the footer, 2 in the pages.',)


def test_what_a_footer_rightly_says_of_odd_columns_contradicts_nothing(read_file) -> None:
    table = pa.table(
        {
            "none": pa.array([None] * 3, pa.string()),
            "big": pa.array([2**64 - 1, 0, None], pa.uint64()),
            "small": pa.array([-128, 127, 0], pa.int8()),
            "nan": [float("nan"), 1.0, None],
            "text": ["", "\U0001f600" * 300, None],
            "blob": [b"\xff", b"", None],
            "day": pa.array([dt.date(1, 1, 1), None, dt.date(9999, 1, 1)]),
            "yes": [True, False, None],
            "amount": pa.array([Decimal("-1.50"), None, Decimal("2.25")], pa.decimal128(38, 2)),
        }
    )
    for options in ({}, {"row_group_size": 1}, {"write_statistics": False}):
        assert read_file(written(table, **options)).ingested.rows == 3
    assert read_file(written(table.slice(0, 0))).ingested.rows == 0


@pytest.mark.parametrize(
    ("table", "sentence", "line"),
    [
        (pa.table({"a": [[1, 2]]}), "nested", "Column 'a' is INTEGER[]|Column 'a' is BIGINT[]"),
        (pa.table({"a": [{"b": 1}]}), "nested", "Column 'a' is STRUCT"),
        (pa.table({"A": [1], "a": [2]}), "headings cannot be used", "Columns 1, 2"),
        (pa.table({"a\u202e": [1]}), "headings cannot be used", "U+202E"),
        (pa.table({f"c{n}": [1] for n in range(2001)}), "2,001 columns", ""),
    ],
)
def test_a_table_that_cannot_be_served_is_refused(
    table: pa.Table, sentence: str, line: str, read_file
) -> None:
    with pytest.raises(FileUnreadable, match=sentence) as caught:
        read_file(written(table))
    assert any(part in "".join(caught.value.lines) for part in line.split("|"))


def test_a_small_file_that_declares_endless_rows_is_refused_by_its_footer(
    read_file, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = written(pa.table({"a": pa.array([1] * 1_000_000, pa.int8())}), compression="zstd")
    assert read_file(content).ingested.rows == 1_000_000
    monkeypatch.setattr(parquet_file, "_MOST_ROWS_PER_BYTE", 100)
    with pytest.raises(FileUnreadable, match="1,000,000 rows in"):
        read_file(content)


@pytest.mark.parametrize(
    ("named", "sentence"), [("m", "no column of the file"), ("N", "no text in the Parquet file")]
)
def test_a_column_that_is_to_be_text_and_is_not_is_refused(
    named: str, sentence: str, read_file
) -> None:
    with pytest.raises(FileUnreadable, match=sentence):
        read_file(written(TABLE), text_columns=("area code", named))
    assert read_file(written(TABLE), text_columns=("area code",)).ingested.rows == 3


CONTRACT = TableSchema(
    columns=(
        Column(name="n", type="BIGINT", title="N"),
        Column(name="area_code", type="VARCHAR", title="Area Code", place=True),
    )
)


def test_a_contract_orders_and_widens_the_columns_and_added_ones_follow(read_file) -> None:
    read = read_file(written(TABLE), contract=CONTRACT)
    assert read.ingested.schema.columns[:2] == CONTRACT.columns
    assert list(read.types) == ["n", "area_code", "amount", "at"]
    assert read.columns["n"] == [1, 2, None]


def test_another_type_or_a_missing_column_breaks_the_contract(read_file) -> None:
    with pytest.raises(ContractBroken) as caught:
        read_file(written(pa.table({"n": ["1"]})), contract=CONTRACT)
    assert caught.value.lines == (
        'The column "n" is VARCHAR; the contract says BIGINT.',
        'The column "area_code" (VARCHAR) is missing.',
    )
