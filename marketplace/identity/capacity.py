"""In what capacity a person acts: as whom, in which audience, and until when.

A membership rests on a secondment where the person was seconded to the project (or to its host)
during it; it opens nothing before that secondment begins and nothing once it has ended. While it
lasts the person acts with the host's audience. Everyone else acts with their home's.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import TypeVar

import msgspec
from sqlalchemy import Connection

from access_policies.vocabulary import Audience, Role
from marketplace.clock import end_of_last_day, start_of_day
from marketplace.errors import Unauthenticated
from marketplace.identity import organisations, projects, secondments
from marketplace.identity.people import Person
from marketplace.identity.projects import Membership, Project
from marketplace.identity.secondments import Secondment

_Held = TypeVar("_Held", Membership, Secondment)

AudienceOf = Callable[[str], Audience]
"""The audience of an organisation by its name."""


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """The effective audience, and the last day on which the person has it (none: no end known).

    `changes_at` is the first moment to come at which a membership or secondment of theirs begins or
    ends, so that the answer may be another; it is no later than `until`.
    """

    audience: Audience
    last_day: date | None = None
    changes_at: datetime | None = None

    @property
    def until(self) -> datetime | None:
        """The moment at which the capacity ends, in UTC."""
        return end_of_last_day(self.last_day) if self.last_day else None


def in_project(
    connection: Connection, person: Person, project: Project, *, now: datetime
) -> Capacity:
    """How the person acts in the project now; the more restricted audience of the two counts.

    Raises Unauthenticated, with a sentence for the person, where they do not act in it now.
    """
    return as_member(
        person,
        project,
        projects.memberships_of(connection, person.id, project.name),
        secondments.of_person(connection, person.id),
        _audiences(connection),
        now=now,
    )


def as_member(
    person: Person,
    project: Project,
    held: Iterable[Membership],
    seconded: Iterable[Secondment],
    audience_of: AudienceOf,
    *,
    now: datetime,
) -> Capacity:
    """As `in_project`, from the person's memberships of it and all of their secondments."""
    held, seconded = tuple(held), tuple(seconded)
    membership = _longest(held, now)
    if membership is None:
        raise Unauthenticated(
            _membership_over(held, project, now), next_step="Ask the lead of the project."
        )
    own, last_day = _own_audience(audience_of, person, project, membership, seconded, now)
    return Capacity(
        audience=max(own, project.audience),
        last_day=last_day,
        changes_at=_next_change((*held, *seconded), now),
    )


def in_role(
    connection: Connection, person: Person, role: Role, organisation: str | None, *, now: datetime
) -> Capacity:
    """How the person acts in a role now. Raises Unauthenticated where they left the organisation."""
    at_home = organisation is None or organisation == person.organisation
    seconded = () if at_home else secondments.of_person(connection, person.id)
    return as_holder(person, role, organisation, seconded, _audiences(connection), now=now)


def as_holder(
    person: Person,
    role: Role,
    organisation: str | None,
    seconded: Iterable[Secondment],
    audience_of: AudienceOf,
    *,
    now: datetime,
) -> Capacity:
    """As `in_role`, from all of the person's secondments."""
    if organisation is None or organisation == person.organisation:
        return Capacity(audience=audience_of(person.organisation))
    seconded = tuple(seconded)
    secondment = _longest(
        (held for held in seconded if held.host_organisation == organisation), now
    )
    if secondment is None:
        raise Unauthenticated(
            f"You do not act for {organisation} now, so not as its {role} either.",
            next_step="Ask the operator, if your secondment should go on.",
        )
    return Capacity(
        audience=audience_of(organisation),
        last_day=secondment.last_day,
        changes_at=_next_change(seconded, now),
    )


def _audiences(connection: Connection) -> AudienceOf:
    return lambda name: organisations.get(connection, name).audience


def _own_audience(
    audience_of: AudienceOf,
    person: Person,
    project: Project,
    membership: Membership,
    seconded: Iterable[Secondment],
    now: datetime,
) -> tuple[Audience, date | None]:
    home = audience_of(person.organisation)
    if person.organisation == project.organisation:
        return home, membership.last_day
    hosted = [held for held in seconded if _is_to(held, project) and _overlap(held, membership)]
    if not hosted:
        return home, membership.last_day
    secondment = _longest(hosted, now)
    if secondment is None:
        raise Unauthenticated(
            f"Your secondment to {project.name} {_when(hosted, now)}.",
            next_step="Ask the lead of the project, if it should go on.",
        )
    host = secondment.host_organisation
    audience = audience_of(host) if host else project.audience
    days = [day for day in (membership.last_day, secondment.last_day) if day is not None]
    return audience, min(days)


def _is_to(held: Secondment, project: Project) -> bool:
    return held.host_project == project.name or held.host_organisation == project.organisation


def _overlap(held: Secondment, membership: Membership) -> bool:
    ends = _end(membership.last_day)
    return held.first_day <= ends and membership.first_day <= held.last_day


def _end(last_day: date | None) -> date:
    return date.max if last_day is None else last_day


def _longest(held: Iterable[_Held], now: datetime) -> _Held | None:
    """Of those that hold now the one that lasts longest."""
    current = [one for one in held if _holds(one, now)]
    return max(current, key=lambda one: _end(one.last_day), default=None)


def _holds(held: Membership | Secondment, now: datetime) -> bool:
    begun = start_of_day(held.first_day) <= now
    return begun and (held.last_day is None or now < end_of_last_day(held.last_day))


def _next_change(held: Iterable[Membership | Secondment], now: datetime) -> datetime | None:
    days = list(held)
    edges = [start_of_day(one.first_day) for one in days]
    edges += [end_of_last_day(one.last_day) for one in days if one.last_day is not None]
    return min((edge for edge in edges if edge > now), default=None)


def _membership_over(held: Iterable[Membership], project: Project, now: datetime) -> str:
    known = list(held)
    if not known:
        return f"You are not a member of {project.name}."
    return f"Your membership of {project.name} {_when(known, now)}."


def _when(held: Iterable[Membership | Secondment], now: datetime) -> str:
    to_come = [one.first_day for one in held if start_of_day(one.first_day) > now]
    if to_come:
        return f"begins on {_written(min(to_come))}"
    ended = max(one.last_day for one in held if one.last_day is not None)
    return f"ended at the end of {_written(ended)}"


def _written(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
