"""The one statement that rules are read by: every combination of values is sought in an index.

It is text, written once for so many values, because composing a statement takes longer than running
this one. And it is written so that no planner can do otherwise, whatever its statistics say: after
ANALYZE both databases would rather seek by the dataset alone, and walk through all the rules of a
popular one.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, CursorResult, TextClause, text

from access_policies.records import rules as table

_ALL = ", ".join(f'{table.name}."{column.name}"' for column in table.c)

Lengths = tuple[tuple[str, int], ...]


def read(connection: Connection, wanted: Mapping[str, tuple[str, ...]]) -> CursorResult[Any]:
    """The rows of rules that have one of the values wanted in each column, with all columns."""
    given = {
        f"{column}_{number}": value
        for column, values in wanted.items()
        for number, value in enumerate(values)
    }
    lengths = tuple((column, len(values)) for column, values in wanted.items())
    return connection.execute(statement(lengths, connection.dialect.name), given)


@lru_cache(maxsize=256)
def statement(lengths: Lengths, dialect: str) -> TextClause:
    """Reads the rows that have one of so many values in each of the columns."""
    return text(_joined(lengths) if dialect == "sqlite" else _listed(lengths))


def _joined(lengths: Lengths) -> str:
    """SQLite does not reorder a CROSS JOIN, so the rules are sought last, by every column."""
    lists = ", ".join(
        f"{column}_list (wanted) AS (VALUES {_marks(column, length, '({})')})"
        for column, length in lengths
    )
    sources = " CROSS JOIN ".join([*(f"{column}_list" for column, _ in lengths), table.name])
    matching = " AND ".join(
        f"{table.name}.{column} = {column}_list.wanted" for column, _ in lengths
    )
    return f"WITH {lists} SELECT {_ALL} FROM {sources} WHERE {matching}"  # noqa: S608 - all names are ours


def _listed(lengths: Lengths) -> str:
    """PostgreSQL uses every list of an index's columns, and seeks each combination by itself."""
    matching = " AND ".join(
        f"{table.name}.{column} IN ({_marks(column, length, '{}')})" for column, length in lengths
    )
    return f"SELECT {_ALL} FROM {table.name} WHERE {matching}"  # noqa: S608 - all names are ours


def _marks(column: str, length: int, form: str) -> str:
    return ", ".join(form.format(f":{column}_{number}") for number in range(length))
