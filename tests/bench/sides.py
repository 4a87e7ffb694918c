"""The sides that answer the same SQL: DuckDB in this process, and the marketplace by protocol."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow as pa
from adbc_driver_flightsql import DatabaseOptions, dbapi
from world import TPCH, World

from marketplace.client import Client, connect
from marketplace.settings import read_settings

IN_PROCESS = "in-process"
HTTP = "HTTP"
FLIGHT = "Flight SQL"
PROTOCOLS = (HTTP, FLIGHT)

# As many as the service gives a query by default.
THREADS = read_settings({}).query_threads


class Side(Protocol):
    """Whoever answers a statement with an Arrow table."""

    def query(self, sql: str) -> pa.Table:
        """All rows. Tables stand in the SQL as `{lineitem}` and so on."""


class InProcess:
    """DuckDB here, over the very Parquet files that the service has released."""

    def __init__(self, released: Mapping[str, tuple[Path, ...]]) -> None:
        self._connection = open_duckdb()
        self._names = {table: table for table in released}
        for table, files in released.items():
            view(self._connection, table, files)

    def query(self, sql: str) -> pa.Table:
        """See `Side`."""
        return self._connection.sql(sql.format(**self._names)).to_arrow_table()


class OverHttp:
    """The marketplace's own client."""

    def __init__(self, client: Client, names: Mapping[str, str]) -> None:
        self._client = client
        self._names = names

    def query(self, sql: str) -> pa.Table:
        """See `Side`."""
        return self._client.query(sql.format(**self._names)).to_arrow()


class OverFlight:
    """ADBC, through its DBAPI as analysts use it."""

    def __init__(self, connection: Any, names: Mapping[str, str]) -> None:
        self._connection = connection
        self._names = names

    def query(self, sql: str) -> pa.Table:
        """See `Side`."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql.format(**self._names))
            return cursor.fetch_arrow_table()


@contextmanager
def opened_sides(world: World) -> Iterator[dict[str, Side]]:
    """In-process, then each protocol as a member of the squad asks over it."""
    names = {table: f"{TPCH}.{table}" for table in world.released}
    token = world.members[0]
    with ExitStack() as stack:
        client = stack.enter_context(connect(world.service.url, token=token))
        connection = stack.enter_context(closing(connect_flight(world.service.flight, token)))
        sides: dict[str, Side] = {
            IN_PROCESS: InProcess(world.released),
            HTTP: OverHttp(client, names),
            FLIGHT: OverFlight(connection, names),
        }
        yield sides


def connect_flight(uri: str, token: str) -> Any:
    """An ADBC connection with a token."""
    options = {DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}"}
    return dbapi.connect(uri, db_kwargs=options, autocommit=True)


def open_duckdb() -> duckdb.DuckDBPyConnection:
    """An empty DuckDB with the threads that a governed query has."""
    connection = duckdb.connect()
    connection.execute(f"SET threads = {THREADS}")
    connection.execute("SET enable_progress_bar = false")
    return connection


def view(connection: duckdb.DuckDBPyConnection, name: str, files: tuple[Path, ...]) -> None:
    """Show Parquet files as a view."""
    listed = ", ".join(f"'{file}'" for file in files)
    connection.execute(f"CREATE VIEW {name} AS FROM read_parquet([{listed}])")
