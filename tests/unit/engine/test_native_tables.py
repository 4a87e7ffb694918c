"""A small table that is read often is copied into the worker's instance, and nobody can tell."""

import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import duckdb
import msgspec
import pyarrow as pa
import pytest

from catalogue.errors import Problem
from marketplace.engine.frames import FrameKind, Output, read_frame
from marketplace.engine.limits import Limits
from marketplace.engine.query.query_messages import (
    Bind,
    Encoding,
    OutputFormat,
    Run,
    TableFiles,
)
from marketplace.engine.query.querying import QueryWorker, _fingerprint

WriteParquet = Callable[[str, str], Path]

EVERY_TYPE = """
    SELECT n AS id,
           CAST(n % 100 AS TINYINT) AS tiny, CAST(n AS UINTEGER) AS unsigned,
           CAST(n * 1000000007 AS BIGINT) AS large, n % 2 = 0 AS even,
           CAST(n / 7 AS DECIMAL(9, 3)) AS small_decimal,
           CAST(n / 7 AS DECIMAL(38, 10)) AS large_decimal,
           CASE n % 5 WHEN 0 THEN 'nan' WHEN 1 THEN '-0' WHEN 2 THEN 'inf' ELSE '0.1' END::DOUBLE AS ratio,
           CAST(n / 3 AS FLOAT) AS single,
           CASE WHEN n % 3 > 0 THEN 'ward ' || n % 7 END AS ward, chr(233) || n AS accented, '' AS blank,
           CAST(NULL AS VARCHAR) AS nothing, encode('b' || n) AS bytes,
           DATE '1890-01-01' + CAST(n AS INTEGER) AS day, TIME '09:00:00.000001' AS at,
           TIMESTAMP '2024-01-01' + to_microseconds(n) AS moment,
           TIMESTAMPTZ '2024-03-31 01:00:00+00' + to_hours(n) AS instant,
           CAST('2024-01-01 00:00:00.123456789' AS TIMESTAMP_NS) AS nanosecond,
           CAST(md5(CAST(n AS VARCHAR)) AS UUID) AS key
    FROM range(6000) t(n)
"""

STATEMENTS = [
    "FROM hr.people",
    "FROM hr.people.staff",
    "SELECT id FROM hr.people LIMIT 10",
    "SELECT id FROM hr.people LIMIT 3 OFFSET 4000",
    "SELECT COLUMNS('.*a.*') FROM hr.people WHERE id = 4711",
    "SELECT * FROM hr.people WHERE day BETWEEN DATE '1899-12-30' AND DATE '1900-03-02'",
    "SELECT ward, count(*), sum(small_decimal), min(moment), max(key) FROM hr.people GROUP BY ALL ORDER BY ALL",
    "SELECT ratio, count(*) FROM hr.people GROUP BY ALL ORDER BY ALL",
    "SELECT 1 / ratio FROM hr.people WHERE ratio = 0 LIMIT 1",
    "SELECT count(DISTINCT ward), approx_count_distinct(large) FROM hr.people",
    "SELECT id, lag(ward) OVER (ORDER BY id), row_number() OVER () FROM hr.people",
    "SELECT p.id, q.ward FROM hr.people p JOIN hr.people.staff q ON p.id = q.id + 1 ORDER BY 1",
    "SELECT typeof(COLUMNS(*)) FROM hr.people LIMIT 1",
    "DESCRIBE hr.people",
    "SUMMARIZE SELECT * EXCLUDE (nothing) FROM hr.people",
    "SELECT * FROM hr.people WHERE ward = 'no such'",
    "SELECT string_agg(ward ORDER BY id) FROM hr.people",
    "SELECT id FROM hr.people USING SAMPLE 10% (bernoulli, 42)",
]

FAILING = [
    "SELECT absent FROM hr.people",
    "SELECT CAST(accented AS INTEGER) FROM hr.people",
    "SELECT rowid FROM hr.people",
    "SELECT file_row_number FROM hr.people",
    "SELECT filename FROM hr.people.staff",
    "SELECT staff.rowid FROM hr.people.staff",
    "SELECT error(ward) FROM hr.people WHERE id = 7",
]


