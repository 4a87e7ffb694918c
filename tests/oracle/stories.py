"""What can happen in a marketplace, drawn by Hypothesis: acts in any order, and looks between them."""

from collections.abc import Callable
from datetime import date, timedelta

import msgspec
from hypothesis import strategies as st

from access_policies.vocabulary import Action, Audience, Authority, Role
from tests.oracle.country import DATASETS, HOMES, ORGANISATIONS, PROJECTS, SCOPES, invitable
from tests.oracle.facts import Terms
from tests.oracle.world import World

Act = Callable[[World], None]

WAVES = ("first", "second")

days = st.sampled_from((0, -1, -2, 0, -1, 1, 3)).map(timedelta)
lengths = st.sampled_from((4, 0, 1, 2, 3, 5, 8)).map(timedelta)
which = st.integers(0, 9)
people = st.sampled_from(tuple(HOMES))
projects = st.sampled_from(tuple(PROJECTS))
datasets = st.sampled_from(DATASETS)
audiences = st.sampled_from(Audience)
tables = st.sampled_from(
    (
        (("t", ("a",)),),
        (("t", ("a", "b")),),
        (("t", ("b", "gone")),),
        (("other", ("a",)),),
        (("other", ("a",)), ("t", ("b",))),
    )
)


class Story(msgspec.Struct, frozen=True):
    """What a world begins with, and the acts that follow; None is a look at it."""

    listed: dict[str, Audience]
    steps: list[Act | None]


def _day(world: World, after: timedelta) -> date:
    return world.today + after


@st.composite
def joining(draw: st.DrawFn) -> Act:
    person, project, starts = draw(people), draw(projects), draw(days)
    lasts = draw(st.none() | lengths)

    def act(world: World) -> None:
        first = _day(world, starts)
        world.join(person, project, first, None if lasts is None else first + lasts)

    return act


@st.composite
def leaving(draw: st.DrawFn) -> Act:
    person, project, when = draw(people), draw(projects), draw(days)
    return lambda world: world.leave(person, project, _day(world, when))


@st.composite
def seconding(draw: st.DrawFn) -> Act:
    person, starts, lasts = draw(people), draw(days), draw(lengths)
    host = draw(
        st.fixed_dictionaries({"project": projects})
        | st.fixed_dictionaries({"organisation": st.sampled_from(tuple(ORGANISATIONS))})
    )

    def act(world: World) -> None:
        first = _day(world, starts)
        world.second(person, first, first + lasts, **host)

    return act


@st.composite
def coming_as_seconded(draw: st.DrawFn) -> Act:
    """Somebody from elsewhere who is seconded to a project and made a member of it."""
    project = draw(projects)
    person = draw(people.filter(lambda name: HOMES[name] != PROJECTS[project].organisation))
    starts, lasts, later = draw(days), draw(lengths), draw(st.sampled_from((0, 0, 1, -1)))
    hosted_by_organisation = draw(st.booleans())
    host = (
        {"organisation": PROJECTS[project].organisation}
        if hosted_by_organisation
        else {"project": project}
    )

    def act(world: World) -> None:
        first = _day(world, starts)
        world.second(person, first, first + lasts, **host)
        world.join(person, project, first + timedelta(days=later), None)

    return act


@st.composite
def returning(draw: st.DrawFn) -> Act:
    number, when = draw(which), draw(days)
    return lambda world: world.send_back(number, _day(world, when))


@st.composite
def appointing(draw: st.DrawFn) -> Act:
    role = draw(st.sampled_from(Role).filter(lambda one: one is not Role.DEPUTY))
    whole = role in (Role.OPERATOR, Role.AUDITOR)
    organisation = None if whole else draw(st.sampled_from(("mhclg", "sheffield")))
    own = [name for name, home in HOMES.items() if organisation in (home, None)]
    person = draw(st.sampled_from(own) | people)
    starts, lasts = draw(days), draw(st.none() | lengths)

    def act(world: World) -> None:
        first = _day(world, starts)
        last = None if lasts is None else first + lasts
        world.appoint(person, role, organisation, first, last)

    return act


