"""People and the organisation that each is at home in."""

from uuid import uuid4

import msgspec
from sqlalchemy import Connection, insert, select

from marketplace.errors import RecordExists, RequestMalformed, UnknownRecord
from marketplace.identity import organisations
from marketplace.identity.records import people
from marketplace.plain_text import check_lines


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """`organisation` is home; where else they act is told by memberships and secondments."""

    id: str
    name: str
    email: str
    organisation: str


def register(connection: Connection, *, name: str, email: str, organisation: str) -> Person:
    """Enter a person.

    Raises RecordExists for a known e-mail address, UnknownRecord for no home, RequestMalformed.
    """
    check_lines(name=name.strip(), address=email.strip())
    organisations.get(connection, organisation)
    address = email.strip().lower()
    if not name.strip() or "@" not in address:
        raise RequestMalformed("A person has a name and an e-mail address.")
    if find_by_email(connection, address) is not None:
        raise RecordExists("There is already a person with that e-mail address.")
    person = Person(id=uuid4().hex, name=name.strip(), email=address, organisation=organisation)
    connection.execute(insert(people).values(msgspec.structs.asdict(person)))
    return person


def get(connection: Connection, identifier: str) -> Person:
    """The person of that identifier. Raises UnknownRecord."""
    query = select(people).where(people.c.id == identifier)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UnknownRecord(f"There is no person {identifier[:32]!r}.")
    return msgspec.convert(row, Person, from_attributes=True)


def find(connection: Connection, named: str) -> Person:
    """The person of that e-mail address or identifier. Raises UnknownRecord."""
    if not named.isprintable():
        raise UnknownRecord("There is no such person.")
    return find_by_email(connection, named) or get(connection, named)


def find_by_email(connection: Connection, email: str) -> Person | None:
    """The person with that e-mail address, in whatever case, if there is one."""
    query = select(people).where(people.c.email == email.strip().lower())
    row = connection.execute(query).one_or_none()
    return None if row is None else msgspec.convert(row, Person, from_attributes=True)


def list_all(connection: Connection) -> tuple[Person, ...]:
    """Every person in order of name."""
    rows = connection.execute(select(people).order_by(people.c.name, people.c.id))
    return tuple(msgspec.convert(row, Person, from_attributes=True) for row in rows)