class Worker:
    """A query worker in this process, unconfined, so that a test can look inside."""

    def __init__(self, scratch: Path, *tables: TableFiles, memory: int = 700 * 1024**2) -> None:
        scratch.mkdir()
        self.inside = QueryWorker(Limits(memory=memory), scratch)
        self.inside.perform(msgspec.msgpack.encode(Bind(tables)), Output(-1))

    @property
    def instance(self) -> duckdb.DuckDBPyConnection:
        assert self.inside._instance is not None
        return self.inside._instance

    @property
    def copied(self) -> list[str]:
        """The tables that are copies."""
        found = self.instance.execute("SELECT table_name FROM duckdb_tables() ORDER BY ALL")
        return [row[0] for row in found.fetchall()]

    def answer(self, sql: str) -> pa.Table | str:
        """The whole result, or the sentence of the error."""
        request = Run(sql, Encoding(OutputFormat.ARROW))
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as source:
            received: list[bytes] = []

            def receive() -> None:
                while (frame := read_frame(source)) is not None:
                    if frame.kind is FrameKind.DATA:
                        received.append(frame.payload)

            reader = Thread(target=receive)
            reader.start()
            try:
                output = Output(writing)
                self.inside.perform(msgspec.msgpack.encode(request), output)
                output.flush()
            except Problem as problem:
                return problem.detail
            finally:
                os.close(writing)
                reader.join()
        return pa.ipc.open_stream(b"".join(received)).read_all()

    def warm(self, statements: int = 8) -> None:
        """Read the tables until what is small is copied."""
        for _ in range(statements):
            self.answer("SELECT count(*) FROM hr.people")
            assert self.inside.fit()


def values(answer: pa.Table | str) -> str:
    """Every value in order, NaN and minus nought told apart."""
    assert isinstance(answer, pa.Table), answer
    return repr(answer.to_pylist())


def schema(answer: pa.Table | str) -> str:
    """Every column with its type, nullability and metadata."""
    assert isinstance(answer, pa.Table), answer
    return str(answer.schema.to_string(show_field_metadata=True)) + str(answer.schema.metadata)


@pytest.fixture
def staff(write_parquet: WriteParquet) -> TableFiles:
    return TableFiles("hr", "people", "staff", True, (str(write_parquet("a.parquet", EVERY_TYPE)),))


@pytest.fixture
def worker(tmp_path: Path, staff: TableFiles) -> Worker:
    return Worker(tmp_path / "scratch", staff)


def test_a_small_table_is_copied_after_the_second_statement(
    tmp_path: Path, write_parquet: WriteParquet
) -> None:
    path = write_parquet("small.parquet", "SELECT 1 AS id")
    worker = Worker(tmp_path / "scratch", TableFiles("hr", "people", "staff", True, (str(path),)))
    worker.warm(1)
    assert worker.copied == []
    worker.warm(1)
    assert worker.copied == ["hr.people.staff"]


def test_every_statement_gives_the_same_answer_on_the_copy(
    tmp_path: Path, staff: TableFiles
) -> None:
    worker = Worker(tmp_path / "scratch", staff)
    before = {sql: worker.answer(sql) for sql in STATEMENTS}
    assert worker.copied == []
    worker.warm()
    assert worker.copied
    for sql, expected in before.items():
        found = worker.answer(sql)
        assert values(found) == values(expected), sql
        assert schema(found) == schema(expected), sql


@pytest.mark.parametrize("sql", FAILING)
def test_what_fails_fails_with_the_same_words_on_the_copy(worker: Worker, sql: str) -> None:
    before = worker.answer(sql)
    worker.warm()
    assert isinstance(before, str)
    assert worker.answer(sql) == before


WRITING = [
    "INSERT INTO {copy} FROM {copy}",
    "UPDATE {copy} SET ward = 'mine'",
    "DELETE FROM {copy}",
    "DROP TABLE {copy}",
    "ALTER TABLE {copy} ADD COLUMN mine INTEGER",
    'CREATE TABLE "native tables".main.mine AS SELECT 1 AS id',
    "CREATE OR REPLACE VIEW hr.people.staff AS SELECT 1 AS id",
]


@pytest.mark.parametrize("sql", WRITING)
def test_no_statement_changes_the_copy_even_past_the_check(worker: Worker, sql: str) -> None:
    worker.warm()
    before = worker.answer("FROM hr.people")
    assert isinstance(worker.answer(sql.format(copy='"native tables".main."hr.people.staff"')), str)
    assert worker.inside.fit()
    assert values(worker.answer("FROM hr.people")) == values(before)


def test_a_worker_whose_copy_was_changed_by_whatever_means_is_not_fit(worker: Worker) -> None:
    worker.warm()
    worker.instance.execute('INSERT INTO "native tables".main."hr.people.staff" FROM hr.people')
    assert not worker.inside.fit()


