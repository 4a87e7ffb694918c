"""A small marketplace in memory in which anything can happen, and the naive answer to who reads what."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta

from hypothesis import strategies as st
from sqlalchemy import Connection

from access_policies import history, principals, revision, rules, stages, standing
from access_policies.decision import Obligation, RestrictTo
from access_policies.decision_point import DecisionPoint
from access_policies.errors import RuleConflict
from access_policies.history import Point
from access_policies.rules import DATA_ACTIONS, Rule
from access_policies.scope import AllRows, TableScope
from access_policies.vocabulary import Action, Audience, Environment, Resource, Role
from catalogue import datasets
from catalogue.address import DatasetAddress
from catalogue.dataset import AccessRights, Dataset
from marketplace.errors import RecordExists, Unauthenticated
from marketplace.identity import (
    appointments,
    capacity,
    organisations,
    people,
    projects,
    secondments,
    tokens,
)
from marketplace.identity.census import Post
from marketplace.identity.organisations import Organisation
from marketplace.identity.people import Person
from marketplace.identity.projects import Project
from tests.oracle.world import in_memory

START = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
ORGANISATIONS = {
    "mhclg": Audience.GOVERNMENT,
    "sheffield": Audience.LOCAL_GOVERNMENT,
    "acme": Audience.BUSINESS,
}
DATASETS = ("mhclg.homes", "mhclg.rents", "sheffield.spend")
PROJECTS = ("squad", "study")
PEOPLE = ("ada", "ben", "cy", "dot")
POINT = DecisionPoint()

Key = tuple[str, Post, str, Action]
"""A person's identifier, what they act in, a dataset, and what they may do with it."""

Held = dict[Key, tuple[str, tuple[Obligation, ...]]]
"""Who may do what in which capacity, with the grant and the obligations that decide."""

Act = Callable[["World"], object]


