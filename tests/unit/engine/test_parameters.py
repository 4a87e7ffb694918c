"""Values are bound in their order and with their types, and a statement is described unrun."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.engine.query.view_map import BoundTable, ViewMap
from marketplace.engine.query.workers import QueryWorkers
from marketplace.errors import (
    QueryFailed,
    QueryTimedOut,
    QueryTooLarge,
    StatementRefused,
    WorkerLost,
)

ARROW = Encoding(OutputFormat.ARROW)
NOTHING: ViewMap = ()

WriteParquet = Callable[[str, str], Path]
Bind = Callable[..., BoundTable]


def stream_of(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def one_row(*values: Any) -> bytes:
    """Each value as the only one of its column; an Arrow array stands for itself."""
    arrays = [value if isinstance(value, pa.Array) else pa.array([value]) for value in values]
    return stream_of(pa.table(arrays, [str(number) for number in range(len(arrays))]))


def answer(workers: QueryWorkers, sql: str, *values: Any, views: ViewMap = NOTHING) -> pa.Table:
    workers.parse(sql)
    with workers.run(views, sql, ARROW, parameters=one_row(*values)) as stream:
        return pa.ipc.open_stream(b"".join(stream)).read_all()


def schema_of(workers: QueryWorkers, sql: str, views: ViewMap = NOTHING) -> pa.Schema:
    return pa.ipc.open_stream(workers.describe(views, sql).schema).schema


class TestOrder:
    @pytest.mark.parametrize(
        ("sql", "names"),
        [
            ("SELECT 1", ()),
            ("SELECT ?, ?", ("1", "2")),
            ("SELECT $2, $1, $2", ("1", "2")),
            ("SELECT $b, $a, $B", ("b", "a")),
            ("SELECT $x FROM a.b WHERE $w ORDER BY $o LIMIT $l OFFSET $k", tuple("xwolk")),
            ("WITH c AS (SELECT ? OFFSET ?) FROM c WHERE ? LIMIT ?", ("1", "2", "3", "4")),
        ],
    )
    def test_parameters_stand_in_the_order_of_their_numbers_or_of_their_places(
        self, workers: QueryWorkers, sql: str, names: tuple[str, ...]
    ) -> None:
        assert workers.parse(sql).parameters == names

    @pytest.mark.parametrize(
        ("sql", "row"),
        [
            ("SELECT ?, ? || '!'", (1, "x!")),
            ("SELECT $2 || '!', $1", ("x!", 1)),
            ("SELECT $first, $second || '!', $first", (1, "x!", 1)),
        ],
    )
    def test_values_are_bound_in_that_order(
        self, workers: QueryWorkers, sql: str, row: tuple[Any, ...]
    ) -> None:
        found = answer(workers, sql, 1, "x")

        assert tuple(column[0].as_py() for column in found.columns) == row

    @pytest.mark.parametrize("sql", ["SELECT $2", "SELECT $1, $3"])
    def test_numbers_leave_none_out(self, workers: QueryWorkers, sql: str) -> None:
        with pytest.raises(StatementRefused, match="leave one out"):
            workers.parse(sql)

    def test_there_are_not_more_than_a_thousand(self, workers: QueryWorkers) -> None:
        with pytest.raises(StatementRefused, match="1001 parameters"):
            workers.parse("SELECT " + ", ".join("?" * 1001))

    def test_numbers_and_names_do_not_mix(self, workers: QueryWorkers) -> None:
        with pytest.raises(StatementRefused, match="Mixing"):
            workers.parse("SELECT ?, $a")


class TestValues:
    @pytest.mark.parametrize(
        "value",
        [
            pa.array([True]),
            pa.array([-5], pa.int8()),
            pa.array([2**64 - 1], pa.uint64()),
            pa.array([1.1], pa.float32()),
            pa.array([Decimal("1.50")], pa.decimal128(9, 3)),
            pa.array(["Robert'); DROP TABLE students; -- \0 é"]),
            pa.array([b"\x00\xff\\x41'"]),
            pa.array([date(9999, 12, 31)]),
            pa.array([time(23, 59, 59, 999999)]),
            pa.array([1577836800123456], pa.timestamp("us")),
            pa.array([1577836800123456789], pa.timestamp("ns")),
            pa.array([datetime(2026, 1, 2, 3, tzinfo=UTC)], pa.timestamp("us", "UTC")),
            pa.array([["a, b", "'", '"', None, "NULL", "[1]", "\\n\n", " y ", ""]]),
            pa.array([[{"a b": "x, 'y': {z}", "n": 1}]]),
        ],
        ids=lambda value: str(value.type),
    )
    def test_a_value_comes_back_as_it_was_sent_with_its_type(
        self, workers: QueryWorkers, value: pa.Array
    ) -> None:
        found = answer(workers, "SELECT ? AS value", value)["value"]

        assert found.type == value.type
        assert found.equals(pa.chunked_array([value]))

    def test_a_duration_is_an_interval(self, workers: QueryWorkers) -> None:
        sql = "SELECT (DATE '2026-01-01' + ?)::DATE AS d"

        assert answer(workers, sql, timedelta(days=1))["d"].to_pylist() == [date(2026, 1, 2)]

    def test_no_value_is_null(self, workers: QueryWorkers) -> None:
        found = answer(workers, "SELECT ? IS NULL AS a, ?::INT AS b", None, pa.array([None]))

        assert found.to_pylist() == [{"a": True, "b": None}]

    def test_values_choose_rows_limits_and_the_members_of_a_list(
        self, workers: QueryWorkers, write_parquet: WriteParquet, bound: Bind
    ) -> None:
        views = (bound("a.b", write_parquet("a.parquet", "SELECT i FROM range(10) t(i)")),)
        sql = "SELECT i FROM a.b WHERE i > ? AND i = ANY(?) ORDER BY i LIMIT ?"

        found = answer(workers, sql, 3, pa.array([[1, 5, 7, 9]]), 2, views=views)
        assert found["i"].to_pylist() == [5, 7]

    @pytest.mark.parametrize("output", list(OutputFormat))
    def test_every_format_takes_them(self, workers: QueryWorkers, output: OutputFormat) -> None:
        stream = workers.run(
            NOTHING,
            "SELECT ?::DATE AS d; -- a;b",
            Encoding(output),
            parameters=one_row("2026-01-02"),
        )

        assert b"".join(stream)

    def test_a_value_is_never_read_as_sql(self, workers: QueryWorkers) -> None:
        found = answer(workers, "SELECT ? AS text", "1; SELECT getvariable('x') --")

        assert found["text"].to_pylist() == ["1; SELECT getvariable('x') --"]


class TestHostileValues:
    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            (one_row(), "2 parameters, and 0 values"),
            (one_row(1), "2 parameters, and 1 value came"),
            (one_row(1, 2, 3), "2 parameters, and 3 values"),
            (stream_of(pa.table({"a": [1, 2], "b": [1, 2]})), "2 rows of values"),
            (stream_of(pa.table({"a": pa.array([], "i4"), "b": pa.array([], "i4")})), "0 rows"),
            (b"", "cannot be read"),
            (b"ARROW1\0\0 no stream", "cannot be read"),
            (one_row(1, "x")[:-40], "cannot be read"),
            (one_row(1, pa.array([1.5], pa.float16())), "cannot be bound"),
            (one_row(1, pa.array([None], pa.decimal256(60, 3))), "cannot be bound"),
        ],
    )  # fmt: skip
    def test_anything_but_one_row_of_as_many_values_is_refused(
        self, workers: QueryWorkers, values: bytes, sentence: str
    ) -> None:
        with pytest.raises(QueryFailed, match=sentence) as failed:
            workers.run(NOTHING, "SELECT ?, ?", ARROW, parameters=values)

        assert "one row of Arrow values" in failed.value.next_step
        assert answer(workers, "SELECT ? AS a", 1).to_pylist() == [{"a": 1}]

    def test_values_for_a_statement_without_parameters_are_refused(
        self, workers: QueryWorkers
    ) -> None:
        with pytest.raises(QueryFailed, match="0 parameters, and 1 value"):
            answer(workers, "SELECT 1", 5)

    def test_a_value_of_the_wrong_type_is_an_error_of_the_statement(
        self, workers: QueryWorkers
    ) -> None:
        with pytest.raises(QueryFailed, match="'x'"):
            answer(workers, "SELECT ?::INT", "x")

    def test_a_parameter_without_a_value_is_an_error_of_the_statement(
        self, workers: QueryWorkers
    ) -> None:
        with pytest.raises(QueryFailed, match="parameters"):
            workers.run(NOTHING, "SELECT ?", ARROW)

    def test_more_bytes_than_a_statement_may_have_are_not_even_handed_on(
        self, workers: QueryWorkers
    ) -> None:
        with pytest.raises(StatementRefused, match="at most 65536"):
            answer(workers, "SELECT ?", "x" * 65_536)

    def test_offsets_that_point_outside_their_buffer_are_found(self, workers: QueryWorkers) -> None:
        honest = one_row("a text that is easily found")
        place = honest.index(b"a text that") - 8
        assert honest[place : place + 8] == (0).to_bytes(4, "little") + (27).to_bytes(4, "little")
        hostile = honest[: place + 4] + (2**30).to_bytes(4, "little") + honest[place + 8 :]

        with pytest.raises(QueryFailed, match="cannot be read"):
            workers.run(NOTHING, "SELECT ?", ARROW, parameters=hostile)

    def test_bytes_turned_at_random_end_in_an_answer_or_a_typed_error(
        self, workers: QueryWorkers
    ) -> None:
        honest = one_row(7, "text", pa.array([[1, 2, 3]]), pa.array(["x"]).dictionary_encode())
        for place in range(0, len(honest), 29):
            turned = bytearray(honest)
            turned[place] ^= 0xFF
            try:
                stream = workers.run(
                    NOTHING, "SELECT ?, ?, ?, ?", ARROW, parameters=bytes(turned), deadline=5.0
                )
                list(stream)
            except (QueryFailed, QueryTooLarge, QueryTimedOut, WorkerLost):
                pass

        assert answer(workers, "SELECT ? AS a", 1).to_pylist() == [{"a": 1}]


class TestDescribing:
    def test_the_described_schema_is_the_one_of_the_result_for_every_type(
        self, workers: QueryWorkers, write_parquet: WriteParquet, bound: Bind
    ) -> None:
        with duckdb.connect() as connection:
            kinds = connection.sql("FROM test_all_types()").types
            names = connection.sql("FROM test_all_types()").columns
        columns = [f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in zip(names, kinds, strict=True)]  # fmt: skip
        others = [
            "1 AS same", "2 AS same", "'x' AS \"a \"\"quoted\"\" name\"", "NULL AS nothing",
            "{'a b': 1, 'c\"d': [DATE '2026-01-01']} AS s", "MAP {'k': 1.5::DECIMAL(5,2)} AS m",
        ]  # fmt: skip
        sql = f"SELECT {', '.join(columns + others)}"

        run = b"".join(workers.run(NOTHING, sql, ARROW))
        assert schema_of(workers, sql) == pa.ipc.open_stream(run).schema

    @pytest.mark.parametrize(
        ("sql", "fields"),
        [
            ("SELECT ?::DATE AS d, i + ? AS n FROM a.b WHERE i > ? LIMIT ?", ["d: date32", "n: int64"]),
            ("DESCRIBE a.b", ["column_name: string", "column_type: string"]),
            ("SELECT * FROM a.b;", ["i: int64"]),
            ("SELECT $x AS x", ["x: null"]),
        ],
    )  # fmt: skip
    def test_parameters_without_values_are_taken_as_null(
        self,
        workers: QueryWorkers,
        write_parquet: WriteParquet,
        bound: Bind,
        sql: str,
        fields: list[str],
    ) -> None:
        views = (bound("a.b", write_parquet("a.parquet", "SELECT i FROM range(10) t(i)")),)

        described = workers.describe(views, sql)
        schema = pa.ipc.open_stream(described.schema).schema
        assert [f"{field.name}: {field.type}".removesuffix("[day]") for field in schema][: len(fields)] == fields  # fmt: skip
        assert described.parameters == len(workers.parse(sql).parameters)

    def test_values_decide_types_where_there_are_some(self, workers: QueryWorkers) -> None:
        described = workers.describe(NOTHING, "SELECT ? AS x", one_row(1.5))

        assert pa.ipc.open_stream(described.schema).schema.types == [pa.float64()]

    @pytest.mark.parametrize(
        "sql",
        [
            "SELECT count(*) FROM range(100000000000) a, range(1000) b",
            "SELECT levenshtein(repeat('a', 300000), repeat('b', 300000))",
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r) SELECT count(*) FROM r",
        ],
    )
    def test_nothing_of_the_statement_is_run(self, workers: QueryWorkers, sql: str) -> None:
        assert workers.describe(NOTHING, sql, deadline=5.0).parameters == 0

    def test_what_cannot_be_bound_is_refused(self, workers: QueryWorkers) -> None:
        with pytest.raises(QueryFailed, match="missing"):
            workers.describe(NOTHING, "SELECT missing")
        with pytest.raises(QueryFailed, match="explicit type casts"):
            workers.describe(NOTHING, "SELECT ? + INTERVAL 1 DAY")
        assert workers.describe(NOTHING, "SELECT ?::DATE + INTERVAL 1 DAY").parameters == 1
