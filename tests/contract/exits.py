"""The ways by which a statement comes in and its rows go out, as one thing to the tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import adbc_driver_manager
import pyarrow as pa
from adbc_driver_flightsql import DatabaseOptions, dbapi
from google.protobuf import any_pb2
from pyarrow import flight

from catalogue.errors import Problem
from marketplace.bootstrap import Marketplace
from marketplace.client import connect
from marketplace.client.errors import ClientError
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.errors import answer_for
from marketplace.flight import flight_sql_pb2
from marketplace.flight.server import running_flight
from marketplace.identity.tokens import authenticate
from marketplace.serve import running

# What each exit says where something went wrong that nobody foresaw.
_UNFORESEEN = ("Unexpected error", "urn:uuid", "Traceback", "Errno")


class Refused(Exception):
    """What a caller was told in place of rows; its text is all of it."""


class Exit(Protocol):
    """One way in and out, for one caller."""

    def ask(self, sql: str) -> pa.Table:
        """The rows, or Refused; anything else is a fault of the service."""
        ...


class InProcess:
    """The pipeline itself."""

    def __init__(self, marketplace: Marketplace, secret: str) -> None:
        self._marketplace = marketplace
        self._secret = secret

    def ask(self, sql: str) -> pa.Table:
        with self._marketplace.database.reading() as connection:
            principal = authenticate(connection, self._secret, now=self._marketplace.clock())
        try:
            output = Encoding(OutputFormat.ARROW)
            delivery = self._marketplace.querying.run(principal, sql, output)
            return pa.ipc.open_stream(b"".join(delivery)).read_all()
        except Problem as problem:
            foreseen = answer_for(problem).exit_code != 1
            raise refused(foreseen, problem.detail, *problem.lines, problem.next_step) from None


class OverHttp:
    """The client of the service, over a socket."""

    def __init__(self, url: str, secret: str) -> None:
        self._client = connect(url, token=secret)

    def ask(self, sql: str) -> pa.Table:
        try:
            return self._client.query(sql).to_arrow()
        except ClientError as error:
            raise refused(error.exit_code != 1, str(error)) from None

    def close(self) -> None:
        self._client.close()


class OverFlightSql:
    """ADBC, as Polars and pandas use it: every statement is prepared, then run."""

    def __init__(self, location: str, secret: str) -> None:
        header = DatabaseOptions.AUTHORIZATION_HEADER.value
        options = {header: f"Bearer {secret}"}
        self._connection = dbapi.connect(location, db_kwargs=options, autocommit=True)
        self._location = location
        self._secret = secret

    def ask(self, sql: str) -> pa.Table:
        if "\0" in sql:
            return self._ask_whole(sql)
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetch_arrow_table()
        except adbc_driver_manager.Error as error:
            foreseen = error.status_code != adbc_driver_manager.AdbcStatusCode.INTERNAL
            raise refused(foreseen, str(error)) from None

    def _ask_whole(self, sql: str) -> pa.Table:
        """Without ADBC, which would end the text at its first NUL and send an honest beginning."""
        command = any_pb2.Any()
        command.Pack(flight_sql_pb2.CommandStatementQuery(query=sql))
        descriptor = flight.FlightDescriptor.for_command(command.SerializeToString())
        headers = [(b"authorization", f"Bearer {self._secret}".encode())]
        with flight.connect(self._location) as client:
            try:
                info = client.get_flight_info(descriptor, flight.FlightCallOptions(headers=headers))
            except flight.FlightError as error:
                foreseen = not isinstance(error, flight.FlightInternalError)
                raise refused(foreseen, str(error)) from None
        raise AssertionError(f"served as {info.schema}")

    def close(self) -> None:
        self._connection.close()


@contextmanager
def exits(marketplace: Marketplace, secret: str) -> Iterator[dict[str, Exit]]:
    """Every exit of a running marketplace for whoever holds the token, by name."""
    with running(marketplace) as url, running_flight(marketplace) as location:
        http, flight_sql = OverHttp(url, secret), OverFlightSql(location, secret)
        try:
            yield {
                "in process": InProcess(marketplace, secret),
                "HTTP": http,
                "Flight SQL": flight_sql,
            }
        finally:
            http.close()
            flight_sql.close()


def refused(foreseen: bool, *texts: str) -> Refused:
    """A refusal; what nobody foresaw, and a text that tells of code, are faults and no refusals."""
    text = " ".join(texts)
    assert foreseen, text
    assert not [word for word in _UNFORESEEN if word in text], text
    return Refused(text)


def rows_of(table: pa.Table) -> tuple[list[str], list[str]]:
    """Names and rows in an order of their own, since many statements leave theirs open."""
    columns: list[list[Any]] = [column.to_pylist() for column in table.columns]
    return table.column_names, sorted(map(repr, zip(*columns, strict=True)))
