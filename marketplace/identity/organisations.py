"""Departments, councils, universities, companies: who publishes, hosts and employs."""

from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select

from access_policies.vocabulary import Audience
from catalogue.address import check_identifier
from marketplace.errors import RecordExists, UnknownRecord
from marketplace.identity.records import organisations
from marketplace.plain_text import check_lines


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is a SQL identifier, the first part of its datasets' addresses.

    `audience` is what its people are where they act for it; `place` its area code, if it has one.
    """

    name: str
    title: str
    audience: Audience
    place: str = ""


def register(connection: Connection, organisation: Organisation) -> None:
    """Enter an organisation. Raises InvalidAddress for its name, RecordExists, RequestMalformed."""
    check_identifier(organisation.name)
    check_lines(title=organisation.title, place=organisation.place)
    if find(connection, organisation.name) is not None:
        raise RecordExists(f"There is already an organisation {organisation.name}.")
    row = msgspec.structs.asdict(organisation) | {"audience": int(organisation.audience)}
    connection.execute(insert(organisations).values(row))


def find(connection: Connection, name: str) -> Organisation | None:
    """The organisation of that name, if there is one."""
    query = select(organisations).where(organisations.c.name == name)
    row = connection.execute(query).one_or_none()
    return None if row is None else _organisation(row)


def get(connection: Connection, name: str) -> Organisation:
    """The organisation of that name. Raises UnknownRecord."""
    found = find(connection, name)
    if found is None:
        raise UnknownRecord(f"There is no organisation {name[:63]!r}.")
    return found


def list_all(connection: Connection) -> tuple[Organisation, ...]:
    """Every organisation in order of name."""
    query = select(organisations).order_by(organisations.c.name)
    return tuple(_organisation(row) for row in connection.execute(query))


def _organisation(row: Row[*tuple[Any, ...]]) -> Organisation:
    return msgspec.convert(row, Organisation, from_attributes=True)
