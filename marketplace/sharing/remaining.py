"""Which members an agreement would reach, and who of them drops off before its last day."""

from datetime import date, datetime

import msgspec
from sqlalchemy import Connection

from marketplace.errors import InvalidSharing, Unauthenticated
from marketplace.identity import capacity, people, projects
from marketplace.identity.people import Person
from marketplace.identity.projects import Project
from marketplace.sharing.bounds import few


class Remaining(msgspec.Struct, frozen=True, kw_only=True):
    """A member who acts in the project now, and their last day in it (none: no end known)."""

    person: Person
    last_day: date | None


def members_now(connection: Connection, project: Project, now: datetime) -> tuple[Remaining, ...]:
    """Everyone who acts in the project at this moment."""
    found = []
    for identifier in dict.fromkeys(m.person for m in projects.members(connection, project.name)):
        person = people.get(connection, identifier)
        try:
            held = capacity.in_project(connection, person, project, now=now)
        except Unauthenticated:
            continue
        found.append(Remaining(person=person, last_day=held.last_day))
    return tuple(found)


def named(members: tuple[Remaining, ...], wanted: tuple[str, ...]) -> tuple[Remaining, ...]:
    """The members named by identifier or e-mail address; all where none is named.

    Raises InvalidSharing for anyone who is not a member now.
    """
    if not wanted:
        return members
    by_name = {member.person.id: member for member in members}
    by_name |= {member.person.email: member for member in members}
    keys = [name if name in by_name else name.strip().lower() for name in wanted]
    strangers = [
        f"{key!r} is not a member of the project now." for key in keys if key not in by_name
    ]
    if strangers:
        raise InvalidSharing(
            "The request names people who are not in the project.",
            next_step="Name members by their e-mail address, or leave the names out.",
            lines=few(strangers),
        )
    return tuple({by_name[key].person.id: by_name[key] for key in keys}.values())


def notes_on(members: tuple[Remaining, ...], last_day: date) -> tuple[str, ...]:
    """A sentence for everyone who drops off before the last day.

    Raises InvalidSharing where nobody would remain to the last day.
    """
    ends = [member.last_day for member in members if member.last_day is not None]
    if not members:
        raise InvalidSharing(
            "Nobody acts in the project now, so an agreement would reach nobody.",
            next_step="Add members to the project first.",
        )
    if len(ends) == len(members) and max(ends) < last_day:
        raise InvalidSharing(
            "Nobody remains in the project until that last day.",
            next_step=f"Choose a last day not after {_written(max(ends))}, or extend a membership.",
        )
    return dropping_off(members, last_day)


def dropping_off(members: tuple[Remaining, ...], last_day: date) -> tuple[str, ...]:
    """A sentence for everyone who drops off before the last day."""
    return tuple(
        f"{member.person.name} drops off at the end of {_written(member.last_day)}."
        for member in members
        if member.last_day is not None and member.last_day < last_day
    )


def _written(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
