"""Problems, queries, and what the service says of itself and of its caller."""

from datetime import datetime

import msgspec


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True):
    """An error as RFC 9457 has it, with what a person and a command line need besides.

    `type` is a reference to the page that explains this kind of problem, `instance` names this one
    occurrence in the service's log. `next_step` says what to do, `lines` list findings one by one, and
    `exit_code` is what the command line ends with.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    next_step: str = ""
    lines: tuple[str, ...] = ()
    exit_code: int = 1


class QueryRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One SELECT; `project` must be the token's own where it is given.

    `parameters` are the values of its parameters, in their order: numbers, texts, booleans and nulls
    as JSON has them; or, for other types, one row of an Arrow IPC stream in base64.
    """

    sql: str
    project: str | None = None
    parameters: tuple[bool | int | float | str | None, ...] | bytes = ()


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who the token speaks for, and until when."""

    name: str
    project: str | None
    purpose: str
    role: str | None
    organisation: str | None
    audience: str
    valid_until: datetime


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the service can do its work. Each part is "ok", or says in a word what it is not."""

    status: str
    parts: dict[str, str]