class World:
    """People, projects and datasets; acts are done one by one, each its own revision."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.now = START
        self.grants = 0
        self.appointed: list[str] = []
        self.seconded: list[str] = []
        for name, audience in ORGANISATIONS.items():
            organisations.register(
                connection, Organisation(name=name, title=name, audience=audience)
            )
        self.people: dict[str, Person] = {}
        for name, home in zip(PEOPLE, ("mhclg", "sheffield", "sheffield", "acme"), strict=True):
            self.people[name] = people.register(
                connection, name=name, email=f"{name}@example.org", organisation=home
            )
        for name, audience in zip(
            PROJECTS, (Audience.LOCAL_GOVERNMENT, Audience.BUSINESS), strict=True
        ):
            projects.register(
                connection,
                Project(
                    name=name,
                    title=name,
                    purpose=f"For the {name}",
                    organisation="sheffield",
                    audience=audience,
                ),
            )
        for address in DATASETS:
            datasets.register(
                connection,
                Dataset(
                    address=DatasetAddress.parse(address),
                    title=address,
                    description="",
                    licence="",
                    access_rights=AccessRights.INTERNAL,
                    official_sensitive=False,
                    created_at=START,
                ),
            )

    def do(self, act: Act) -> None:
        """Let an act happen in a revision of its own."""
        revision.advance(self.connection)
        act(self)

    @property
    def point(self) -> Point:
        """Where in the history this is."""
        return history.newest(self.connection, self.now)

    def write(self, grant: str, **values: object) -> None:
        """Write a rule of a new grant for each action of reading."""
        self.grants += 1
        actions = values.pop("actions", tuple(DATA_ACTIONS))
        for action in actions:  # type: ignore[attr-defined]
            identifier = f"{grant}:{self.grants}"
            rule = Rule(id=f"{identifier}/{action}", action=action, grant=identifier, **values)  # type: ignore[arg-type]
            # Of two agreements for the same and at the same time the second may be refused.
            with suppress(RuleConflict):
                rules.write(self.connection, rule)

    def held(self) -> Held:
        """The naive answer: everybody is asked for in every capacity, dataset by dataset."""
        return {
            (person.id, post, dataset, action): answer
            for person in self.people.values()
            for post in self._posts(person)
            for dataset in DATASETS
            for action in DATA_ACTIONS
            if (answer := self._decided(person, post, dataset, action)) is not None
        }

    def _posts(self, person: Person) -> Iterator[Post]:
        for name in PROJECTS:
            yield Post(project=name)
        named = appointments.list_all(self.connection, person=person.id)
        for role, organisation in {(one.role, one.organisation) for one in named}:
            yield Post(role=role, organisation=organisation)

    def _decided(
        self, person: Person, post: Post, dataset: str, action: Action
    ) -> tuple[str, tuple[Obligation, ...]] | None:
        try:
            if post.project is not None:
                project = projects.get(self.connection, post.project)
                held = capacity.in_project(self.connection, person, project, now=self.now)
                names, purpose = tokens.names_in(project.name, person.id), project.purpose
            else:
                assert post.role is not None
                held = capacity.in_role(
                    self.connection, person, post.role, post.organisation, now=self.now
                )
                names, purpose = {principals.role(post.role, post.organisation)}, "*"
        except Unauthenticated:
            return None
        decision = POINT.decide(
            self.connection,
            tokens.subject_of(person.id, names, held),
            action,
            Resource(dataset=dataset, stage=self._stage(dataset)),
            Environment(now=self.now, stage=self._stage("*"), purpose=purpose),
        )
        return (decision.grant, decision.obligations) if decision.allowed else None

    def _stage(self, scope: str) -> Audience:
        return stages.openings(self.connection, (scope,), now=self.now)[scope].stage


@contextmanager
def new_world() -> Iterator[World]:
    """A world of its own."""
    worlds: list[World] = []
    clock = {revision.CLOCK: lambda: worlds[0].now if worlds else START}
    with in_memory().connect().execution_options(**clock) as connection:
        worlds.append(World(connection))
        yield worlds[0]


def scope(column: str) -> RestrictTo:
    return RestrictTo(tables=(TableScope(table="t", columns=(column,), rows=AllRows()),))


days = st.sampled_from((-2, -1, -1, 0, 0, 0, 1, 3)).map(timedelta)
named = st.sampled_from(PEOPLE)
in_projects = st.sampled_from(PROJECTS)
on_datasets = st.sampled_from(DATASETS)


def _last_day(world: World, after: timedelta) -> date:
    return (world.now + after).date()


@st.composite
def joining(draw: st.DrawFn) -> Act:
    person, project, starts = draw(named), draw(in_projects), draw(days)
    lasts = draw(st.sampled_from((None, None, timedelta(0), timedelta(2), timedelta(5))))

    def act(world: World) -> None:
        first = _last_day(world, starts)
        last = None if lasts is None else first + lasts
        projects.add_member(
            world.connection,
            project=project,
            person=world.people[person].id,
            first_day=first,
            last_day=last,
        )

    return act


@st.composite
def leaving(draw: st.DrawFn) -> Act:
    person, project, when = draw(named), draw(in_projects), draw(days)

    def act(world: World) -> None:
        who = world.people[person].id
        if projects.memberships_of(world.connection, who, project):
            projects.end_membership(
                world.connection, project=project, person=who, last_day=_last_day(world, when)
            )

    return act


@st.composite
def seconding(draw: st.DrawFn) -> Act:
    person, starts, lasts = draw(named), draw(days), draw(st.integers(0, 5).map(timedelta))
    host = draw(
        st.fixed_dictionaries({"host_project": in_projects})
        | st.fixed_dictionaries({"host_organisation": st.sampled_from(("mhclg", "sheffield"))})
    )

    def act(world: World) -> None:
        first = _last_day(world, starts)
        made = secondments.register(
            world.connection,
            person=world.people[person].id,
            first_day=first,
            last_day=first + lasts,
            **host,
        )
        world.seconded.append(made.id)

    return act


@st.composite
def returning(draw: st.DrawFn) -> Act:
    which, when = draw(st.integers(0, 9)), draw(days)

    def act(world: World) -> None:
        if world.seconded:
            secondments.end(
                world.connection,
                world.seconded[which % len(world.seconded)],
                last_day=_last_day(world, when),
            )

    return act


@st.composite
def appointing(draw: st.DrawFn) -> Act:
    person, lasts = draw(named), draw(st.none() | st.integers(1, 6).map(timedelta))
    role = draw(st.sampled_from((Role.OWNER, Role.PUBLISHER)))
    organisation = draw(st.sampled_from(("mhclg", "sheffield")))

    def act(world: World) -> None:
        # Nobody is named to the same role twice on one day.
        with suppress(RecordExists):
            named = appointments.appoint(
                world.connection,
                person=world.people[person].id,
                role=role,
                organisation=organisation,
                first_day=world.now.date(),
                last_day=None if lasts is None else (world.now + lasts).date(),
            )
            standing.ensure_role(world.connection, role, organisation)
            world.appointed.append(named.id)

    return act


@st.composite
def dismissing(draw: st.DrawFn) -> Act:
    which, when = draw(st.integers(0, 9)), draw(days)

    def act(world: World) -> None:
        if world.appointed:
            identifier = world.appointed[which % len(world.appointed)]
            appointments.end(world.connection, identifier, last_day=_last_day(world, when))

    return act


@st.composite
def agreeing(draw: st.DrawFn) -> Act:
    project, dataset, starts = draw(in_projects), draw(on_datasets), draw(days)
    lasts, column = draw(st.integers(1, 6).map(timedelta)), draw(st.sampled_from("ab"))
    person = draw(st.sampled_from((None, None, *PEOPLE)))
    its_own = f"For the {project}"
    purpose = draw(st.sampled_from((its_own, its_own, its_own, "For something else")))
    actions = draw(st.sampled_from((tuple(DATA_ACTIONS), (Action.QUERY,))))

    def act(world: World) -> None:
        subject = principals.project(project)
        if person is not None:
            subject = principals.member(project, world.people[person].id)
        begins = world.now + starts
        world.write(
            "agreement",
            subject=subject,
            dataset=dataset,
            purpose=purpose,
            nbf=rules.epoch(begins),
            exp=rules.epoch(begins + lasts),
            stage=Audience.LOCAL_GOVERNMENT,
            obligations=(scope(column),),
            actions=actions,
        )

    return act


@st.composite
def offering(draw: st.DrawFn) -> Act:
    audience, dataset = draw(st.sampled_from(Audience)), draw(on_datasets)

    def act(world: World) -> None:
        world.write(
            "offer",
            subject=principals.audience(audience),
            dataset=dataset,
            nbf=rules.epoch(world.now),
            stage=audience,
            obligations=(scope("offered"),),
        )

    return act


@st.composite
def denying(draw: st.DrawFn) -> Act:
    dataset = draw(st.sampled_from((*DATASETS, "mhclg.*", "*")))
    whom = draw(st.sampled_from((*PEOPLE, *PROJECTS, "*", "*", "*")))

    def act(world: World) -> None:
        subject = {name: principals.project(name) for name in PROJECTS} | {"*": "*"}
        closed = subject.get(whom) or principals.person(world.people[whom].id)
        world.write(
            "denial",
            subject=closed,
            dataset=dataset,
            nbf=rules.epoch(world.now),
            effect=rules.Effect.DENY,
            actions=("*",),
        )

    return act


@st.composite
def ending(draw: st.DrawFn) -> Act:
    which = draw(st.integers(0, 9))

    def act(world: World) -> None:
        if world.grants:
            number = which % world.grants + 1
            for kind in ("agreement", "offer", "denial"):
                rules.end(world.connection, f"{kind}:{number}", now=world.now)

    return act


@st.composite
def opening(draw: st.DrawFn) -> Act:
    scope, stage = draw(st.sampled_from((*DATASETS, "*", "*"))), draw(st.sampled_from(Audience))
    return lambda world: stages.open_at_once(world.connection, scope, stage)


@st.composite
def waiting(draw: st.DrawFn) -> Act:
    hours = timedelta(hours=draw(st.integers(1, 60)))

    def act(world: World) -> None:
        world.now += hours

    return act


acts = st.one_of(
    joining(),
    joining(),
    leaving(),
    seconding(),
    returning(),
    appointing(),
    dismissing(),
    agreeing(),
    agreeing(),
    agreeing(),
    offering(),
    denying(),
    denying(),
    ending(),
    opening(),
    opening(),
    waiting(),
)


@st.composite
def stories(draw: st.DrawFn) -> list[Act]:
    """Acts in any order; among them people join and something is agreed, so that there is much to tell."""
    begun = [
        *draw(st.lists(joining(), min_size=3, max_size=4)),
        *draw(st.lists(agreeing(), min_size=2, max_size=3)),
        *draw(st.lists(acts, min_size=2, max_size=8)),
    ]
    return [
        lambda world: stages.open_at_once(world.connection, "*", Audience.BUSINESS),
        *draw(st.permutations(begun)),
    ]
