"""Tables without a row, by which the engine's own information_schema tells a caller what there is.

The instance holds nothing else, so what it shows is exactly what it was given, and it opens no file.
"""

import duckdb

from marketplace.engine.instance import identifier
from marketplace.engine.query.query_messages import TableOutline


def show_outlines(instance: duckdb.DuckDBPyConnection, tables: tuple[TableOutline, ...]) -> None:
    """One attached catalogue in memory per organisation, a schema per dataset, an empty table each."""
    for organisation in dict.fromkeys(table.organisation for table in tables):
        instance.execute(f"ATTACH ':memory:' AS {identifier(organisation)}")
    if tables:
        instance.execute("; ".join(map(_created, tables)))


def _created(table: TableOutline) -> str:
    schema = f"{identifier(table.organisation)}.{identifier(table.dataset)}"
    # A type is read as a type and written again, so that it cannot be more than one.
    columns = (f"{identifier(name)} {duckdb.sqltype(kind)}" for name, kind in table.columns)
    return (
        f"CREATE SCHEMA IF NOT EXISTS {schema}; "
        f"CREATE TABLE {schema}.{identifier(table.name)} ({', '.join(columns)})"
    )
