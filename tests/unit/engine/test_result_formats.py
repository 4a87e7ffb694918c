"""One result in five formats: what each writes for each type, and that none changes the statement."""

import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from marketplace.engine.query.query_messages import Compression, Encoding, OutputFormat
from marketplace.engine.query.workers import QueryWorkers
from marketplace.errors import QueryFailed


def result(
    workers: QueryWorkers,
    sql: str,
    output: OutputFormat,
    compression: Compression = Compression.NONE,
) -> bytes:
    workers.parse(sql)
    return b"".join(workers.run((), sql, Encoding(output, compression)))


def table(workers: QueryWorkers, sql: str) -> Any:
    return pa.ipc.open_stream(result(workers, sql, OutputFormat.ARROW)).read_all()


def values(workers: QueryWorkers, cells: str) -> list[Any]:
    document = json.loads(
        result(workers, f"SELECT {cells}", OutputFormat.JSON), parse_float=Decimal
    )
    row: list[Any] = document["rows"][0]
    return row


def line(workers: QueryWorkers, cells: str) -> str:
    return result(workers, f"SELECT {cells}", OutputFormat.CSV).decode().split("\n", 1)[1][:-1]


def test_every_format_gives_the_same_rows_in_the_same_order(workers: QueryWorkers) -> None:
    sql = (
        "SELECT i AS id, hash(i) % 1000 AS bucket, 'name ' || i AS name "
        "FROM range(200000) t(i) ORDER BY hash(i)"
    )
    arrow = table(workers, sql)

    in_parquet = parquet.read_table(io.BytesIO(result(workers, sql, OutputFormat.PARQUET)))
    in_csv = csv.read_csv(io.BytesIO(result(workers, sql, OutputFormat.CSV)))
    in_json = json.loads(result(workers, sql, OutputFormat.JSON))
    assert in_parquet.to_pylist() == arrow.to_pylist()
    assert in_csv.to_pylist() == arrow.to_pylist()
    assert [dict(zip(arrow.column_names, row, strict=True)) for row in in_json["rows"]] == (
        arrow.to_pylist()
    )
    in_lines = result(workers, sql, OutputFormat.JSON_LINES).decode().splitlines()
    assert list(map(json.loads, in_lines)) == arrow.to_pylist()


@pytest.mark.parametrize("compression", [Compression.LZ4, Compression.ZSTD])
def test_packed_arrow_is_smaller_and_read_by_any_arrow_reader(
    workers: QueryWorkers, compression: Compression
) -> None:
    sql = "SELECT i // 100 AS id, 'name ' || i // 100 AS name FROM range(200000) t(i)"
    packed = result(workers, sql, OutputFormat.ARROW, compression)

    assert pa.ipc.open_stream(packed).read_all() == table(workers, sql)
    assert len(packed) < len(result(workers, sql, OutputFormat.ARROW)) / 2


def test_only_arrow_has_buffers_to_pack() -> None:
    with pytest.raises(ValueError, match="csv"):
        Encoding(OutputFormat.CSV, Compression.ZSTD)


@pytest.mark.parametrize("output", sorted(set(OutputFormat) - {OutputFormat.JSON_LINES}))
def test_a_result_without_rows_has_its_columns(workers: QueryWorkers, output: OutputFormat) -> None:
    data = result(workers, "SELECT 1 AS a, 'x' AS b WHERE false", output)

    columns: dict[OutputFormat, Any] = {
        OutputFormat.ARROW: lambda: pa.ipc.open_stream(data).read_all().column_names,
        OutputFormat.PARQUET: lambda: parquet.read_table(io.BytesIO(data)).column_names,
        OutputFormat.CSV: lambda: data.decode().strip().replace('"', "").split(","),
        OutputFormat.JSON: lambda: [column["name"] for column in json.loads(data)["columns"]],
    }
    assert columns[output]() == ["a", "b"]


def test_json_lines_without_rows_are_no_lines(workers: QueryWorkers) -> None:
    assert result(workers, "SELECT 1 AS a WHERE false", OutputFormat.JSON_LINES) == b""


def test_json_lines_name_their_values_and_no_name_comes_twice(workers: QueryWorkers) -> None:
    sql = 'SELECT 1 AS a, 2 AS a, 3 AS a_1, \'nan\'::DOUBLE AS "it\'s", E\'x\\ny\' AS "q""u"'
    written = result(workers, sql, OutputFormat.JSON_LINES)

    assert written.count(b"\n") == 1
    assert json.loads(written) == {"a": 1, "a_2": 2, "a_1": 3, "it's": None, 'q"u': "x\ny"}


def test_arrow_batches_stay_small_enough_for_flight_clients(workers: QueryWorkers) -> None:
    sql = "SELECT repeat('x', 1000) || i AS text FROM range(65536) t(i)"
    batches: Iterator[Any] = iter(pa.ipc.open_stream(result(workers, sql, OutputFormat.ARROW)))

    assert max(batch.nbytes for batch in batches) <= 9 * 1024**2


