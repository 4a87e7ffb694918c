"""Secondments: a person who acts for a host, an organisation or one project, for some months."""

from datetime import date
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, insert, select, update

from access_policies import history, revision
from access_policies.history import ABSENT, Kind
from marketplace.errors import RequestMalformed, UnknownRecord
from marketplace.identity import organisations, people, projects
from marketplace.identity.records import secondments


class Secondment(msgspec.Struct, frozen=True, kw_only=True):
    """From home (the person's organisation) to one host, from a first to a last day.

    `entered_last_day` stays the last day as it was entered when the secondment is ended sooner.
    """

    id: str
    person: str
    host_organisation: str | None = None
    host_project: str | None = None
    first_day: date
    last_day: date
    entered_last_day: date | None = None


def register(
    connection: Connection,
    *,
    person: str,
    host_organisation: str | None = None,
    host_project: str | None = None,
    first_day: date,
    last_day: date,
) -> Secondment:
    """Enter a secondment to exactly one host. Raises UnknownRecord, RequestMalformed."""
    people.get(connection, person)
    if (host_organisation is None) == (host_project is None):
        raise RequestMalformed("A secondment is to one organisation or to one project.")
    if host_organisation is not None:
        organisations.get(connection, host_organisation)
    if host_project is not None:
        projects.get(connection, host_project)
    if last_day < first_day:
        raise RequestMalformed("The last day of a secondment is before its first.")
    revision.advance(connection)
    secondment = Secondment(
        id=uuid4().hex,
        person=person,
        host_organisation=host_organisation,
        host_project=host_project,
        first_day=first_day,
        last_day=last_day,
        entered_last_day=last_day,
    )
    connection.execute(insert(secondments).values(msgspec.structs.asdict(secondment)))
    history.note(connection, Kind.SECONDMENT, {secondment.id: ABSENT})
    return secondment


def end(connection: Connection, identifier: str, *, last_day: date) -> None:
    """Let a secondment end on an earlier day. Raises UnknownRecord; never makes it longer."""
    revision.advance(connection)
    theirs = secondments.c.id == identifier
    held = connection.execute(select(secondments.c.last_day).where(theirs)).scalar()
    if held is None:
        raise UnknownRecord("There is no such secondment.")
    if last_day < held:
        history.note(connection, Kind.SECONDMENT, {identifier: held})
    sooner = update(secondments).where(theirs, secondments.c.last_day > last_day)
    connection.execute(sooner.values(last_day=last_day))


def of_person(connection: Connection, person: str) -> tuple[Secondment, ...]:
    """Every secondment of the person, past and to come too, by first day."""
    query = (
        select(secondments)
        .where(secondments.c.person == person)
        .order_by(secondments.c.first_day, secondments.c.id)
    )
    rows = connection.execute(query)
    return tuple(msgspec.convert(row, Secondment, from_attributes=True) for row in rows)