@st.composite
def deputising(draw: st.DrawFn) -> Act:
    """Somebody is named in the place of an owner, who may be seconded to where they own."""
    organisation = draw(st.sampled_from(("mhclg", "sheffield")))
    owner = draw(people)
    deputy = draw(people.filter(lambda name: name != owner))
    starts, lasts = draw(days), draw(lengths)
    hosts = draw(st.booleans())

    def act(world: World) -> None:
        first = _day(world, starts)
        if hosts and HOMES[owner] != organisation:
            world.second(owner, first, first + lasts, organisation=organisation)
        if hosts and HOMES[deputy] != organisation:
            world.second(deputy, first, first + lasts, organisation=organisation)
        world.appoint(owner, Role.OWNER, organisation, first, None)
        world.appoint(deputy, Role.DEPUTY, organisation, first, first + lasts, owner)

    return act


@st.composite
def dismissing(draw: st.DrawFn) -> Act:
    number, when = draw(which), draw(days)
    return lambda world: world.dismiss(number, _day(world, when))


@st.composite
def accrediting(draw: st.DrawFn) -> Act:
    project, until = draw(st.sampled_from(("study", "study", "squad"))), draw(st.none() | lengths)
    return lambda world: world.accredit(project, None if until is None else _day(world, until))


@st.composite
def revoking_a_token(draw: st.DrawFn) -> Act:
    number = draw(which)
    return lambda world: world.revoke_token(number)


@st.composite
def agreeing(draw: st.DrawFn) -> Act:
    project, dataset, lasts = draw(projects), draw(datasets), draw(lengths)
    with_members = draw(st.integers(0, 9))
    some = st.lists(people, min_size=1, max_size=2, unique=True).map(tuple)
    named = draw(st.just(()) | st.just(()) | some)
    actions = draw(
        st.sampled_from(
            (
                (Action.QUERY, Action.DOWNLOAD),
                (Action.QUERY,),
                (Action.DOWNLOAD,),
                (Action.PREVIEW,),
                (Action.QUERY, Action.PREVIEW),
            )
        )
    )
    terms = Terms(
        tables=draw(tables),
        tier=draw(st.sampled_from(("rows", "rows", "rows", "aggregate", "reviewed"))),
        most_rows=draw(st.sampled_from((None, None, 10))),
    )

    def act(world: World) -> None:
        joined = [one.project for one in world.facts.members] or [project]
        chosen = project if with_members == 0 else joined[with_members % len(joined)]
        world.agree(chosen, dataset, named, actions, terms, _day(world, lasts))

    return act


@st.composite
def extending(draw: st.DrawFn) -> Act:
    number, lasts = draw(which), draw(lengths)
    return lambda world: world.extend(number, _day(world, lasts + timedelta(days=2)))


@st.composite
def revoking(draw: st.DrawFn) -> Act:
    number = draw(which)
    return lambda world: world.revoke(number)


@st.composite
def offering(draw: st.DrawFn) -> Act:
    dataset, audience, found = draw(datasets), draw(audiences), draw(tables)
    lasts = draw(st.none() | lengths)
    return lambda world: world.offer(
        dataset,
        audience,
        Terms(tables=found),
        None if lasts is None else _day(world, lasts),
    )


@st.composite
def withdrawing(draw: st.DrawFn) -> Act:
    number = draw(which)
    return lambda world: world.withdraw(number)


@st.composite
def stopping(draw: st.DrawFn) -> Act:
    party = draw(
        st.just({})
        | st.fixed_dictionaries({"audience": audiences})
        | st.fixed_dictionaries({"organisation": st.sampled_from(tuple(ORGANISATIONS))})
        | st.fixed_dictionaries({"project": projects})
        | st.fixed_dictionaries({"person": people})
    )
    dataset = draw(st.sampled_from(SCOPES if party else SCOPES[:-1]))
    authority = draw(st.sampled_from(Authority))
    return lambda world: world.stop(authority, dataset, party)


