"""Projects (squads, research projects, businesses' undertakings) and who is a member until when."""

from datetime import date
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, insert, or_, select, update

from access_policies import history, revision
from access_policies.history import ABSENT, Kind
from access_policies.vocabulary import Audience
from catalogue.address import check_identifier
from marketplace.errors import RecordExists, RequestMalformed, UnknownRecord
from marketplace.identity import organisations, people
from marketplace.identity.records import memberships, projects
from marketplace.plain_text import check_lines


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking and for what. `name` is a SQL identifier; `organisation` hosts the project.

    The purpose does not change: agreements are for it. `accredited_until` is the last day of a
    research project's accreditation.
    """

    name: str
    title: str
    purpose: str
    organisation: str
    audience: Audience
    accredited_until: date | None = None


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """A person in a project from a first to a last day (none: as long as the project runs).

    `entered_last_day` stays the last day as it was entered when the membership is ended sooner.
    """

    id: str
    project: str
    person: str
    first_day: date
    last_day: date | None = None
    entered_last_day: date | None = None


def register(connection: Connection, project: Project) -> None:
    """Enter a project.

    Raises InvalidAddress, RecordExists, UnknownRecord for its organisation, RequestMalformed.
    """
    check_identifier(project.name)
    check_lines(title=project.title, purpose=project.purpose)
    organisations.get(connection, project.organisation)
    if not project.purpose.strip() or project.purpose.strip() == "*":
        raise RequestMalformed(
            "A project says what it is for.", next_step="Give its purpose in a sentence."
        )
    if find(connection, project.name) is not None:
        raise RecordExists(f"There is already a project {project.name}.")
    row = msgspec.structs.asdict(project) | {"audience": int(project.audience)}
    connection.execute(insert(projects).values(row))


def find(connection: Connection, name: str) -> Project | None:
    """The project of that name, if there is one."""
    query = select(projects).where(projects.c.name == name)
    row = connection.execute(query).one_or_none()
    return None if row is None else msgspec.convert(row, Project, from_attributes=True)


def get(connection: Connection, name: str) -> Project:
    """The project of that name. Raises UnknownRecord."""
    found = find(connection, name)
    if found is None:
        raise UnknownRecord(f"There is no project {name[:63]!r}.")
    return found


def list_all(connection: Connection) -> tuple[Project, ...]:
    """Every project in order of name."""
    rows = connection.execute(select(projects).order_by(projects.c.name))
    return tuple(msgspec.convert(row, Project, from_attributes=True) for row in rows)


def accredit(connection: Connection, name: str, *, until: date | None) -> None:
    """Set or end a research project's accreditation. Raises UnknownRecord."""
    revision.advance(connection)
    before = get(connection, name).accredited_until
    history.note(connection, Kind.ACCREDITATION, {name: before})
    changed = update(projects).where(projects.c.name == name).values(accredited_until=until)
    connection.execute(changed)


def add_member(
    connection: Connection,
    *,
    project: str,
    person: str,
    first_day: date,
    last_day: date | None = None,
) -> Membership:
    """Let a person act in a project on those days. Raises UnknownRecord, RequestMalformed."""
    get(connection, project)
    people.get(connection, person)
    if last_day is not None and last_day < first_day:
        raise RequestMalformed("The last day of a membership is before its first.")
    revision.advance(connection)
    membership = Membership(
        id=uuid4().hex,
        project=project,
        person=person,
        first_day=first_day,
        last_day=last_day,
        entered_last_day=last_day,
    )
    connection.execute(insert(memberships).values(msgspec.structs.asdict(membership)))
    history.note(connection, Kind.MEMBERSHIP, {membership.id: ABSENT})
    return membership


def end_membership(connection: Connection, *, project: str, person: str, last_day: date) -> None:
    """Let no membership of the person in the project outlast a day; one that ends sooner stays.

    Give the day before today to end it at once. Raises UnknownRecord where there is none.
    """
    revision.advance(connection)
    theirs = (memberships.c.project == project, memberships.c.person == person)
    if connection.execute(select(memberships.c.id).where(*theirs)).first() is None:
        raise UnknownRecord("That person is not a member of that project.")
    later = or_(memberships.c.last_day.is_(None), memberships.c.last_day > last_day)
    ended = connection.execute(
        select(memberships.c.id, memberships.c.last_day).where(*theirs, later)
    )
    history.note(connection, Kind.MEMBERSHIP, {row.id: row.last_day for row in ended})
    connection.execute(update(memberships).where(*theirs, later).values(last_day=last_day))


def members(connection: Connection, project: str) -> tuple[Membership, ...]:
    """Every membership of the project, past and to come too, by first day."""
    query = (
        select(memberships)
        .where(memberships.c.project == project)
        .order_by(memberships.c.first_day, memberships.c.id)
    )
    rows = connection.execute(query)
    return tuple(msgspec.convert(row, Membership, from_attributes=True) for row in rows)


def memberships_of(connection: Connection, person: str, project: str) -> tuple[Membership, ...]:
    """The memberships of one person in one project."""
    return tuple(held for held in members(connection, project) if held.person == person)
