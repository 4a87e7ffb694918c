"""In what capacity a person acts: as whom, in which audience, and until when.

A membership rests on a secondment where the person was to be seconded to the project (or to its host)
during it, by the days that were entered; it opens nothing before that secondment begins and nothing
once it has ended. While it lasts the person acts with the host's audience. Everyone else acts with
their home's. Of several memberships and secondments that hold the one with the most trusted audience
counts: so nothing that ends sooner opens more. Whoever would act as a researcher does so while their
project is accredited, and else as one of the public (decision 0023).

A role is held by appointment, and away from home by secondment too. A deputy acts while the owner in
whose place they decide acts as one.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from typing import NamedTuple, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

from access_policies.vocabulary import Audience, Role
from marketplace.clock import end_of_last_day, start_of_day
from marketplace.errors import Unauthenticated
from marketplace.identity import appointments, organisations, people, projects, secondments
from marketplace.identity.appointments import Appointment
from marketplace.identity.people import Person
from marketplace.identity.projects import Membership, Project
from marketplace.identity.secondments import Secondment


class _Lasting(Protocol):
    """What holds from a first to a last day: a membership, a secondment, an appointment."""

    @property
    def first_day(self) -> date: ...

    @property
    def last_day(self) -> date | None: ...


_Held = TypeVar("_Held", bound=_Lasting)

AudienceOf = Callable[[str], Audience]
"""The audience of an organisation by its name."""

Owning = Callable[[str], tuple[Person, tuple[Appointment, ...], tuple[Secondment, ...]]]
"""An owner by identifier, with their appointments as owner of an organisation and all secondments."""


class _Way(NamedTuple):
    """One way in which somebody acts in a project now, and until the end of which day (none: open)."""

    audience: Audience
    last_day: date | None


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """The effective audience, and the last day on which the person has it (none: no end known).

    `organisation` is the one that they act for, `home` the one that employs them, `in_place_of` the
    owner for whom a deputy decides. `changes_at` is the first moment to come at which something that
    this rests on begins or ends, so that the answer may be another; it is no later than `until`.
    """

    audience: Audience
    organisation: str
    home: str
    in_place_of: Person | None = None
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
    current = [membership for membership in held if _holds(membership, now)]
    if not current:
        raise Unauthenticated(
            _membership_over(held, project, now), next_step="Ask the lead of the project."
        )
    way = _best_way(audience_of, person, project, current, seconded, now)
    acting = Capacity(
        audience=max(way.audience, project.audience),
        organisation=project.organisation,
        home=person.organisation,
        last_day=way.last_day,
        changes_at=_next_change((*held, *seconded), now),
    )
    return _as_accredited(acting, project, now)


def in_role(
    connection: Connection, person: Person, role: Role, organisation: str | None, *, now: datetime
) -> Capacity:
    """How the person acts in a role now.

    Raises Unauthenticated, with a sentence for the person, where they do not hold it now.
    """

    def owning(owner: str) -> tuple[Person, tuple[Appointment, ...], tuple[Secondment, ...]]:
        held = appointments.held(connection, owner, Role.OWNER, organisation)
        return people.get(connection, owner), held, secondments.of_person(connection, owner)

    return as_holder(
        person,
        (role, organisation),
        appointments.held(connection, person.id, role, organisation),
        secondments.of_person(connection, person.id),
        owning,
        _audiences(connection),
        now=now,
    )


def as_holder(
    person: Person,
    post: tuple[Role, str | None],
    named: tuple[Appointment, ...],
    seconded: Iterable[Secondment],
    owning: Owning,
    audience_of: AudienceOf,
    *,
    now: datetime,
) -> Capacity:
    """As `in_role`, from the person's appointments to it and all of their secondments."""
    role, organisation = post
    appointment = _longest(named, now)
    if appointment is None:
        raise _not_named(named, role, organisation, now)
    days: list[_Lasting] = [appointment]
    bearing: list[_Lasting] = [*named]
    owner = None
    if appointment.in_place_of is not None:
        owner, owned, hosting = owning(appointment.in_place_of)
        days += _deputised(owner, organisation, owned, hosting, now)
        bearing += [*owned, *hosting]
    if organisation is not None and organisation != person.organisation:
        seconded = tuple(seconded)
        days.append(_hosted(seconded, role, organisation, now))
        bearing += seconded
    acts_for = organisation or person.organisation
    ends = [one.last_day for one in days if one.last_day is not None]
    return Capacity(
        audience=audience_of(acts_for),
        organisation=acts_for,
        home=person.organisation,
        in_place_of=owner,
        last_day=min(ends, default=None),
        changes_at=_next_change(bearing, now),
    )


def accredited_audience(audience: Audience, project: Project, *, now: datetime) -> Audience:
    """The audience that somebody of it has in the project: a researcher's needs its accreditation."""
    last_day = project.accredited_until
    accredited = last_day is not None and now < end_of_last_day(last_day)
    return Audience.PUBLIC if audience is Audience.RESEARCHER and not accredited else audience


