"""Appointments: who holds which role, from a first to a last day, and in whose place."""

from datetime import date
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, insert, or_, select, update

from access_policies import history, revision
from access_policies.history import ABSENT, Kind
from access_policies.standing import ORGANISATION_ROLES
from access_policies.vocabulary import Role
from marketplace.errors import RecordExists, RequestMalformed, UnknownRecord
from marketplace.identity import organisations, people
from marketplace.identity.records import appointments


class Appointment(msgspec.Struct, frozen=True, kw_only=True):
    """A person in a role of an organisation, or (operators and auditors) of the marketplace.

    Without a last day, until it is ended. `in_place_of` is the owner, by identifier, in whose place a
    deputy decides; a deputy acts only while that owner is one.
    """

    id: str
    person: str
    role: Role
    organisation: str | None = None
    in_place_of: str | None = None
    first_day: date
    last_day: date | None = None


def appoint(
    connection: Connection,
    *,
    person: str,
    role: Role,
    organisation: str | None = None,
    in_place_of: str | None = None,
    first_day: date,
    last_day: date | None = None,
) -> Appointment:
    """Name a person to a role. Raises UnknownRecord, RequestMalformed, RecordExists."""
    revision.advance(connection)
    appointment = Appointment(
        id=uuid4().hex,
        person=people.get(connection, person).id,
        role=role,
        organisation=organisation,
        in_place_of=in_place_of,
        first_day=first_day,
        last_day=last_day,
    )
    _check(connection, appointment)
    connection.execute(insert(appointments).values(msgspec.structs.asdict(appointment)))
    history.note(connection, Kind.APPOINTMENT, {appointment.id: ABSENT})
    return appointment


def end(connection: Connection, identifier: str, *, last_day: date) -> None:
    """Let an appointment end on an earlier day; never makes it longer. Raises UnknownRecord.

    Give the day before today to end it at once.
    """
    revision.advance(connection)
    appointment = get(connection, identifier)
    this = appointments.c.id == appointment.id
    history.note(connection, Kind.APPOINTMENT, {appointment.id: appointment.last_day})
    later = or_(appointments.c.last_day.is_(None), appointments.c.last_day > last_day)
    connection.execute(update(appointments).where(this, later).values(last_day=last_day))


def get(connection: Connection, identifier: str) -> Appointment:
    """The appointment of that identifier. Raises UnknownRecord."""
    query = select(appointments).where(appointments.c.id == identifier)
    row = connection.execute(query).one_or_none() if identifier.isalnum() else None
    if row is None:
        raise unknown(identifier)
    return msgspec.convert(row, Appointment, from_attributes=True)


def unknown(identifier: str) -> UnknownRecord:
    """The one answer for an appointment that is not there or not the caller's to see."""
    return UnknownRecord(
        f"There is no appointment {identifier[:32]!r} that you can see.",
        next_step="List them with: marketplace staff list.",
    )


def held(
    connection: Connection, person: str, role: Role, organisation: str | None
) -> tuple[Appointment, ...]:
    """Every appointment of the person to that role, past and to come too, by first day."""
    found = list_all(connection, person=person)
    return tuple(one for one in found if (one.role, one.organisation) == (role, organisation))


def list_all(
    connection: Connection, *, person: str | None = None, organisation: str | None = None
) -> tuple[Appointment, ...]:
    """The appointments of a person, in an organisation, or all, by first day."""
    query = select(appointments).order_by(appointments.c.first_day, appointments.c.id)
    if person is not None:
        query = query.where(appointments.c.person == person)
    if organisation is not None:
        query = query.where(appointments.c.organisation == organisation)
    rows = connection.execute(query)
    return tuple(msgspec.convert(row, Appointment, from_attributes=True) for row in rows)


def check_place(role: Role, organisation: str | None) -> None:
    """Raise RequestMalformed where a role is held in an organisation and none is named, or the reverse."""
    if (organisation is not None) != (role in ORGANISATION_ROLES):
        inside = ", ".join(sorted(f"{one}s" for one in ORGANISATION_ROLES))
        raise RequestMalformed(
            f"Some roles are held in one organisation ({inside}), the others in the marketplace "
            "as a whole.",
            next_step="Name the organisation for those, and none for operators and auditors.",
        )


def _check(connection: Connection, appointment: Appointment) -> None:
    check_place(appointment.role, appointment.organisation)
    if appointment.organisation is not None:
        organisations.get(connection, appointment.organisation)
    if appointment.last_day is not None and appointment.last_day < appointment.first_day:
        raise RequestMalformed("The last day of an appointment is before its first.")
    _check_deputy(connection, appointment)
    already = held(connection, appointment.person, appointment.role, appointment.organisation)
    if any(_overlap(appointment, other) for other in already):
        raise RecordExists(
            f"They are named as {appointment.role} already on some of these days.",
            next_step="End that appointment first, or choose days outside of it.",
        )


def _check_deputy(connection: Connection, appointment: Appointment) -> None:
    if (appointment.role is Role.DEPUTY) != (appointment.in_place_of is not None):
        raise RequestMalformed("A deputy, and nobody else, is named in the place of one owner.")
    if appointment.in_place_of is None:
        return
    if appointment.last_day is None:
        raise RequestMalformed("A deputy is named until a last day.", next_step="Give that day.")
    if appointment.in_place_of == appointment.person:
        raise RequestMalformed("Nobody is their own deputy.", next_step="Name somebody else.")
    owning = held(connection, appointment.in_place_of, Role.OWNER, appointment.organisation)
    if not any(_overlap(appointment, one) for one in owning):
        raise RequestMalformed(
            f"Whoever is to be deputised for is no owner of {appointment.organisation} on these "
            "days.",
            next_step="Name an owner, on days on which they are one.",
        )


def _overlap(one: Appointment, other: Appointment) -> bool:
    last, others_last = one.last_day or date.max, other.last_day or date.max
    return one.first_day <= others_last and other.first_day <= last
