"""What may be asked, in which words it is refused, and which tables a statement names."""

import json
from collections.abc import Iterator

import duckdb
import pytest

from marketplace.engine.query import functions
from marketplace.engine.query.workers import QueryWorkers
from marketplace.errors import StatementRefused

SHORT = ("liverpool", "temporary_accommodation")
FULL = ("liverpool", "temporary_accommodation", "households")


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT 1", set()),
        ("SELECT * FROM liverpool.temporary_accommodation;", {SHORT}),
        ('select * from Liverpool."Temporary_Accommodation" -- note', {SHORT}),
        ("FROM liverpool.temporary_accommodation.households", {FULL}),
        ("DESCRIBE liverpool.temporary_accommodation", {SHORT}),
        ("SUMMARIZE liverpool.temporary_accommodation.households", {FULL}),
        ("SELECT * FROM a.b JOIN c.d.e USING (x)", {("a", "b"), ("c", "d", "e")}),
        ("SELECT (SELECT max(x) FROM a.b) IN (SELECT y FROM c.d)", {("a", "b"), ("c", "d")}),
        ("WITH a AS (FROM b.c), d AS (FROM a) SELECT * FROM d", {("b", "c")}),
        ("WITH A AS (FROM b.c) SELECT * FROM a", {("b", "c")}),
        ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r WHERE n<3) FROM r", set()),
        ("SELECT x FROM a.b ORDER BY (SELECT count(*) FROM c.d)", {("a", "b"), ("c", "d")}),
        ("SELECT * FROM (PIVOT a.b ON c IN ('x') USING sum(d))", {("a", "b")}),
        ("SELECT sum(x) FILTER (WHERE y IN (FROM c.d)) OVER (ORDER BY z) FROM a.b", {("a", "b"), ("c", "d")}),
        ("SELECT * FROM range(3), unnest([1, 2]) u(v), generate_series(1, 2)", set()),
        ("SELECT list_transform([1], lambda x: x + 1), name.upper() FROM a.b", {("a", "b")}),
    ],
)  # fmt: skip
def test_the_tables_that_a_statement_reads_are_found_wherever_they_stand(
    workers: QueryWorkers, sql: str, tables: set[tuple[str, ...]]
) -> None:
    assert workers.parse(sql).tables == tables


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("", "0 statements"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("SELEC 1", "cannot read"),
        ("INSERT INTO a.b VALUES (1)", "INSERT"),
        ("WITH x AS (DELETE FROM a.b RETURNING *) FROM x", "DELETE"),
        ("WITH x AS (INSERT INTO a.b VALUES (1) RETURNING *) FROM x", "INSERT"),
        ("WITH x AS (COPY a.b TO 'x.csv') FROM x", ""),
        ("EXPLAIN SELECT 1", "EXPLAIN"),
        ("EXPLAIN ANALYZE SELECT 1", "EXPLAIN"),
        ("PIVOT a.b ON c USING sum(d)", "PIVOT"),
        ("SELECT * FROM (PIVOT a.b ON c USING sum(d))", ""),
        ("ATTACH ':memory:' AS x", "ATTACH"),
        ("SHOW TABLES", "SHOW"),
        ("SELECT * FROM (SHOW TABLES)", "SHOW"),
        ("FROM households", "'households' is not the address"),
        ("FROM 'x.parquet'", "not the address"),
        ("FROM a.b.c.d", "'a.b.c.d' is not the address"),
        ("FROM liverpool.main.temporary_accommodation", "not the address"),
        ("FROM main.duckdb_settings", "belongs to the engine"),
        ("FROM information_schema.views", "belongs to the engine"),
        ("FROM SYSTEM.main.sqlite_master", "belongs to the engine"),
        ("FROM duckdb_settings", "not the address"),
        # The name of a WITH clause does not reach outside it, nor into itself.
        ("FROM duckdb_logs, (WITH duckdb_logs AS (SELECT 1) FROM duckdb_logs)", "not the address"),
        ("WITH duckdb_logs AS (FROM duckdb_logs) FROM duckdb_logs", "not the address"),
        ("FROM a.b AT (VERSION => 1)", "AT another version"),
        ("SELECT current_setting('home_directory')", "tells about the engine"),
        ("SELECT main.current_setting('x')", "tells about the engine"),
        ("SELECT \"CURRENT_SETTING\"('x')", "tells about the engine"),
        ("SELECT 'x'.getenv()", "no function 'getenv'"),
        ("SELECT stats(x) FROM a.b", "tells about the engine"),
        ("FROM read_text('/etc/passwd')", "reads files"),
        ("FROM system.main.read_csv('x')", "reads files"),
        ("SELECT list_aggregate([1], 'sum_no_overflow')", "engine internals"),
        ("SELECT [1].list_aggr('sum_no_' || 'overflow')", "not named by a plain text"),
        ("SELECT aggregate(function_name := 'sum_no_overflow', list := [1])", "plain text"),
        ("SELECT array_aggregate([1])", "plain text"),
        ("SELECT list_aggregate([1], 'upper')", "it is no aggregate"),
        ("SELECT list_aggregate([1], 'no_such')", "no function"),
        ("FROM upper('x')", "it cannot stand in FROM"),
        ("SELECT query('SELECT 1')", "reads names or statements"),
        ("SELECT 1 ORDER BY nextval('s')", "changes state"),
        ("SELECT row_number() OVER (ORDER BY sleep_ms(5))", "only takes time"),
        ("SELECT '\0'", "NUL"),
        ("SELECT '\ud800'", "Unicode"),
        ("SELECT " + "(" * 201 + "1" + ")" * 201, "nested more than"),
        ("SELECT " + "- " * 30_000 + "1", ""),
        ("SELECT 1" + " + 1" * 15_000, ""),
        ("SELECT '" + "x" * 70_000 + "'", "bytes"),
    ],
)  # fmt: skip
def test_everything_else_is_refused_with_a_reason_and_a_next_step(
    workers: QueryWorkers, sql: str, reason: str
) -> None:
    with pytest.raises(StatementRefused) as refused:
        workers.parse(sql)

    assert reason in refused.value.detail
    assert refused.value.next_step


