"""Prepared statements and tickets, which their holders keep for the service.

Any number of processes serve them, because none keeps them. A ticket or handle allows nothing: the
statement in it is decided anew, for whoever shows it, each time it is described or run.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import uuid4

import msgspec

from marketplace.clock import Clock
from marketplace.errors import TicketInvalid
from marketplace.flight.seal import Seal
from marketplace.identity.principal import Principal

TICKET_LIFE = timedelta(seconds=60)
HANDLE_LIFE = timedelta(hours=12)

# How long what a statement would give is taken as told when it was prepared. After that, another
# release may be there, and it is described again.
_DESCRIPTION_LIFE = timedelta(seconds=60)

_TICKET, _HANDLE = "ticket", "handle"

_Piece = TypeVar("_Piece", "Ticket", "Prepared")


class Announced(msgspec.Struct, frozen=True):
    """What a statement gives: its schema as an Arrow IPC stream, over which releases, as of when."""

    schema: bytes
    releases: dict[str, int]
    at: datetime


class Prepared(msgspec.Struct, frozen=True):
    """A statement with the values bound to it, an Arrow IPC stream of one row."""

    sql: str
    expires: datetime
    parameters: bytes | None = None
    announced: Announced | None = None


class Ticket(msgspec.Struct, frozen=True):
    """One run of a statement over the releases that were announced. `id` names the run."""

    id: str
    sql: str
    parameters: bytes | None
    releases: dict[str, int]
    expires: datetime


class Tickets:
    """Issues what callers carry, and reads it when they show it again."""

    def __init__(self, seal: Seal, clock: Clock) -> None:
        self._seal = seal
        self._clock = clock

    def issue_handle(
        self, holder: Principal, sql: str, *, parameters: bytes | None, announced: Announced | None
    ) -> bytes:
        """A handle of a prepared statement."""
        prepared = Prepared(sql, self._clock() + HANDLE_LIFE, parameters, announced)
        return self._close(prepared, _HANDLE, holder)

    def read_handle(self, holder: Principal, sealed: bytes) -> Prepared:
        """The statement of a handle. Raises TicketInvalid."""
        prepared = self._open(sealed, _HANDLE, holder, Prepared)
        announced = prepared.announced
        if announced is not None and announced.at + _DESCRIPTION_LIFE <= self._clock():
            return msgspec.structs.replace(prepared, announced=None)
        return prepared

    def announce(self, schema: bytes, releases: Mapping[str, int]) -> Announced:
        """What a statement was described as just now."""
        return Announced(schema, dict(releases), self._clock())

    def issue_ticket(
        self, holder: Principal, sql: str, *, parameters: bytes | None, announced: Announced
    ) -> bytes:
        """A ticket for one run of a statement."""
        expires = self._clock() + TICKET_LIFE
        ticket = Ticket(uuid4().hex, sql, parameters, announced.releases, expires)
        return self._close(ticket, _TICKET, holder)

    def read_ticket(self, holder: Principal, sealed: bytes) -> Ticket:
        """The run that a ticket is for. Raises TicketInvalid."""
        return self._open(sealed, _TICKET, holder, Ticket)

    def _close(self, piece: Ticket | Prepared, purpose: str, holder: Principal) -> bytes:
        content = msgspec.msgpack.encode(piece)
        return self._seal.close(content, purpose=purpose, holder=holder.token_id)

    def _open(self, sealed: bytes, purpose: str, holder: Principal, kind: type[_Piece]) -> _Piece:
        content = self._seal.open(sealed, purpose=purpose, holder=holder.token_id)
        if content is None:
            raise TicketInvalid(
                f"This {purpose} is none that your token was given.",
                next_step="Send the statement again, and use what comes back with the same token.",
            )
        piece = msgspec.msgpack.decode(content, type=kind)
        if piece.expires <= self._clock():
            raise TicketInvalid(
                f"This {purpose} has expired.", next_step="Send the statement again."
            )
        return piece
