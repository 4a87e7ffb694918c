"""What callers send as bytes, read into the messages of the protocol, or refused with a sentence."""

from collections.abc import Mapping
from typing import TypeVar

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message

from marketplace.errors import RequestMalformed, StatementRefused
from marketplace.flight import flight_sql_pb2 as sql

M = TypeVar("M", bound=Message)

_PREFIX = "type.googleapis.com/"
_PACKAGE = "arrow.flight.protocol.sql."

_KNOWN: Mapping[str, type[Message]] = {
    kind.DESCRIPTOR.full_name: kind
    for kind in (
        sql.ActionCancelQueryRequest,
        sql.ActionClosePreparedStatementRequest,
        sql.ActionCreatePreparedStatementRequest,
        sql.CommandGetCatalogs,
        sql.CommandGetCrossReference,
        sql.CommandGetDbSchemas,
        sql.CommandGetExportedKeys,
        sql.CommandGetImportedKeys,
        sql.CommandGetPrimaryKeys,
        sql.CommandGetSqlInfo,
        sql.CommandGetTables,
        sql.CommandGetTableTypes,
        sql.CommandGetXdbcTypeInfo,
        sql.CommandPreparedStatementQuery,
        sql.CommandStatementQuery,
        sql.TicketStatementQuery,
    )
}

_READ_ONLY = "The marketplace is read only over Flight SQL: nothing can be changed or loaded here."
_NO_TRANSACTIONS = "There are no transactions or savepoints here: every statement reads by itself."
_NO_SUBSTRAIT = "Substrait plans are not read here."
_NO_RENEWAL = "A ticket cannot be renewed."

# What the standard has and this service does not do, by the name of the command or action.
_REFUSED = {
    "CommandStatementUpdate": _READ_ONLY,
    "CommandPreparedStatementUpdate": _READ_ONLY,
    "CommandStatementIngest": _READ_ONLY,
    "CommandStatementSubstraitPlan": _NO_SUBSTRAIT,
    "CreatePreparedSubstraitPlan": _NO_SUBSTRAIT,
    "BeginTransaction": _NO_TRANSACTIONS,
    "EndTransaction": _NO_TRANSACTIONS,
    "BeginSavepoint": _NO_TRANSACTIONS,
    "EndSavepoint": _NO_TRANSACTIONS,
    "RenewFlightEndpoint": _NO_RENEWAL,
}


def unpacked(data: bytes | None) -> Message:
    """The command in a descriptor, a ticket or an action. Raises RequestMalformed, StatementRefused."""
    wrapped = read_message(Any, data or b"")
    name = wrapped.type_url.removeprefix(_PREFIX)
    kind = _KNOWN.get(name)
    if kind is None:
        raise refused(name.removeprefix(_PACKAGE))
    return read_message(kind, wrapped.value)


def read_message(kind: type[M], data: bytes) -> M:
    """A message of one kind. Raises RequestMalformed."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise RequestMalformed(
            "The call does not hold a message of Flight SQL that can be read."
        ) from None


def packed(message: Message) -> bytes:
    """A message as Flight SQL sends it, with its name."""
    wrapped = Any()
    wrapped.Pack(message)
    return wrapped.SerializeToString()


def refused(name: str) -> StatementRefused | RequestMalformed:
    """Why a command or action is not done here."""
    if name in _REFUSED:
        return StatementRefused(
            _REFUSED[name], next_step="Send a SELECT, or publish with: marketplace publish."
        )
    return RequestMalformed(
        f"There is no command or action {name[:100]!r} here.",
        next_step="The README of marketplace/flight lists what there is.",
    )


def refuse_transaction(transaction: bytes) -> None:
    """Refuse a statement that is to run in a transaction. Raises StatementRefused."""
    if transaction:
        raise refused("BeginTransaction")
