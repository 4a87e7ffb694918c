"""Everybody, and every capacity in which each acts, at one moment of the history.

A member acts in a project while the membership lasts, whether or not a token was given out for it;
a role is held by appointment, likewise. What a capacity opens follows the same rules as a single
caller's (`capacity`).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import NamedTuple, TypeVar

import msgspec
from sqlalchemy import Connection, Table, select

from access_policies import principals
from access_policies.history import ABSENT, TODAY, Kind, Past
from access_policies.vocabulary import Audience, Role, Subject
from marketplace.errors import Unauthenticated
from marketplace.identity import capacity, organisations, people, projects, records, tokens
from marketplace.identity.appointments import Appointment
from marketplace.identity.capacity import Capacity, Owning
from marketplace.identity.people import Person
from marketplace.identity.projects import Membership, Project
from marketplace.identity.secondments import Secondment

Held = TypeVar("Held", Membership, Secondment, Appointment)


class Post(NamedTuple):
    """What a person acts in: a project, or a role of an organisation or of the marketplace."""

    project: str | None = None
    role: Role | None = None
    organisation: str | None = None

    def __str__(self) -> str:
        """As people say it.

        >>> str(Post(role=Role.OWNER, organisation="mhclg"))
        'owner of mhclg'
        """
        if self.project is not None:
            return self.project
        return f"{self.role} of {self.organisation}" if self.organisation else f"{self.role}"


class Acting(msgspec.Struct, frozen=True, kw_only=True):
    """One person in one capacity, with the names that rules may be written for.

    `until` is when the capacity ends as things stand (none: no end known).
    """

    person: Person
    post: Post
    subject: Subject
    purpose: str
    until: datetime | None


class _Registers(NamedTuple):
    """What capacities follow from, of one person or of all."""

    people: tuple[Person, ...]
    everybody: Mapping[str, Person]
    projects: Mapping[str, Project]
    audiences: Mapping[str, Audience]
    memberships: Mapping[str, list[Membership]]
    secondments: Mapping[str, list[Secondment]]
    appointments: Mapping[str, list[Appointment]]

    def roles_of(self, person: str) -> dict[tuple[Role, str | None], tuple[Appointment, ...]]:
        """The appointments of a person, by what they are to."""
        found: defaultdict[tuple[Role, str | None], list[Appointment]] = defaultdict(list)
        for one in self.appointments.get(person, ()):
            found[(one.role, one.organisation)].append(one)
        return {post: tuple(named) for post, named in found.items()}

    def owning(self, organisation: str | None) -> Owning:
        """Finds an owner of the organisation, their appointments as such and their secondments."""
        return lambda owner: (
            self.everybody[owner],
            self.roles_of(owner).get((Role.OWNER, organisation), ()),
            tuple(self.secondments.get(owner, ())),
        )


def take(
    connection: Connection,
    *,
    now: datetime,
    person: Person | None = None,
    among: frozenset[str] | None = None,
    past: Past = TODAY,
) -> tuple[Acting, ...]:
    """Every capacity of everybody, or of one person, at a moment; the people in order of name.

    With `among`, only capacities that go by one of these names, which are specific to people.
    """
    registers = _read(connection, person, past)
    return tuple(
        acting for one in registers.people for acting in _of_person(one, registers, among, now)
    )


def _of_person(
    person: Person, registers: _Registers, among: frozenset[str] | None, now: datetime
) -> Iterator[Acting]:
    own = principals.person(person.id)

    def sought(names: set[str]) -> bool:
        return among is None or own in among or not among.isdisjoint(names)

    memberships: defaultdict[str, list[Membership]] = defaultdict(list)
    for membership in registers.memberships.get(person.id, ()):
        memberships[membership.project].append(membership)
    seconded = registers.secondments.get(person.id, ())
    audience_of = registers.audiences.__getitem__
    for name, held in sorted(memberships.items()):
        project, names = registers.projects[name], tokens.names_in(name, person.id)
        if not sought(names):
            continue
        try:
            found = capacity.as_member(person, project, held, seconded, audience_of, now=now)
        except Unauthenticated:
            continue
        yield _acting(person, Post(project=name), names, project.purpose, found)
    for post, named in sorted(registers.roles_of(person.id).items(), key=str):
        role, organisation = post
        names = {principals.role(role, organisation)}
        if not sought(names):
            continue
        try:
            found = capacity.as_holder(
                person, post, named, seconded, registers.owning(organisation), audience_of, now=now
            )
        except Unauthenticated:
            continue
        yield _acting(person, Post(role=role, organisation=organisation), names, "", found)


def _acting(
    person: Person,
    post: Post,
    names: set[str],
    purpose: str,
    found: Capacity,
) -> Acting:
    return Acting(
        person=person,
        post=post,
        subject=tokens.subject_of(person.id, names, found),
        purpose=purpose,
        until=found.until,
    )


def _read(connection: Connection, person: Person | None, past: Past) -> _Registers:
    memberships = _rows(connection, records.memberships, Membership, person)
    # Of all, also for one person who deputises: whether the owner in whose place they act is one.
    secondments = _rows(connection, records.secondments, Secondment, None)
    appointments = _rows(connection, records.appointments, Appointment, None)
    every = people.list_all(connection)
    return _Registers(
        people=every if person is None else (person,),
        everybody={one.id: one for one in every},
        projects={one.name: _project(one, past) for one in projects.list_all(connection)},
        audiences={one.name: one.audience for one in organisations.list_all(connection)},
        memberships=_by_person(_then(memberships, Kind.MEMBERSHIP, past)),
        secondments=_by_person(_then(secondments, Kind.SECONDMENT, past)),
        appointments=_by_person(_then(appointments, Kind.APPOINTMENT, past)),
    )


def _project(project: Project, past: Past) -> Project:
    """With the accreditation that it had."""
    today = project.accredited_until.isoformat() if project.accredited_until else None
    then = past.was(Kind.ACCREDITATION, project.name, today)
    until = None if then is None or then is ABSENT else date.fromisoformat(then)
    return msgspec.structs.replace(project, accredited_until=until)


def _rows(
    connection: Connection, table: Table, kind: type[Held], person: Person | None
) -> Iterator[Held]:
    query = select(table).order_by(table.c.first_day, table.c.id)
    if person is not None:
        query = query.where(table.c.person == person.id)
    for row in connection.execute(query):
        yield kind(**row._mapping)


def _then(rows: Iterable[Held], kind: Kind, past: Past) -> Iterator[Held]:
    """The rows that were there, with the last days that they had."""
    altered = past.keys(kind)
    for row in rows:
        if row.id not in altered:
            yield row
            continue
        was = past.was(kind, row.id, None)
        if was is not ABSENT:
            last_day = None if was is None else date.fromisoformat(was)
            yield msgspec.structs.replace(row, last_day=last_day)


def _by_person(rows: Iterable[Held]) -> dict[str, list[Held]]:
    held: defaultdict[str, list[Held]] = defaultdict(list)
    for row in rows:
        held[row.person].append(row)
    return held