@st.composite
def resuming(draw: st.DrawFn) -> Act:
    number = draw(which)
    return lambda world: world.resume(number)


@st.composite
def moving(draw: st.DrawFn) -> Act:
    scope = draw(st.sampled_from((*DATASETS, "*")))
    stage = draw(st.sampled_from((Audience.LOCAL_GOVERNMENT, Audience.LOCAL_GOVERNMENT, *Audience)))
    begins = draw(
        st.none() | st.none() | st.integers(1, 80).map(lambda hours: timedelta(hours=hours))
    )
    waves = None
    if stage is not Audience.GOVERNMENT:
        waves = draw(st.sampled_from((None, WAVES[:1], WAVES)))
    return lambda world: world.move(
        scope, stage, waves, None if begins is None else world.now + begins
    )


@st.composite
def inviting(draw: st.DrawFn) -> Act:
    wave, name = draw(st.sampled_from(WAVES)), draw(st.sampled_from(invitable()))
    return lambda world: world.invite(wave, name)


@st.composite
def marking(draw: st.DrawFn) -> Act:
    dataset, marked = draw(datasets), draw(st.sampled_from((True, True, False)))
    return lambda world: world.mark(dataset, marked)


@st.composite
def waiting(draw: st.DrawFn) -> Act:
    hours = timedelta(hours=draw(st.integers(1, 60)))

    def act(world: World) -> None:
        world.now += hours

    return act


@st.composite
def closing(draw: st.DrawFn) -> Act:
    """A stage goes back to its floor, a marking is set, or an accreditation ends."""
    scope, dataset = draw(st.sampled_from((*DATASETS, "*"))), draw(datasets)
    closers: tuple[Act, ...] = (
        lambda world: world.move(scope, Audience.GOVERNMENT, None, None),
        lambda world: world.mark(dataset, True),
        lambda world: world.accredit("study", None),
    )
    return draw(st.sampled_from(closers))


narrowing = st.one_of(
    closing(),
    leaving(),
    returning(),
    dismissing(),
    revoking_a_token(),
    revoking(),
    withdrawing(),
    stopping(),
)
"""What can only ever close."""

moves = st.one_of(moving(), inviting(), moving(), inviting(), marking())
acts = st.one_of(
    stopping(),
    moves,
    moves,
    moves,
    joining(),
    coming_as_seconded(),
    seconding(),
    appointing(),
    deputising(),
    accrediting(),
    agreeing(),
    extending(),
    offering(),
    resuming(),
    waiting(),
    narrowing,
)
populating = st.one_of(joining(), joining(), coming_as_seconded(), appointing(), deputising())
opening = st.one_of(agreeing(), agreeing(), offering())


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """People come, things are agreed and opened, and then anything happens, with looks between."""
    listed = draw(st.dictionaries(datasets, audiences))
    stage = draw(st.sampled_from((Audience.PUBLIC, Audience.BUSINESS, *Audience)))
    begun: list[Act] = [
        *draw(st.lists(populating, min_size=3, max_size=6)),
        *draw(st.lists(opening, min_size=3, max_size=5)),
        draw(accrediting()),
    ]
    steps: list[Act | None] = [lambda world: world.move("*", stage, None, None)]
    steps += [*draw(st.permutations(begun)), None]
    for act in draw(st.lists(acts, min_size=3, max_size=10)):
        steps += [act, None] if draw(st.booleans()) else [act]
    return Story(listed, [*steps, None])


closings = st.lists(narrowing, min_size=1, max_size=3)
seeds = st.integers(0, 2**32)
"""For samples that are drawn outside of Hypothesis, so that a story is not crowded out by questions."""