def test_arrow_keeps_the_engines_types(workers: QueryWorkers) -> None:
    found = table(
        workers, "SELECT 1::BIGINT AS a, 1.50::DECIMAL(10,2) AS b, DATE '2026-11-22' AS c"
    )

    assert [str(kind) for kind in found.schema.types] == [
        "int64",
        "decimal128(10, 2)",
        "date32[day]",
    ]


@pytest.mark.parametrize("output", [OutputFormat.ARROW, OutputFormat.PARQUET])
def test_types_that_only_duckdb_knows_become_text(
    workers: QueryWorkers, output: OutputFormat
) -> None:
    sql = "SELECT '101'::BIT AS a, 12::BIGNUM AS b, {'k': 1}::VARIANT AS c"
    data = result(workers, sql, output)
    found = (
        pa.ipc.open_stream(data).read_all()
        if output is OutputFormat.ARROW
        else parquet.read_table(io.BytesIO(data))
    )

    assert found.to_pylist() == [{"a": "101", "b": "12", "c": '{"k":1}'}]


def test_json_names_columns_and_their_types(workers: QueryWorkers) -> None:
    sql = 'SELECT 1 AS a, 2.50::DECIMAL(5,2) AS a, NULL AS "q""uote"'
    document = json.loads(result(workers, sql, OutputFormat.JSON))

    assert document["columns"][:2] == [
        {"name": "a", "type": "INTEGER"},
        {"name": "a", "type": "DECIMAL(5,2)"},
    ]
    assert document["columns"][2]["name"] == 'q"uote'
    assert document["rows"] == [[1, 2.5, None]]


def test_json_writes_numbers_as_numbers_and_times_in_iso_8601(workers: QueryWorkers) -> None:
    cells = (
        "12345678901234567890.12::DECIMAL(38,2), sum(3), DATE '2026-11-22', "
        "TIMESTAMP '2026-11-22 10:00:00.5', TIMESTAMPTZ '2026-11-22 10:00:00+01', "
        "'\\x00\\xFF'::BLOB, {'k': [1, NULL]}, true"
    )

    assert values(workers, cells) == [
        Decimal("12345678901234567890.12"),
        3,
        "2026-11-22",
        "2026-11-22T10:00:00.5",
        "2026-11-22T09:00:00Z",
        "AP8=",
        {"k": [1, None]},
        True,
    ]


def test_json_has_no_word_for_what_is_not_a_number(workers: QueryWorkers) -> None:
    cells = "'nan'::DOUBLE, 'inf'::DOUBLE, [1.5, '-inf'::DOUBLE], 'NaN \"Infinity\"'"

    assert values(workers, cells) == [None, None, [Decimal("1.5"), None], 'NaN "Infinity"']


def test_json_escapes_what_text_may_hold(workers: QueryWorkers) -> None:
    text = 'quote " back \\ line \n tab \t é 🏛'
    assert values(workers, f"'{text}'") == [text]
    assert values(workers, "chr(0) || chr(31)") == ["\x00\x1f"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_disarms_text_that_a_spreadsheet_would_run(workers: QueryWorkers, start: str) -> None:
    sql = f"SELECT '{start}cmd' AS a, '{start}' AS \"{start}heading\", 'a{start}b' AS c, -1 AS d"
    [row] = csv.read_csv(
        io.BytesIO(result(workers, sql, OutputFormat.CSV)),
        parse_options=csv.ParseOptions(newlines_in_values=True),
    ).to_pylist()

    assert row == {"a": f"'{start}cmd", f"'{start}heading": f"'{start}", "c": f"a{start}b", "d": -1}


def test_csv_tells_an_empty_text_from_no_value(workers: QueryWorkers) -> None:
    assert line(workers, "'' AS a, NULL::VARCHAR AS b, 'say \"hi\"' AS c") == '"",,"say ""hi"""'


def test_csv_writes_times_in_iso_8601_and_nested_values_as_json(workers: QueryWorkers) -> None:
    cells = (
        "DATE '2026-11-22', TIMESTAMPTZ '2026-11-22 10:00:00+01', [1, 2], {'k': 'v'}, "
        "'infinity'::DATE, 1.50::DECIMAL(5,2), true"
    )

    assert line(workers, cells) == (
        '"2026-11-22","2026-11-22T09:00:00Z","[1,2]","{""k"":""v""}","infinity",1.50,true'
    )


def test_what_a_format_cannot_hold_is_refused_in_a_sentence(workers: QueryWorkers) -> None:
    with pytest.raises(QueryFailed) as failed:
        result(workers, "SELECT [INTERVAL 1 DAY] AS a", OutputFormat.PARQUET)
    assert failed.value.next_step


def test_every_format_reads_a_described_table(workers: QueryWorkers) -> None:
    found = table(workers, "DESCRIBE SELECT 1 AS a, DATE '2026-11-22' AS b")

    assert [(row["column_name"], row["column_type"]) for row in found.to_pylist()] == [
        ("a", "INTEGER"),
        ("b", "DATE"),
    ]
