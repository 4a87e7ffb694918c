"""Whom a move of the rollout is foreseen for: organisations, audiences as such, active projects."""

from datetime import datetime
from enum import StrEnum

import msgspec
from sqlalchemy import Connection, or_, select

from access_policies import principals
from access_policies.rules import ANY
from access_policies.vocabulary import Audience
from marketplace.clock import LONDON
from marketplace.identity import capacity, organisations, projects
from marketplace.identity.records import memberships


class PartyKind(StrEnum):
    """What a party is."""

    ORGANISATION = "organisation"
    AUDIENCE = "audience"
    PROJECT = "project"


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody as rules and stages know them.

    `own_names` are the names beside those of the audience: of an organisation a member in no
    particular project has it, of a project all that its members have by it together.
    """

    kind: PartyKind
    name: str
    audience: Audience
    own_names: frozenset[str] = frozenset()
    purpose: str = ANY

    @property
    def names(self) -> frozenset[str]:
        """Every name that rules and invitations may know it by."""
        return self.own_names | principals.audiences_of(self.audience)


def list_all(connection: Connection, *, now: datetime) -> tuple[Party, ...]:
    """Every organisation, every audience, and every project that has a member at the moment."""
    return (
        *(
            Party(
                kind=PartyKind.ORGANISATION,
                name=one.name,
                audience=one.audience,
                own_names=frozenset(
                    {principals.organisation(one.name), principals.employer(one.name)}
                ),
            )
            for one in organisations.list_all(connection)
        ),
        *(
            Party(kind=PartyKind.AUDIENCE, name=audience.name.lower(), audience=audience)
            for audience in Audience
        ),
        *_active_projects(connection, now),
    )


def _active_projects(connection: Connection, now: datetime) -> tuple[Party, ...]:
    today = now.astimezone(LONDON).date()
    held = select(memberships.c.project, memberships.c.person).where(
        memberships.c.first_day <= today,
        or_(memberships.c.last_day.is_(None), memberships.c.last_day >= today),
    )
    members: dict[str, set[str]] = {}
    for project, person in connection.execute(held):
        members.setdefault(project, set()).add(principals.member(project, person))
    return tuple(
        Party(
            kind=PartyKind.PROJECT,
            name=one.name,
            audience=capacity.accredited_audience(one.audience, one, now=now),
            own_names=frozenset(
                {
                    principals.project(one.name),
                    principals.organisation(one.organisation),
                    *members[one.name],
                }
            ),
            purpose=one.purpose,
        )
        for one in projects.list_all(connection)
        if one.name in members
    )
