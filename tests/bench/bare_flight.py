"""An ungoverned Flight SQL server over DuckDB, as little of one as ADBC needs to ask a query.

    python bare_flight.py

What it reaches is what the protocol and its clients leave of DuckDB: nothing is decided, recorded,
checked or confined, and every statement runs in the server's own process. Prints its address, and
serves until it is ended.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from google.protobuf.any_pb2 import Any as Wrapped
from pyarrow import flight
from sides import open_duckdb

from marketplace.flight import flight_sql_pb2 as sql

_PREFIX = "type.googleapis.com/"


class BareFlightSql(flight.FlightServerBase):  # type: ignore[misc]
    """A handle is the statement itself, and so is a ticket."""

    def __init__(self) -> None:
        self._instance = open_duckdb()
        super().__init__("grpc://127.0.0.1:0")

    def do_action(self, _context: Any, action: Any) -> Iterator[flight.Result]:
        """Prepare a statement; nothing is kept, so there is nothing to close."""
        if action.type == "CreatePreparedStatement":
            asked = _unwrapped(action.body.to_pybytes(), sql.ActionCreatePreparedStatementRequest())
            schema = self._instance.cursor().sql(f"{asked.query} LIMIT 0").to_arrow_table().schema
            answer = sql.ActionCreatePreparedStatementResult(
                prepared_statement_handle=asked.query.encode(),
                dataset_schema=schema.serialize().to_pybytes(),
            )
            wrapped = Wrapped()
            wrapped.Pack(answer, type_url_prefix=_PREFIX)
            yield flight.Result(pa.py_buffer(wrapped.SerializeToString()))

    def get_flight_info(self, _context: Any, descriptor: Any) -> flight.FlightInfo:
        """The ticket of a prepared statement."""
        asked = _unwrapped(descriptor.command, sql.CommandPreparedStatementQuery())
        ticket = flight.Ticket(asked.prepared_statement_handle)
        return flight.FlightInfo(None, descriptor, [flight.FlightEndpoint(ticket, [])])

    def do_get(self, _context: Any, ticket: Any) -> flight.RecordBatchStream:
        """Run it."""
        reader = self._instance.cursor().sql(ticket.ticket.decode()).to_arrow_reader()
        return flight.RecordBatchStream(reader)


def _unwrapped(data: bytes, message: Any) -> Any:
    Wrapped.FromString(data).Unpack(message)
    return message


def main() -> None:
    """Serve until the process is ended."""
    server = BareFlightSql()
    print(f"grpc://127.0.0.1:{server.port}", flush=True)
    server.serve()


if __name__ == "__main__":
    main()