def test_the_parser_goes_on_after_a_statement_that_it_cannot_read(workers: QueryWorkers) -> None:
    with pytest.raises(StatementRefused):
        workers.parse("SELECT " + "- " * 30_000 + "1")

    assert workers.parse("SELECT 2").tables == frozenset()


def test_every_function_of_the_installed_duckdb_has_a_verdict() -> None:
    listed = functions.listed()

    assert {
        name: functions.Installed(line.kind, line.stability) for name, line in listed.items()
    } == functions.of_duckdb()
    assert {line.verdict for line in listed.values()} == {"value", "table", "refused"}
    assert [line.name for line in listed.values() if line.reason == "not reviewed"] == []
    assert all(line.reason for line in listed.values() if line.verdict == "refused")
    assert functions.tables() == {"range", "generate_series", "unnest", "json_each", "json_tree"}


def test_a_name_that_may_be_called_stands_for_harmless_kinds_only() -> None:
    kinds = {kind for name in functions.values() for kind in functions.listed()[name].kind.split()}

    # `histogram` and `version` are a table macro and a pragma too; neither can stand in FROM.
    assert kinds == {"scalar", "aggregate", "window", "macro", "table", "table_macro", "pragma"}
    assert {
        name
        for name in functions.values() - functions.tables()
        if functions.listed()[name].kind.split() != ["scalar"]
        and set(functions.listed()[name].kind.split()) & {"table", "table_macro", "pragma"}
    } == {"histogram", "version", "repeat"}


def test_a_macro_that_may_be_called_calls_what_may_be_called() -> None:
    """DuckDB puts a macro's own text in its place after the check, so it is checked here."""
    # `error` is raised for a NULL key alone, with a text of its own.
    harmless_there = {"json_group_object": {"error"}}
    with duckdb.connect() as connection:
        macros = connection.execute(
            "SELECT function_name, macro_definition FROM duckdb_functions() "
            "WHERE function_type = 'macro'"
        ).fetchall()
        for name, text in macros:
            if name in functions.values():
                row = connection.execute(
                    "SELECT json_serialize_sql(?)", [f"SELECT {text}"]
                ).fetchone()
                called = set(_called(json.loads(row[0] if row else "")))
                assert called - functions.values() <= harmless_there.get(name, set()), name
    assert len(macros) > 100


def _called(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if "function_name" in value:
            yield str(value["function_name"])
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _called(item)
