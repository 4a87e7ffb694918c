"""What tables there are, told by an instance that was given their outlines and nothing else."""

from typing import Any

import pyarrow as pa
import pytest

from catalogue.address import TableAddress
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.engine.query.view_map import OutlinedTable, ViewMap
from marketplace.engine.query.workers import QueryWorkers
from marketplace.errors import QueryFailed, StatementRefused

ARROW = Encoding(OutputFormat.ARROW)
KNOWN: ViewMap = (
    OutlinedTable(
        TableAddress("mhclg", "homes", "homes"),
        (("area", "VARCHAR"), ("order", "DECIMAL(18,2)"), ("tags", 'STRUCT("a b" INTEGER)[]')),
    ),
    OutlinedTable(
        TableAddress("mhclg", "spending", "july"), (("paid", "TIMESTAMP WITH TIME ZONE"),)
    ),
    OutlinedTable(TableAddress("leeds", "homes", "stock"), (("n", "HUGEINT"),)),
)


def told(workers: QueryWorkers, sql: str, views: ViewMap = KNOWN) -> list[dict[str, Any]]:
    assert workers.parse(sql).of_catalogue
    data = b"".join(workers.run(views, sql, ARROW))
    rows: list[dict[str, Any]] = pa.ipc.open_stream(data).read_all().to_pylist()
    return rows


@pytest.mark.parametrize(
    "names",
    [
        "information_schema.tables",
        '"INFORMATION_SCHEMA"."TABLES"',
        '"information_schema"."tables" AS "t"',
        "(SELECT * FROM Information_Schema.Tables)",
    ],
)
def test_tables_are_listed_by_organisation_dataset_and_name(
    workers: QueryWorkers, names: str
) -> None:
    sql = f"SELECT table_catalog, table_schema, table_name, table_type FROM {names} ORDER BY ALL"

    assert [tuple(row.values()) for row in told(workers, sql)] == [
        ("leeds", "homes", "stock", "BASE TABLE"),
        ("mhclg", "homes", "homes", "BASE TABLE"),
        ("mhclg", "spending", "july", "BASE TABLE"),
    ]


def test_columns_have_their_order_and_types(workers: QueryWorkers) -> None:
    sql = (
        "SELECT table_name, column_name, ordinal_position, data_type FROM information_schema.columns"
        " ORDER BY 1, 3"
    )

    assert [tuple(row.values()) for row in told(workers, sql)] == [
        ("homes", "area", 1, "VARCHAR"),
        ("homes", "order", 2, "DECIMAL(18,2)"),
        ("homes", "tags", 3, 'STRUCT("a b" INTEGER)[]'),
        ("july", "paid", 1, "TIMESTAMP WITH TIME ZONE"),
        ("stock", "n", 1, "HUGEINT"),
    ]


def test_schemata_hold_datasets_and_the_engines_own(workers: QueryWorkers) -> None:
    sql = "SELECT catalog_name, schema_name FROM information_schema.schemata"
    found = {tuple(row.values()) for row in told(workers, sql)}

    assert {("mhclg", "homes"), ("mhclg", "spending"), ("leeds", "homes")} < found
    assert {catalogue for catalogue, _ in found} == {"mhclg", "leeds", "memory", "system", "temp"}


@pytest.mark.parametrize(
    "name", ["table_constraints", "key_column_usage", "referential_constraints"]
)
def test_keys_are_asked_for_by_tools_and_there_are_none(workers: QueryWorkers, name: str) -> None:
    assert told(workers, f"SELECT * FROM information_schema.{name}") == []


@pytest.mark.parametrize("sql", ["SHOW ALL TABLES", "DESCRIBE", "FROM (SHOW ALL TABLES)"])
def test_show_all_tables_lists_the_same(workers: QueryWorkers, sql: str) -> None:
    rows = told(workers, sql)

    assert [(row["database"], row["schema"], row["name"]) for row in rows] == [
        ("leeds", "homes", "stock"),
        ("mhclg", "homes", "homes"),
        ("mhclg", "spending", "july"),
    ]


def test_whoever_knows_of_nothing_is_told_nothing(workers: QueryWorkers) -> None:
    assert told(workers, "FROM information_schema.tables", ()) == []


def test_tools_join_and_filter_what_there_is(workers: QueryWorkers) -> None:
    sql = """
        WITH "c" AS (SELECT * FROM "information_schema"."columns" WHERE "table_catalog" = 'mhclg')
        SELECT "t"."table_name", count(*) AS "n" FROM "information_schema"."tables" "t"
        JOIN "c" USING ("table_catalog", "table_schema", "table_name") GROUP BY 1 ORDER BY 1
    """

    assert told(workers, sql) == [{"table_name": "homes", "n": 3}, {"table_name": "july", "n": 1}]


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("FROM information_schema.views", "belongs to the engine"),
        ("FROM information_schema.no_such", "belongs to the engine"),
        ("FROM system.information_schema.tables", "belongs to the engine"),
        ("FROM mhclg.information_schema.tables", "belongs to the engine"),
        ("FROM pg_catalog.pg_class", "belongs to the engine"),
        ("FROM information_schema.tables, mhclg.homes", "in two statements"),
        ("SELECT (SELECT count(*) FROM information_schema.tables) FROM mhclg.homes", "in two"),
        ("SHOW TABLES", "SHOW lists all tables"),
        ("SHOW DATABASES", "SHOW lists all tables"),
        ("SHOW SCHEMAS", "SHOW lists all tables"),
        ("SHOW TABLES FROM mhclg.homes", "SHOW lists all tables"),
        ("SHOW FUNCTIONS", "SHOW lists all tables"),
    ],
)  # fmt: skip
def test_nothing_else_of_the_engine_is_told_and_nothing_beside_data(
    workers: QueryWorkers, sql: str, sentence: str
) -> None:
    with pytest.raises(StatementRefused) as refused:
        workers.parse(sql)

    told_to_do = f"{refused.value.detail} {refused.value.next_step}"
    assert sentence in told_to_do
    assert "information_schema" in told_to_do


def test_a_name_of_a_with_clause_is_not_the_catalogue(workers: QueryWorkers) -> None:
    statement = workers.parse("WITH tables AS (FROM a.b) SELECT * FROM tables")

    assert (statement.of_catalogue, statement.tables) == (False, frozenset({("a", "b")}))


def test_a_type_that_is_more_than_a_type_is_not_run(workers: QueryWorkers) -> None:
    hostile = OutlinedTable(
        TableAddress("a", "b", "c"), (("d", "INTEGER); ATTACH ':memory:' AS e"),)
    )

    with pytest.raises(QueryFailed):
        workers.run((hostile,), "FROM information_schema.tables", ARROW)
