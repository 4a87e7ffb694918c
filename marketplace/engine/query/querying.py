"""Inside a query worker: bind once to the tables of one view map, then run statements over them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import msgspec

from marketplace.engine.engine_errors import is_fatal, told
from marketplace.engine.frames import Output
from marketplace.engine.instance import lock, open_instance
from marketplace.engine.limits import Limits
from marketplace.engine.query.encode import encode, write_schema
from marketplace.engine.query.native_tables import NativeTables
from marketplace.engine.query.outlines import show_outlines
from marketplace.engine.query.parameters import QUERY_ERRORS, Values, read_values, unbound
from marketplace.engine.query.query_messages import (
    Bind,
    Bound,
    Describe,
    Ended,
    Parameters,
    Run,
)

# What an instance shows. A read-only transaction keeps statements from changing tables and views;
# attaching and detaching it does not stop. A view that is replaced gets another number, and only its
# name can change under the same one; the text of views, which says no more, took half of the time.
# It is looked at after every statement, and prepared because planning it took half of its time.
_FINGERPRINT = """
    PREPARE fingerprint AS
    SELECT database_oid, database_name, '', '' FROM duckdb_databases()
    UNION ALL
    SELECT database_oid, schema_name, view_name, view_oid FROM duckdb_views() WHERE NOT internal
    UNION ALL
    SELECT database_oid, schema_name, table_name, concat_ws(' ', table_oid, sql, estimated_size)
    FROM duckdb_tables()
"""


_BEGIN = "BEGIN TRANSACTION READ ONLY"

# DuckDB stops its threads where so much of a result waits to be written, and lets them go on only when
# there is room: with its own ten mebibytes a large result took twice as long. Where all files are
# smaller than those the setting would cost more than it saves.
_BEGIN_LARGE = f"{_BEGIN}; SET streaming_buffer_size = '64MiB'"
_LARGE = 10 * 1024**2


class QueryWorker:
    """One instance for life; a fresh cursor for each statement."""

    def __init__(self, limits: Limits, scratch: Path) -> None:
        self._limits = limits
        self._scratch = scratch
        self._instance: duckdb.DuckDBPyConnection | None = None
        self._tables: NativeTables | None = None
        self._hidden: dict[str, str] = {}
        self._shows: list[tuple[object, ...]] = []
        self._running: duckdb.DuckDBPyConnection | None = None
        self._begin = _BEGIN
        self._broken = False

    def perform(self, request: bytes, output: Output) -> msgspec.Struct:
        """Bind, once and first; then run and describe."""
        message = msgspec.msgpack.decode(request, type=Bind | Run | Describe)
        if isinstance(message, Bind):
            return self._bind(message)
        if isinstance(message, Describe):
            return self._describe(message, output)
        return self._run(message, output)

    def interrupt(self) -> None:
        """Let the statement that runs fail soon."""
        if (running := self._running) is not None:
            with suppress(duckdb.Error):  # closed meanwhile
                running.interrupt()

    def fit(self) -> bool:
        """False once the instance is broken or shows anything but what it was bound to.

        Where it is fit, tables that are read often are copied before the next request.
        """
        if self._broken or self._instance is None or self._tables is None:
            return False
        try:
            if _fingerprint(self._instance) != self._shows:
                return False
            if self._tables.copy_worth():
                self._shows = _fingerprint(self._instance)
        except duckdb.Error:
            return False
        return True

    def _bind(self, message: Bind) -> Bound:
        self._hidden = {
            path: f"{table.organisation}.{table.dataset}.{table.name}"
            for table in message.tables
            for path in table.files
        } | {str(self._scratch): "the scratch folder"}
        if (
            sum(Path(path).stat().st_size for table in message.tables for path in table.files)
            > _LARGE
        ):
            self._begin = _BEGIN_LARGE
        instance = open_instance(self._limits, self._scratch)
        try:
            self._tables = NativeTables(instance, message.tables, self._limits)
            show_outlines(instance, message.outlines)
        except QUERY_ERRORS as error:
            raise told(error, self._hidden) from None
        lock(instance, [path for table in message.tables for path in table.files])
        instance.execute(_FINGERPRINT)
        self._shows = _fingerprint(instance)
        self._instance = instance
        return Bound()

    def _run(self, message: Run, output: Output) -> Ended:
        with self._cursor() as cursor:
            values = _values(cursor, message.parameters)
            relation = cursor.sql(_one_statement(message.sql), params=values)
            rows = encode(relation, message.output, output, message.most_rows)
            if self._tables is not None:
                self._tables.note_statement()
            return Ended(rows=rows, bytes=output.taken)

    def _describe(self, message: Describe, output: Output) -> Ended:
        with self._cursor() as cursor:
            values = _values(cursor, message.parameters)
            if values is None:
                values = unbound(message.parameters.names)
            write_schema(cursor, cursor.sql(_one_statement(message.sql), params=values), output)
            return Ended(rows=0, bytes=output.taken)

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of its own, in a read-only transaction; what DuckDB raises becomes a Problem."""
        if self._instance is None:
            raise RuntimeError("a statement came before the tables")
        cursor = self._running = self._instance.cursor()
        try:
            cursor.execute(self._begin)
            yield cursor
        except BrokenPipeError:
            raise
        except QUERY_ERRORS as error:
            self._broken = is_fatal(error)
            raise told(error, self._hidden) from None
        finally:
            self._running = None
            cursor.close()


def open_worker(limits: Limits, scratch: Path) -> QueryWorker:
    """A worker that waits for its tables."""
    return QueryWorker(limits, scratch)


def _values(cursor: duckdb.DuckDBPyConnection, parameters: Parameters) -> Values | None:
    if parameters.values is None:
        return None
    return read_values(cursor, parameters.names, parameters.values)


def _one_statement(sql: str) -> str:
    """The statement without the semicolons after it: DuckDB cannot project over them."""
    text = sql.encode()
    end = len(text)
    for place, kind in reversed(duckdb.tokenize(sql)):
        if kind == duckdb.token_type.comment:
            continue
        if text[place : place + 1] != b";":
            break
        end = place
    return text[:end].decode()


def _fingerprint(instance: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    return sorted(instance.execute("EXECUTE fingerprint").fetchall())
