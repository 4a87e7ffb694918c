"""The calls of Arrow Flight: each is read, handed to what answers it, and its answer presented."""

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
from google.protobuf.message import Message
from pyarrow import flight, ipc

from marketplace.admission import Admission
from marketplace.errors import RequestMalformed, StatementRefused
from marketplace.flight import flight_pb2 as core
from marketplace.flight import flight_sql_pb2 as sql
from marketplace.flight.batches import parts
from marketplace.flight.commands import (
    packed,
    read_message,
    refuse_transaction,
    refused,
    unpacked,
)
from marketplace.flight.failures import guarded
from marketplace.flight.metadata import Metadata
from marketplace.flight.sessions import Sessions
from marketplace.flight.sign_in import CALL, Call
from marketplace.flight.statements import Statements

_MOST_VALUES_BYTES = 1024**2

_ACTIONS = {
    "CreatePreparedStatement": "Check and describe a statement, for a handle.",
    "ClosePreparedStatement": "Say that a handle is no longer needed.",
    "CancelFlightInfo": "Stop the runs of a statement's tickets.",
    "CancelQuery": "As CancelFlightInfo, for older clients.",
    "SetSessionOptions": "Choose a catalog that lists are narrowed to.",
    "GetSessionOptions": "Tell what was chosen.",
    "CloseSession": "Forget what was chosen.",
}


