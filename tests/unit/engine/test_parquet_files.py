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

from catalogue.errors import ContractBroken
from catalogue.table_schema import Column, TableSchema
from marketplace.engine import parquet_file
from marketplace.engine.ingest_job import IngestOptions
from marketplace.engine.limits import Limits
from marketplace.engine.read_table import read_table
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
