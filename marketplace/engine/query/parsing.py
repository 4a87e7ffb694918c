"""Inside the parse worker, which holds no file: DuckDB reads the statement as it will read it later."""

from pathlib import Path

import duckdb
import msgspec

from marketplace.engine.frames import Output
from marketplace.engine.instance import lock, open_instance
from marketplace.engine.limits import Limits
from marketplace.engine.query.parse_messages import Parse, Parsed
from marketplace.errors import StatementRefused

_ONE_SELECT = "Send one SELECT statement."


class ParseWorker:
    """Turns a statement into the tree that the parent checks."""

    def __init__(self, limits: Limits, scratch: Path) -> None:
        self._instance = open_instance(limits, scratch)
        lock(self._instance, ())

    def perform(self, request: bytes, output: Output) -> msgspec.Struct:
        """Write the tree as JSON, as DuckDB serialises it. Raises StatementRefused."""
        sql = msgspec.msgpack.decode(request, type=Parse).sql
        try:
            statements = self._instance.extract_statements(sql)
            _check_kind(statements)
            row = self._instance.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
        except duckdb.Error as error:
            raise StatementRefused(
                f"DuckDB cannot read the statement. {error}",
                next_step="Correct it and send it again.",
            ) from None
        output.write(row[0].encode() if row else b"")
        return Parsed()

    def fit(self) -> bool:
        """Parsing changes nothing."""
        return True


def open_worker(limits: Limits, scratch: Path) -> ParseWorker:
    """A worker that is ready to parse."""
    return ParseWorker(limits, scratch)


def _check_kind(statements: list[duckdb.Statement]) -> None:
    if len(statements) != 1:
        raise StatementRefused(
            f"There are {len(statements)} statements where there must be one.",
            next_step=_ONE_SELECT,
        )
    kind = statements[0].type.name
    if kind in ("MULTI", "PIVOT"):
        raise StatementRefused(
            "A PIVOT that finds its own columns is several statements to the engine.",
            next_step="Name the values: SELECT * FROM (PIVOT t ON column IN ('a', 'b') USING sum(x)).",
        )
    if kind != "SELECT":
        raise StatementRefused(
            f"The statement is {kind.replace('_', ' ')}; only SELECT is served.",
            next_step=_ONE_SELECT,
        )
