"""Everybody, and every capacity in which each acts, at one moment of the history.

A member acts in a project while the membership lasts, whether or not a token was given out for it;
a role is held by whoever has a live token for it, since nothing else says so. What a capacity opens
follows the same rules as a single caller's (`capacity`).
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
from marketplace.identity.capacity import Capacity
from marketplace.identity.people import Person
from marketplace.identity.projects import Membership, Project
from marketplace.identity.secondments import Secondment

Held = TypeVar("Held", Membership, Secondment)


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
    projects: Mapping[str, Project]
    audiences: Mapping[str, Audience]
    memberships: Mapping[str, list[Membership]]
    secondments: Mapping[str, list[Secondment]]
    roles: Mapping[str, Mapping[Post, datetime]]


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
    registers = _read(connection, person, past, now)
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
        yield _acting(person, Post(project=name), names, project.purpose, found, found.until)
    for post, expires_at in sorted(registers.roles.get(person.id, {}).items(), key=str):
        if post.role is None:
            continue
        names = {principals.role(post.role, post.organisation)}
        if not sought(names):
            continue
        try:
            found = capacity.as_holder(
                person, post.role, post.organisation, seconded, audience_of, now=now
            )
        except Unauthenticated:
            continue
        until = min(expires_at, found.until) if found.until else expires_at
        yield _acting(person, post, names, "", found, until)


def _acting(
    person: Person,
    post: Post,
    names: set[str],
    purpose: str,
    found: Capacity,
    until: datetime | None,
) -> Acting:
    return Acting(
        person=person,
        post=post,
        subject=tokens.subject_of(person.id, names, found),
        purpose=purpose,
        until=until,
    )


def _read(connection: Connection, person: Person | None, past: Past, now: datetime) -> _Registers:
    memberships = _rows(connection, records.memberships, Membership, person)
    secondments = _rows(connection, records.secondments, Secondment, person)
    return _Registers(
        people=people.list_all(connection) if person is None else (person,),
        projects={one.name: one for one in projects.list_all(connection)},
        audiences={one.name: one.audience for one in organisations.list_all(connection)},
        memberships=_by_person(_then(memberships, Kind.MEMBERSHIP, past)),
        secondments=_by_person(_then(secondments, Kind.SECONDMENT, past)),
        roles=_roles(connection, person, past, now),
    )


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


def _roles(
    connection: Connection, person: Person | None, past: Past, now: datetime
) -> dict[str, dict[Post, datetime]]:
    """The roles of each person, until the last of their tokens for it expires."""
    table = records.tokens
    query = select(table).where(
        table.c.role.is_not(None), table.c.created_at <= now, table.c.expires_at > now
    )
    if person is not None:
        query = query.where(table.c.person == person.id)
    held: defaultdict[str, dict[Post, datetime]] = defaultdict(dict)
    for token in connection.execute(query):
        if past.was(Kind.TOKEN, token.id, token.revoked_at) is None:
            post = Post(role=Role(token.role), organisation=token.organisation)
            theirs = held[token.person]
            theirs[post] = max(token.expires_at, theirs.get(post, token.expires_at))
    return held
