"""Act 1: councils and departments are registered, then the squads and the people."""

import csv
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from access_policies.vocabulary import Audience
from catalogue.address import identifier_from
from catalogue.places import Places
from marketplace.clock import LONDON, end_of_last_day
from marketplace.demo.cast import (
    AT_FIRST,
    COMPANY,
    HOUSING,
    LIVERPOOL_SQUAD,
    MEMBER,
    RESEARCH,
    SHEFFIELD_SQUAD,
    UNIVERSITY,
    Character,
)
from marketplace.demo.telling import Telling
from marketplace.demo.world import OPERATOR, World
from marketplace.identity.organisations import Organisation
from marketplace.identity.projects import Project

DATA = Path(__file__).with_name("data")

# The register has no short names; this one is the department's own.
_SHORT_NAMES = {"Ministry of Housing, Communities and Local Government": HOUSING}

_SQUADS = {SHEFFIELD_SQUAD: "sheffield", LIVERPOOL_SQUAD: "liverpool"}
_PURPOSE = "Lower the number of families in temporary accommodation and what it costs."


def register(world: World, telling: Telling) -> None:
    """Enter every organisation and everybody in the story, and open the first stage."""
    administration = world.marketplace.administration
    councils = list(_councils(world.marketplace.places))
    taken = {council.name for council in councils}
    departments = list(_departments(taken))
    with telling.working("Registering"):
        administration.register_organisations([*departments, *councils, *_invented()], by=OPERATOR)
    telling.outcome(
        "Register organisations",
        f"{len(departments)} from the GOV.UK register, {len(councils)} councils and authorities "
        "with their area codes",
    )
    administration.open_first_stage(Audience.LOCAL_GOVERNMENT, by=OPERATOR)
    for squad, council in _SQUADS.items():
        administration.register_project(_squad(squad, council), by=OPERATOR)
    administration.register_project(_study(), by=OPERATOR)
    administration.accredit(RESEARCH, until=world.calendar.tokens_last_day, by=OPERATOR)
    for character in AT_FIRST:
        enter(world, character)
    until = world.calendar.secondment_last_day
    telling.outcome(
        "Register two squads, an accredited study and their people",
        f"one member on secondment from a company until {until:%d %b %Y}",
    )


def _councils(places: Places) -> Iterator[Organisation]:
    named: set[str] = set()
    for place in places.councils():
        name = identifier_from(place.name)
        if name in named:
            name = identifier_from(place.official_name)
        named.add(name)
        yield Organisation(
            name=name,
            title=place.official_name,
            audience=Audience.LOCAL_GOVERNMENT,
            place=place.code,
        )


def _departments(taken: set[str]) -> Iterator[Organisation]:
    with (DATA / "govuk_organisations.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = _SHORT_NAMES.get(row["name"]) or identifier_from(row["name"])
            if name in taken:
                name = identifier_from(f"{row['name']} {row['key']}")
            taken.add(name)
            yield Organisation(name=name, title=row["name"], audience=Audience.GOVERNMENT)


def _invented() -> tuple[Organisation, ...]:
    return (
        Organisation(name=COMPANY, title="A company (invented)", audience=Audience.BUSINESS),
        Organisation(
            name=UNIVERSITY, title="A university (invented)", audience=Audience.RESEARCHER
        ),
    )


def _squad(name: str, council: str) -> Project:
    return Project(
        name=name,
        title=f"Temporary accommodation squad in {council.capitalize()}",
        purpose=_PURPOSE,
        organisation=council,
        audience=Audience.LOCAL_GOVERNMENT,
    )


def _study() -> Project:
    return Project(
        name=RESEARCH,
        title="A study of what councils spend",
        purpose="Find what councils pay for the same things, for anybody to read.",
        organisation=UNIVERSITY,
        audience=Audience.RESEARCHER,
    )


def enter(world: World, character: Character) -> None:
    """Enter a person with all that they are, and keep their token."""
    administration = world.marketplace.administration
    first_day = world.clock().astimezone(LONDON).date() - timedelta(days=1)
    administration.register_person(
        name=character.name,
        email=character.email,
        organisation=character.home,
        by=OPERATOR,
    )
    if character is MEMBER:
        administration.second(
            email=character.email,
            host_project=character.squad,
            first_day=first_day,
            last_day=world.calendar.secondment_last_day,
            by=OPERATOR,
        )
    if character.squad is not None:
        administration.add_member(
            project=character.squad,
            email=character.email,
            first_day=first_day,
            last_day=None,
            by=OPERATOR,
        )
    world.tokens[character.key], _ = administration.issue_token(
        email=character.email,
        project=character.squad,
        role=character.role,
        organisation=character.organisation,
        expires_at=end_of_last_day(world.calendar.tokens_last_day),
        by=OPERATOR,
    )