class FlightSqlService(flight.FlightServerBase):  # type: ignore[misc]
    """Flight SQL over the marketplace's use cases; listens as soon as it is made."""

    def __init__(
        self,
        *,
        statements: Statements,
        metadata: Metadata,
        lists: Admission,
        sessions: Sessions,
        **transport: Any,
    ) -> None:
        self._statements = statements
        self._metadata = metadata
        self._lists = lists
        self._sessions = sessions
        super().__init__(**transport)

    @guarded
    def get_flight_info(self, context: Any, descriptor: Any) -> flight.FlightInfo:
        """What a command gives, and a ticket for it."""
        schema, ticket = self._announced(context, unpacked(descriptor.command))
        # No location: the client asks where it is connected, whatever lies between.
        endpoint = flight.FlightEndpoint(flight.Ticket(ticket), [])
        return flight.FlightInfo(schema, descriptor, [endpoint])

    @guarded
    def get_schema(self, context: Any, descriptor: Any) -> flight.SchemaResult:
        """What a command gives."""
        schema, _ = self._announced(context, unpacked(descriptor.command))
        return flight.SchemaResult(schema)

    @guarded
    def do_get(self, context: Any, ticket: Any) -> flight.FlightDataStream:
        """The rows that a ticket is for."""
        call = _call(context)
        match unpacked(ticket.ticket):
            case sql.TicketStatementQuery(statement_handle=sealed):
                return self._statements.run(call, context, sealed)
            case command:
                within = self._sessions.catalog(call)
                with self._lists.place(call.principal.person_id):
                    table = self._metadata.answer(call.principal, command, within)
                return flight.GeneratorStream(table.schema, _parts(table))

    @guarded
    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        """Bind values to a prepared statement: the answer holds the handle to use from now on."""
        call = _call(context)
        match unpacked(descriptor.command):
            case sql.CommandPreparedStatementQuery(prepared_statement_handle=handle):
                bound = self._statements.bind(call, handle, lambda: _values(reader))
                answer = sql.DoPutPreparedStatementResult(prepared_statement_handle=bound)
                writer.write(pa.py_buffer(answer.SerializeToString()))
            case _:
                raise RequestMalformed("Nothing but values for a prepared statement is taken here.")

    @guarded
    def do_action(self, context: Any, action: Any) -> list[flight.Result]:
        """Everything that is neither a list nor rows."""
        if action.type == "ClosePreparedStatement":
            return []  # nothing is kept for a handle, so anybody may let go of one
        call, body = _call(context), action.body.to_pybytes()
        match action.type:
            case "CreatePreparedStatement":
                return _results(self._prepare(call, context, unpacked(body)))
            case "CancelFlightInfo":
                request = read_message(core.CancelFlightInfoRequest, body)
                cancelled = self._cancel(call, request.info)
                return _results(core.CancelFlightInfoResult(status=cancelled).SerializeToString())
            case "CancelQuery":
                return _results(self._cancel_query(call, unpacked(body)))
            case "SetSessionOptions" | "GetSessionOptions" | "CloseSession":
                return _results(self._session(call, context, action.type, body))
            case unknown:
                raise refused(unknown)

    @guarded
    def list_actions(self, context: Any) -> Iterable[tuple[str, str]]:
        """The actions there are."""
        _call(context)
        return list(_ACTIONS.items())

    @guarded
    def list_flights(self, context: Any, criteria: bytes) -> Iterable[flight.FlightInfo]:  # noqa: ARG002
        """Nothing: Flight SQL lists tables with commands of its own."""
        _call(context)
        return []

    @guarded
    def do_exchange(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:  # noqa: ARG002
        """Nothing of Flight SQL uses this."""
        raise refused("DoExchange")

    def _announced(self, context: Any, command: Message) -> tuple[pa.Schema, bytes]:
        call = _call(context)
        match command:
            case sql.CommandStatementQuery():
                refuse_transaction(command.transaction_id)
                schema, ticket = self._statements.announce(call, context, command.query)
            case sql.CommandPreparedStatementQuery(prepared_statement_handle=handle):
                schema, ticket = self._statements.announce_prepared(call, context, handle)
            case _:
                # The ticket of a list is its command: it allows nothing that the command does not.
                return self._metadata.schema(command), packed(command)
        return schema, packed(sql.TicketStatementQuery(statement_handle=ticket))

    def _prepare(self, call: Call, context: Any, request: Message) -> bytes:
        if not isinstance(request, sql.ActionCreatePreparedStatementRequest):
            raise RequestMalformed("The action does not hold a statement to prepare.")
        refuse_transaction(request.transaction_id)
        handle, schema, count = self._statements.prepare(call, context, request.query)
        # Of which types the values must be follows from them alone; as texts they fit all.
        parameters = pa.schema([(str(place + 1), pa.string()) for place in range(count)])
        return packed(
            sql.ActionCreatePreparedStatementResult(
                prepared_statement_handle=handle,
                dataset_schema=schema.serialize().to_pybytes(),
                parameter_schema=parameters.serialize().to_pybytes(),
                is_update=False,
            )
        )

    def _cancel_query(self, call: Call, request: Message) -> bytes:
        if not isinstance(request, sql.ActionCancelQueryRequest):
            raise RequestMalformed("The action does not hold a query to cancel.")
        cancelled = self._cancel(call, request.info)
        # The two enumerations give the same numbers to the same outcomes.
        return packed(sql.ActionCancelQueryResult(result=int(cancelled)))  # type: ignore[arg-type]

    def _cancel(self, call: Call, info: bytes) -> core.CancelStatus:
        sealed = list(_statement_tickets(info))
        for ticket in sealed:
            self._statements.cancel(call, ticket)
        return core.CANCEL_STATUS_CANCELLED if sealed else core.CANCEL_STATUS_NOT_CANCELLABLE

    def _session(self, call: Call, context: Any, action: str, body: bytes) -> bytes:
        answer: Message
        if action == "GetSessionOptions":
            answer = self._sessions.options(call)
        elif action == "SetSessionOptions":
            request = read_message(core.SetSessionOptionsRequest, body)
            answer, cookie = self._sessions.set(call, request)
            if cookie is not None:
                context.add_header("set-cookie", cookie)
        else:
            context.add_header("set-cookie", self._sessions.closing())
            answer = core.CloseSessionResult(status=core.CloseSessionResult.CLOSED)
        return answer.SerializeToString()


def _call(context: Any) -> Call:
    call = context.get_middleware(CALL)
    if not isinstance(call, Call):
        raise TypeError("a call that did not sign in")
    call.principal  # noqa: B018 - raises where it is nobody's
    return call


def _results(body: bytes) -> list[flight.Result]:
    return [flight.Result(body)]


def _parts(table: pa.Table) -> Iterator[pa.RecordBatch]:
    for batch in table.to_batches():
        yield from parts(batch)


def _values(reader: Any) -> bytes:
    """One row of values as an Arrow IPC stream. Raises StatementRefused, RequestMalformed."""
    rows: list[pa.RecordBatch] = []
    for batch in _received(reader):
        rows += [batch] if batch.num_rows else []
        if sum(batch.num_rows for batch in rows) > 1:
            raise StatementRefused(
                "A statement is bound to one row of values at a time.",
                next_step="Execute it once for each row of values.",
            )
    if not rows:
        raise StatementRefused("No row of values came.", next_step="Send one row of values.")
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, rows[0].schema) as stream:
        stream.write_batch(rows[0])
    return bytes(sink.getvalue())


def _received(reader: Any) -> Iterator[pa.RecordBatch]:
    try:
        for chunk in reader:
            if chunk.data is None:
                continue
            if chunk.data.nbytes > _MOST_VALUES_BYTES:
                raise StatementRefused("The values are too large.", next_step="Send shorter ones.")
            chunk.data.validate(full=True)
            yield chunk.data
    except MemoryError:
        raise StatementRefused(
            "The values are too large.", next_step="Send shorter ones."
        ) from None
    except (pa.ArrowException, flight.FlightError):
        raise RequestMalformed("The values cannot be read as Arrow.") from None


def _statement_tickets(info: bytes) -> Iterator[bytes]:
    try:
        endpoints = flight.FlightInfo.deserialize(info).endpoints
    except (pa.ArrowException, flight.FlightError):
        raise RequestMalformed("The call does not hold a FlightInfo that can be read.") from None
    for endpoint in endpoints:
        command = unpacked(endpoint.ticket.ticket)
        if isinstance(command, sql.TicketStatementQuery):
            yield command.statement_handle
