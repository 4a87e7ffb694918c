"""Inside the query worker: a caller's values, sent as Arrow, made into what DuckDB binds.

The bytes come from a stranger, and Arrow's reader is not built to be safe against one: they are
decoded here, in a process that holds nothing but that stranger's own tables, and nowhere else.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import duckdb
import pyarrow as pa
from pyarrow import ipc

from marketplace.engine.engine_errors import ENGINE_ERRORS
from marketplace.errors import QueryFailed

QUERY_ERRORS = (*ENGINE_ERRORS, pa.ArrowException)
"""What a query can raise: Arrow passes DuckDB's errors on as OSError, with DuckDB's text."""

_HOW_TO_SEND = "Send one row of Arrow values, one column for each parameter, in their order."

Values = Mapping[str, duckdb.Value | None]


def unbound(names: tuple[str, ...]) -> Values:
    """Every parameter without a value, which is enough to learn the types of a result."""
    return dict.fromkeys(names)


def read_values(cursor: duckdb.DuckDBPyConnection, names: tuple[str, ...], stream: bytes) -> Values:
    """The values of the parameters called `names`, from an Arrow IPC stream of one row.

    Raises QueryFailed, which repeats none of the values.
    """
    with _told_as("The values cannot be read as an Arrow IPC stream."):
        table = _decode(stream)
    if table.num_columns != len(names):
        raise _refused(
            f"The statement has {_counted(len(names), 'parameter')}, and "
            f"{_counted(table.num_columns, 'value')} came."
        )
    if names and table.num_rows != 1:
        raise _refused(f"There are {table.num_rows} rows of values where there must be one.")
    numbered = table.rename_columns([str(place) for place in range(len(names))])
    with _told_as("The values have types that cannot be bound."):
        return dict(zip(names, _values(cursor, numbered), strict=True))


def _decode(stream: bytes) -> pa.Table:
    with ipc.open_stream(pa.py_buffer(stream)) as reader:
        table = reader.read_all()
    table.validate(full=True)
    return table


def _values(cursor: duckdb.DuckDBPyConnection, table: pa.Table) -> list[duckdb.Value | None]:
    """Each by its type and its text: DuckDB reads its own texts back exactly, while Python's
    types lack nanoseconds and widths, and would need libraries that this process cannot open."""
    if not table.num_columns:
        return []
    row = cursor.from_arrow(table)
    [texts] = row.project("CAST(COLUMNS(*) AS VARCHAR)").fetchall()
    return [
        None if text is None else duckdb.Value(text, kind)
        for text, kind in zip(texts, row.types, strict=True)
    ]


@contextmanager
def _told_as(sentence: str) -> Iterator[None]:
    try:
        yield
    except QUERY_ERRORS:
        raise _refused(sentence) from None


def _refused(sentence: str) -> QueryFailed:
    return QueryFailed(sentence, next_step=_HOW_TO_SEND)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