def test_a_worker_whose_view_reads_something_else_is_not_fit(worker: Worker) -> None:
    worker.warm()
    worker.instance.execute("CREATE OR REPLACE VIEW hr.people.staff AS SELECT 1 AS id")
    assert not worker.inside.fit()


def test_a_larger_table_is_copied_when_more_statements_have_read_it(
    tmp_path: Path, staff: TableFiles, write_parquet: WriteParquet
) -> None:
    assert Path(staff.files[0]).stat().st_size > 256 * 1024
    small = TableFiles("hr", "one", "one", True, (str(write_parquet("1.parquet", "SELECT 1")),))
    worker = Worker(tmp_path / "scratch", staff, small)
    worker.warm(2)
    assert worker.copied == ["hr.one.one"]
    worker.warm()
    assert worker.copied == ["hr.one.one", "hr.people.staff"]


def test_a_small_file_that_is_large_in_memory_is_not_copied(
    tmp_path: Path, write_parquet: WriteParquet
) -> None:
    rows = "SELECT repeat('x', 20000) AS text FROM range(10000)"
    path = write_parquet("swelling.parquet", rows)
    assert path.stat().st_size < 100_000
    worker = Worker(tmp_path / "scratch", TableFiles("hr", "people", "staff", True, (str(path),)))
    worker.warm()
    assert worker.copied == []
    assert isinstance(worker.answer("SELECT max(length(text)) FROM hr.people"), pa.Table)


def test_nested_values_whose_size_cannot_be_told_are_not_copied(
    tmp_path: Path, write_parquet: WriteParquet
) -> None:
    path = write_parquet("nested.parquet", "SELECT [1, 2] AS list, {'a': 'b'} AS struct")
    worker = Worker(tmp_path / "scratch", TableFiles("hr", "people", "staff", True, (str(path),)))
    worker.warm()
    assert worker.copied == []


def test_a_copy_that_fails_leaves_the_table_on_its_files(tmp_path: Path, staff: TableFiles) -> None:
    worker = Worker(tmp_path / "scratch", staff)
    expected = worker.answer("FROM hr.people")
    worker.instance.execute("ATTACH ':memory:' AS \"native tables\"")
    worker.instance.execute('CREATE VIEW "native tables".main."hr.people.staff" AS SELECT 1')
    worker.inside._shows = _fingerprint(worker.instance)
    worker.warm()
    assert worker.copied == []
    assert values(worker.answer("FROM hr.people")) == values(expected)


def test_a_table_of_several_files_is_one_copy_in_their_order(
    tmp_path: Path, write_parquet: WriteParquet
) -> None:
    parts = [f"SELECT n AS id FROM range({10 * n}, {10 * n + 10}) t(n)" for n in (1, 0, 2)]
    files = tuple(str(write_parquet(f"{n}.parquet", part)) for n, part in enumerate(parts))
    worker = Worker(tmp_path / "scratch", TableFiles("hr", "people", "staff", False, files))
    before = worker.answer("FROM hr.people.staff")
    for _ in range(2):
        worker.answer("FROM hr.people.staff")
        assert worker.inside.fit()
    assert worker.copied == ["hr.people.staff"]
    assert values(worker.answer("FROM hr.people.staff")) == values(before)


CHANGING = [
    "CREATE OR REPLACE VIEW hr.people.staff AS FROM hr.people.staff",
    "CREATE OR REPLACE VIEW hr.people.staff AS SELECT 1 AS id",
    "ALTER VIEW hr.people.staff RENAME TO others",
    "CREATE VIEW hr.people.mine AS SELECT 1 AS id",
    "DROP VIEW hr.people.staff",
    "CREATE TABLE hr.people.mine (id INTEGER)",
    "ATTACH ':memory:' AS mine",
    "DETACH hr",
    'ALTER TABLE "native tables".main."hr.people.staff" RENAME COLUMN ward TO mine',
    'ALTER TABLE "native tables".main."hr.people.staff" RENAME TO mine',
    'ALTER TABLE "native tables".main."hr.people.staff" ALTER COLUMN id TYPE VARCHAR',
]


@pytest.mark.parametrize("sql", CHANGING)
def test_a_worker_that_shows_anything_else_is_not_fit(worker: Worker, sql: str) -> None:
    worker.warm()
    assert worker.inside.fit()
    worker.instance.execute(sql)
    assert not worker.inside.fit()