def _as_accredited(acting: Capacity, project: Project, now: datetime) -> Capacity:
    """How far somebody acts as a researcher: while the project is accredited."""
    audience = accredited_audience(acting.audience, project, now=now)
    last_day = project.accredited_until
    if audience is not Audience.RESEARCHER or last_day is None:
        return msgspec.structs.replace(acting, audience=audience)
    ends = end_of_last_day(last_day)
    return msgspec.structs.replace(
        acting,
        last_day=min(_end(acting.last_day), last_day),
        changes_at=min(acting.changes_at or ends, ends),
    )


def _not_named(
    named: tuple[Appointment, ...], role: Role, organisation: str | None, now: datetime
) -> Unauthenticated:
    of = f"{role} of {organisation}" if organisation else f"{role} of the marketplace"
    asked = f"An administrator of {organisation}" if organisation else "The operator"
    return Unauthenticated(
        f"Your appointment as {of} {_when(named, now)}."
        if named
        else f"You are not named as {of}.",
        next_step=f"{asked} names who holds that role.",
    )


def _deputised(
    owner: Person,
    organisation: str | None,
    owning: tuple[Appointment, ...],
    seconded: tuple[Secondment, ...],
    now: datetime,
) -> list[_Lasting]:
    """What the owner in whose place a deputy decides acts by now."""
    needed: list[_Lasting | None] = [_longest(owning, now)]
    if owner.organisation != organisation:
        needed.append(_longest(_to_organisation(seconded, organisation), now))
    found = [one for one in needed if one is not None]
    if len(found) < len(needed):
        raise Unauthenticated(
            f"{owner.name}, in whose place you decide, is not an owner now.",
            next_step="An administrator of the organisation names owners and their deputies.",
        )
    return found


def _to_organisation(
    seconded: Iterable[Secondment], organisation: str | None
) -> Iterator[Secondment]:
    return (held for held in seconded if held.host_organisation == organisation)


def _hosted(
    seconded: Iterable[Secondment], role: Role, organisation: str, now: datetime
) -> Secondment:
    found = _longest(_to_organisation(seconded, organisation), now)
    if found is None:
        raise Unauthenticated(
            f"You do not act for {organisation} now, so not as its {role} either.",
            next_step="Ask the operator, if your secondment should go on.",
        )
    return found


def _audiences(connection: Connection) -> AudienceOf:
    return lambda name: organisations.get(connection, name).audience


def _best_way(
    audience_of: AudienceOf,
    person: Person,
    project: Project,
    current: list[Membership],
    seconded: tuple[Secondment, ...],
    now: datetime,
) -> _Way:
    """Of the ways in which the person acts the most trusted one, and of those the one that lasts longest."""
    home = audience_of(person.organisation)
    ways: list[_Way] = []
    resting: list[Secondment] = []
    for membership in current:
        hosts = [held for held in seconded if _rests_on(membership, held, project)]
        if person.organisation == project.organisation or not hosts:
            ways.append(_Way(home, membership.last_day))
            continue
        resting += hosts
        ways += [
            _Way(_audience_at(audience_of, held, project), _earlier(membership, held))
            for held in hosts
            if _holds(held, now)
        ]
    if not ways:
        raise Unauthenticated(
            f"Your secondment to {project.name} {_when(resting, now)}.",
            next_step="Ask the lead of the project, if it should go on.",
        )
    return max(ways, key=lambda way: (-way.audience, _end(way.last_day)))


def _audience_at(audience_of: AudienceOf, held: Secondment, project: Project) -> Audience:
    host = held.host_organisation
    return audience_of(host) if host else project.audience


def _rests_on(membership: Membership, held: Secondment, project: Project) -> bool:
    # As they were entered: what is cut short must not open what it was to rest on until then.
    is_to = held.host_project == project.name or held.host_organisation == project.organisation
    begins_in_time = held.first_day <= _end(membership.entered_last_day)
    return is_to and begins_in_time and membership.first_day <= _end(held.entered_last_day)


def _earlier(membership: Membership, held: Secondment) -> date:
    return min(_end(membership.last_day), held.last_day)


def _end(last_day: date | None) -> date:
    return date.max if last_day is None else last_day


def _longest(held: Iterable[_Held], now: datetime) -> _Held | None:
    """Of those that hold now the one that lasts longest."""
    current = [one for one in held if _holds(one, now)]
    return max(current, key=lambda one: _end(one.last_day), default=None)


def _holds(held: _Lasting, now: datetime) -> bool:
    begun = start_of_day(held.first_day) <= now
    return begun and (held.last_day is None or now < end_of_last_day(held.last_day))


def _next_change(held: Iterable[_Lasting], now: datetime) -> datetime | None:
    days = list(held)
    edges = [start_of_day(one.first_day) for one in days]
    edges += [end_of_last_day(one.last_day) for one in days if one.last_day is not None]
    return min((edge for edge in edges if edge > now), default=None)


def _membership_over(held: Iterable[Membership], project: Project, now: datetime) -> str:
    known = list(held)
    if not known:
        return f"You are not a member of {project.name}."
    return f"Your membership of {project.name} {_when(known, now)}."


def _when(held: Iterable[_Lasting], now: datetime) -> str:
    to_come = [one.first_day for one in held if start_of_day(one.first_day) > now]
    if to_come:
        return f"begins on {_written(min(to_come))}"
    ended = max(one.last_day for one in held if one.last_day is not None)
    return f"ended at the end of {_written(ended)}"


def _written(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
