"""What random stories seldom meet: each thing that bears on reading, by itself."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from access_policies import history, principals, rules, stages
from access_policies.history import Kind, Point
from access_policies.rules import Effect
from access_policies.vocabulary import Audience
from catalogue import datasets
from catalogue.address import DatasetAddress
from catalogue.dataset import Handling
from marketplace.errors import AnswerTooLarge
from marketplace.identity import projects
from marketplace.identity.projects import Project
from marketplace.oversight import reading
from marketplace.oversight.changes import Cause, Most, Turn, changes

from .conftest import DATASETS, POINT, World, new_world, scope

HOMES = "mhclg.homes"


@pytest.fixture
def world() -> Iterator[World]:
    """Ben is in the squad, which may read homes for two days."""
    with new_world() as made:
        made.do(lambda world: stages.open_at_once(world.connection, "*", Audience.BUSINESS))
        made.do(join)
        made.do(agree)
        yield made


def join(world: World, name: str = "ben") -> None:
    projects.add_member(
        world.connection,
        project="squad",
        person=world.people[name].id,
        first_day=world.now.date(),
    )


def agree(world: World) -> None:
    world.write(
        "agreement",
        subject=principals.project("squad"),
        dataset=HOMES,
        nbf=rules.epoch(world.now),
        exp=rules.epoch(world.now + timedelta(days=2)),
        stage=Audience.LOCAL_GOVERNMENT,
        obligations=(scope("a"),),
    )


def readers(world: World) -> set[str]:
    found = reading.who(world.connection, POINT, HOMES, now=world.now)
    return {reader.person.name for access in found for reader in access.readers}


def since(world: World, point: Point) -> list[tuple[Turn, tuple[Cause, ...], list[str]]]:
    found = changes(world.connection, POINT, point, world.point, DATASETS)
    return [(one.turn, one.causes, [person.name for person in one.people]) for one in found]


def test_a_denial_for_everyone_closes_it_to_those_who_could_read(world: World):
    assert readers(world) == {"ben"}
    before = world.point
    world.do(
        lambda world: world.write(
            "denial",
            subject=principals.EVERYONE,
            dataset=HOMES,
            nbf=rules.epoch(world.now),
            effect=Effect.DENY,
        )
    )
    assert readers(world) == set()
    assert since(world, before) == [(Turn.LOST, (Cause.DENIAL,), ["ben"])]


def test_a_dataset_that_is_closed_is_lost_by_the_stage_alone(world: World):
    before = world.point
    world.do(lambda world: stages.open_at_once(world.connection, HOMES, Audience.GOVERNMENT))
    assert readers(world) == set()
    assert since(world, before) == [(Turn.LOST, (Cause.STAGE,), ["ben"])]


def test_a_stage_that_moves_over_more_than_one_answer_holds_is_told_up_to_exactly_that(
    world: World,
):
    world.do(lambda world: join(world, "cy"))
    before = world.point
    world.do(lambda world: stages.open_at_once(world.connection, HOMES, Audience.GOVERNMENT))
    asked = (world.connection, POINT, before, world.point, DATASETS)
    (change,) = changes(*asked, most=Most(rules=3, told=2))
    assert (change.turn, len(change.people)) == (Turn.LOST, 2)
    with pytest.raises(AnswerTooLarge, match="more than 1 for all people"):
        changes(*asked, most=Most(rules=3, told=1))
    with pytest.raises(AnswerTooLarge, match="more than 2 rules"):
        changes(*asked, most=Most(rules=2, told=2))


def test_an_end_that_passes_is_lost_by_time_under_the_same_revision(world: World):
    before = world.point
    world.now += timedelta(days=2)
    assert world.point.revision == before.revision
    assert readers(world) == set()
    assert since(world, before) == [(Turn.LOST, (Cause.TIME,), ["ben"])]


def test_a_rule_for_one_person_reaches_them_in_what_they_act_in(world: World):
    world.do(
        lambda world: world.write(
            "agreement",
            subject=principals.person(world.people["ben"].id),
            dataset="mhclg.rents",
            nbf=rules.epoch(world.now),
            obligations=(scope("a"),),
        )
    )
    found = reading.who(world.connection, POINT, "mhclg.rents", now=world.now)
    assert [(one.post.project, len(one.readers)) for one in found] == [("squad", 1)]


def test_a_beginning_that_passed_is_gained_by_time_also_once_a_person_has_ended_it(world: World):
    world.do(
        lambda world: world.write(
            "agreement",
            subject=principals.project("squad"),
            dataset="mhclg.rents",
            nbf=rules.epoch(world.now + timedelta(days=1)),
            obligations=(scope("a"),),
        )
    )
    before = world.point
    world.now += timedelta(hours=30)
    after = world.point
    world.now += timedelta(hours=1)
    world.do(lambda world: rules.end(world.connection, f"agreement:{world.grants}", now=world.now))
    found = changes(world.connection, POINT, before, after, DATASETS)
    assert [(one.turn, one.dataset, one.causes) for one in found] == [
        (Turn.GAINED, "mhclg.rents", (Cause.TIME,))
    ]


def test_a_marking_is_as_it_was_at_the_point_that_is_asked_about(world: World):
    before = world.point
    world.do(lambda world: mark(world, Handling.HMG_USE_ONLY))
    marked = world.point
    assert readers(world) == set()
    assert since(world, before) == [(Turn.LOST, (Cause.STAGE,), ["ben"])]
    world.do(lambda world: mark(world, Handling.NONE))
    lost = changes(world.connection, POINT, before, marked, DATASETS)
    assert [one.turn for one in lost] == [Turn.LOST]
    assert since(world, before) == []


def mark(world: World, handling: Handling) -> None:
    address = DatasetAddress.parse(HOMES)
    before = datasets.handling(world.connection, address).value
    history.note(world.connection, Kind.HANDLING, {HOMES: before})
    datasets.set_handling(world.connection, address, handling)


def test_an_accreditation_is_as_it_was_at_the_point_that_is_asked_about(world: World):
    projects.register(
        world.connection,
        Project(
            name="trial",
            title="trial",
            purpose="For the trial",
            organisation="sheffield",
            audience=Audience.RESEARCHER,
        ),
    )
    world.do(
        lambda world: projects.add_member(
            world.connection,
            project="trial",
            person=world.people["cy"].id,
            first_day=world.now.date(),
        )
    )
    world.do(
        lambda world: world.write(
            "agreement",
            subject=principals.project("trial"),
            dataset="mhclg.rents",
            nbf=rules.epoch(world.now),
            stage=Audience.RESEARCHER,
            obligations=(scope("a"),),
        )
    )
    before = world.point
    accredit(world, world.now.date() + timedelta(days=9))
    accredited = world.point
    assert since(world, before) == [(Turn.GAINED, (Cause.AUDIENCE,), ["cy"])]
    accredit(world, None)
    gained = changes(world.connection, POINT, before, accredited, DATASETS)
    assert [one.turn for one in gained] == [Turn.GAINED]
    assert since(world, before) == []


def accredit(world: World, until: date | None) -> None:
    world.do(lambda world: projects.accredit(world.connection, "trial", until=until))
