"""Statements over Flight SQL: prepared or as they are, described, announced, run, cancelled."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any

import pyarrow as pa
from pyarrow import flight, ipc

from marketplace.admission import Admission
from marketplace.delivery import Delivery
from marketplace.engine.query.cancellation import Cancellation
from marketplace.engine.query.query_messages import Encoding, OutputFormat
from marketplace.errors import QueryStopped, WorkerLost
from marketplace.flight.batches import Batches
from marketplace.flight.columns import described, without_dictionaries
from marketplace.flight.failures import told
from marketplace.flight.memory import give_back
from marketplace.flight.running import Watch
from marketplace.flight.sign_in import Call
from marketplace.flight.tickets import Announced, Ticket, Tickets
from marketplace.query import Description, Querying

_ARROW = Encoding(OutputFormat.ARROW)

# Up to so many bytes a result that is there already is handed over at once: gRPC then sends it without
# asking Python for each batch.
_AT_ONCE = 1024**2

# How many runs are remembered as cancelled before they began.
_CANCELLED_KEPT = 1024


class Run:
    """One statement under way for one caller, from waiting for a worker to the last batch."""

    def __init__(self) -> None:
        self.cancellation = Cancellation()
        self._delivery: Delivery | None = None

    def send(self, delivery: Delivery) -> None:
        """Its first bytes are there."""
        self._delivery = delivery

    def cancel(self) -> None:
        """Stop its worker."""
        self.cancellation.cancel()

    def check(self) -> None:
        """Stop it where access has ended."""
        if self._delivery is not None:
            self._delivery.stop_if_ended()


class Statements:
    """Everything that Flight SQL does with a statement, over the one query pipeline."""

    def __init__(
        self, *, querying: Querying, tickets: Tickets, places: Admission, watch: Watch
    ) -> None:
        self._querying = querying
        self._tickets = tickets
        self._places = places
        self._watch = watch
        self._runs = _Runs()

    def prepare(self, call: Call, context: Any, sql: str) -> tuple[bytes, pa.Schema, int]:
        """A handle for a statement, its result's schema, and how many parameters it has."""
        description = self._describe(call, context, sql, None)
        announced = self._announced(description)
        handle = self._tickets.issue_handle(
            call.principal, sql, parameters=None, announced=announced
        )
        return handle, _read_schema(announced.schema), description.parameters

    def bind(self, call: Call, handle: bytes, receive: Callable[[], bytes]) -> bytes:
        """The handle of the same statement with values bound to it, an Arrow IPC stream of a row.

        They are received only under a handle of the caller's and at a place for them.
        """
        prepared = self._tickets.read_handle(call.principal, handle)
        try:
            with self._places.place(call.principal.person_id):
                values = receive()
        finally:
            give_back()
        return self._tickets.issue_handle(
            call.principal, prepared.sql, parameters=values, announced=None
        )

    def announce_prepared(self, call: Call, context: Any, handle: bytes) -> tuple[pa.Schema, bytes]:
        """What a prepared statement gives with its values, and a ticket for one run of it."""
        prepared = self._tickets.read_handle(call.principal, handle)
        announced = prepared.announced or self._announced(
            self._describe(call, context, prepared.sql, prepared.parameters)
        )
        return self._ticket(call, prepared.sql, prepared.parameters, announced)

    def announce(self, call: Call, context: Any, sql: str) -> tuple[pa.Schema, bytes]:
        """What a statement gives, and a ticket for one run of it."""
        announced = self._announced(self._describe(call, context, sql, None))
        return self._ticket(call, sql, None, announced)

    def run(self, call: Call, context: Any, sealed: bytes) -> flight.FlightDataStream:
        """Run what a ticket is for, decided anew, over the releases that it names."""
        ticket = self._tickets.read_ticket(call.principal, sealed)
        run = self._begin(call, context, ticket)
        delivery = self._querying.run(
            call.principal,
            ticket.sql,
            _ARROW,
            cancellation=run.cancellation,
            releases=ticket.releases,
            parameters=ticket.parameters,
        )
        call.held.callback(delivery.close)
        run.send(delivery)
        whole = delivery.whole(_AT_ONCE)
        if whole is not None:
            return flight.RecordBatchStream(Batches([whole]).table())
        batches = Batches(delivery)
        return flight.GeneratorStream(batches.schema, _sent(batches))

    def cancel(self, call: Call, sealed: bytes) -> None:
        """Stop the run that a ticket is for; where it has not begun here, it does not begin here."""
        self._runs.cancel(self._tickets.read_ticket(call.principal, sealed))

    def _describe(
        self, call: Call, context: Any, sql: str, parameters: bytes | None
    ) -> Description:
        run = Run()
        with self._places.place(call.principal.person_id), self._watch.over(context, run):
            return self._querying.describe(
                call.principal, sql, cancellation=run.cancellation, parameters=parameters
            )

    def _announced(self, description: Description) -> Announced:
        schema = described(without_dictionaries(_read_schema(description.schema)))
        return self._tickets.announce(schema.serialize().to_pybytes(), description.releases)

    def _ticket(
        self, call: Call, sql: str, parameters: bytes | None, announced: Announced
    ) -> tuple[pa.Schema, bytes]:
        ticket = self._tickets.issue_ticket(
            call.principal, sql, parameters=parameters, announced=announced
        )
        return _read_schema(announced.schema), ticket

    def _begin(self, call: Call, context: Any, ticket: Ticket) -> Run:
        """A run that holds its place, and is watched, until gRPC is done with its call."""
        run = Run()
        call.held.enter_context(self._places.place(call.principal.person_id))
        call.held.enter_context(self._watch.over(context, run))
        self._runs.add(ticket, run)
        call.held.callback(self._runs.remove, ticket, run)
        return run


class _Runs:
    """What runs here, by its ticket, and which tickets were cancelled before they were shown."""

    def __init__(self) -> None:
        self._running: dict[str, list[Run]] = {}
        self._cancelled: OrderedDict[str, None] = OrderedDict()
        self._guard = Lock()

    def add(self, ticket: Ticket, run: Run) -> None:
        with self._guard:
            if ticket.id in self._cancelled:
                raise QueryStopped("The run of this ticket was cancelled.")
            self._running.setdefault(ticket.id, []).append(run)

    def remove(self, ticket: Ticket, run: Run) -> None:
        with self._guard:
            self._running[ticket.id].remove(run)
            if not self._running[ticket.id]:
                del self._running[ticket.id]

    def cancel(self, ticket: Ticket) -> None:
        with self._guard:
            runs = list(self._running.get(ticket.id, ()))
            self._cancelled[ticket.id] = None
            while len(self._cancelled) > _CANCELLED_KEPT:
                self._cancelled.popitem(last=False)
        for run in runs:
            run.cancel()


def _sent(batches: Batches) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except Exception as error:  # noqa: BLE001 - a result that is not whole ends in an error
        raise told(error) from None


def _read_schema(stream: bytes) -> pa.Schema:
    try:
        return ipc.read_schema(pa.py_buffer(stream))
    except pa.ArrowException as error:
        raise WorkerLost("The description of the result cannot be read as Arrow.") from error
