"""The decision point against an evaluator that knows neither slices nor Casbin, over small worlds."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, delete, insert

from access_policies import principals, rules
from access_policies.decision import Decision, RestrictTo
from access_policies.decision_point import STEWARDSHIP, DecisionPoint
from access_policies.records import metadata
from access_policies.records import rules as rules_table
from access_policies.rules import Effect, Rule
from access_policies.scope import AllRows, TableScope
from access_policies.vocabulary import Action, Audience, Environment, Resource, Subject
from tests.examples import examples

START = datetime(2026, 11, 22, tzinfo=UTC)
DATASETS = ("mhclg.housing", "leeds.spending")
PROJECTS = ("project:a", "project:b")
PARTIES = ("organisation:leeds", "employer:acme", "employer:leeds")
ACTIONS = (Action.QUERY, Action.PUBLISH)

Case = tuple[tuple[Rule, ...], "Question"]

hours = st.integers(0, 6)
audiences = st.sampled_from(Audience)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One request, as the oracle reads it."""

    names: frozenset[str]
    audience: Audience
    action: Action
    dataset: str
    dataset_stage: Audience
    stage: Audience
    purpose: str
    hour: int

    @property
    def now(self) -> datetime:
        return START + timedelta(hours=self.hour)


@st.composite
def permissions(draw: st.DrawFn) -> Rule:
    begins = draw(hours)
    action = draw(st.sampled_from(ACTIONS))
    kinds = ("agreement", "role", "offer") if action is Action.QUERY else ("role",)
    kind = draw(st.sampled_from(kinds))
    scope = RestrictTo(
        tables=(TableScope(table=draw(st.sampled_from("tu")), columns=("c",), rows=AllRows()),)
    )
    return Rule(
        id="",
        subject=draw(st.sampled_from((*PROJECTS, *map(principals.audience, Audience)))),
        dataset=draw(st.sampled_from((*DATASETS, "mhclg.*", "leeds.*", "*"))),
        action=action,
        purpose=draw(st.sampled_from(("*", "housing"))),
        nbf=rules.epoch(START + timedelta(hours=begins)),
        exp=rules.epoch(START + timedelta(hours=begins + draw(st.integers(1, 4)))),
        stage=draw(audiences),
        grant=f"{kind}:g",
        obligations=(scope,) if action is Action.QUERY else (),
    )


@st.composite
def denials(draw: st.DrawFn) -> Rule:
    begins = draw(hours)
    return Rule(
        id="",
        subject=draw(st.sampled_from(("*", *PROJECTS, *PARTIES, *map(principals.only, Audience)))),
        dataset=draw(st.sampled_from((*DATASETS, "mhclg.*", "*"))),
        action=draw(st.sampled_from(("*", *ACTIONS))),
        nbf=rules.epoch(START + timedelta(hours=begins)),
        exp=rules.epoch(START + timedelta(hours=begins + draw(st.integers(1, 4)))),
        effect=Effect.DENY,
        grant="denial:d",
    )


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Rule, ...]:
    found = [
        *draw(st.lists(permissions(), max_size=8)),
        *draw(st.lists(denials(), max_size=1)),
    ]
    order = draw(st.permutations(range(len(found))))
    return tuple(
        msgspec.structs.replace(rule, id=f"r{number}", grant=f"{rule.grant}{number}")
        for number, rule in zip(order, found, strict=True)
    )


@st.composite
def questions(draw: st.DrawFn, world: tuple[Rule, ...] = ()) -> Question:
    """A question; where there is a permission to aim at, mostly one that comes near to it."""
    audience = draw(audiences)
    question = Question(
        names=frozenset(draw(st.sets(st.sampled_from((*PROJECTS, *PARTIES)), max_size=2))),
        audience=audience,
        action=draw(st.sampled_from(ACTIONS)),
        dataset=draw(st.sampled_from(DATASETS)),
        dataset_stage=draw(st.sampled_from((Audience.PUBLIC, *Audience))),
        stage=draw(st.sampled_from((Audience.PUBLIC, *Audience))),
        purpose=draw(st.sampled_from(("*", "housing"))),
        hour=draw(st.integers(0, 9)),
    )
    targets = [rule for rule in world if rule.effect is Effect.ALLOW]
    if targets and draw(st.integers(0, 9)) < 8:
        question = aimed(question, draw(st.sampled_from(targets)))
    names = question.names | principals.audiences_of(question.audience)
    return msgspec.structs.replace(question, names=names)


def aimed(question: Question, rule: Rule) -> Question:
    on_it = rule.dataset if rule.dataset in DATASETS else question.dataset
    return msgspec.structs.replace(
        question,
        names=question.names | {rule.subject},
        audience=min(question.audience, rule.stage),
        action=Action(rule.action),
        dataset=on_it,
        purpose=question.purpose if rule.purpose == "*" else rule.purpose,
        hour=(rule.nbf - rules.epoch(START)) // 3600 + question.hour % 2,
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[Rule, ...], Question]:
    world = draw(worlds())
    return world, draw(questions(world))


@st.composite
def long_cases(draw: st.DrawFn) -> tuple[tuple[Rule, ...], list[Question]]:
    world = draw(worlds())
    return world, [draw(questions(world)) for _ in range(6)]


def bears_on(rule: Rule, question: Question) -> bool:
    """Whether a rule is for this caller, dataset and action, written out case by case."""
    for_caller = rule.subject == "*" or rule.subject in question.names
    organisation = question.dataset.split(".")[0]
    on_dataset = (
        rule.dataset == "*"
        or rule.dataset == question.dataset
        or (rule.dataset.endswith(".*") and rule.dataset[:-2] == organisation)
    )
    return for_caller and on_dataset and rule.action in ("*", question.action.value)


def holds(rule: Rule, question: Question) -> bool:
    if not bears_on(rule, question):
        return False
    seconds = question.now.timestamp()
    if seconds < rule.nbf or seconds >= rule.exp:
        return False
    if rule.effect is Effect.DENY:
        return True
    if rule.purpose not in ("*", question.purpose) or question.audience > rule.stage:
        return False
    if question.action in STEWARDSHIP:
        return True
    return question.audience <= question.stage and question.audience <= question.dataset_stage


def expected(world: tuple[Rule, ...], question: Question) -> tuple[bool, str]:
    """The answer and the determining permission, by looking at every rule there is."""
    matching = [rule for rule in world if holds(rule, question)]
    if not matching or any(rule.effect is Effect.DENY for rule in matching):
        return False, ""
    kinds = ["agreement", "role", "offer"]
    best = min(
        matching,
        key=lambda rule: (
            kinds.index(rule.grant.split(":")[0]),
            [question.dataset, question.dataset.split(".")[0] + ".*", "*"].index(rule.dataset),
            int(rule.stage),
            -rule.exp,
            rule.id,
        ),
    )
    return True, best.id


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.begin() as opened:
        metadata.create_all(opened)
        yield opened
    engine.dispose()


POINT = DecisionPoint()
thorough = settings(
    max_examples=examples(300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
quick = settings(thorough, max_examples=examples(100))


def settle(connection: Connection, world: tuple[Rule, ...]) -> None:
    connection.execute(delete(rules_table))
    # Past the checks of `write`: agreements may overlap here, and the answer must still be one.
    if world:
        connection.execute(insert(rules_table), [rules.row_of(rule) for rule in world])


def ask(connection: Connection, question: Question) -> Decision:
    return POINT.decide(
        connection,
        Subject(person="ada", principals=question.names, audience=question.audience),
        question.action,
        Resource(dataset=question.dataset, stage=question.dataset_stage),
        Environment(now=question.now, stage=question.stage, purpose=question.purpose),
    )


@thorough
@given(case=long_cases())
def test_the_answer_is_that_of_looking_at_every_rule(
    connection: Connection, case: tuple[tuple[Rule, ...], list[Question]]
):
    world, asked = case
    settle(connection, world)
    for question in asked:
        check_one(connection, world, question)


def check_one(connection: Connection, world: tuple[Rule, ...], question: Question) -> None:
    allowed, determining = expected(world, question)
    decision = ask(connection, question)
    assert decision.allowed is allowed
    if allowed:
        rule = next(rule for rule in world if rule.id == determining)
        assert (decision.rule, decision.grant) == (rule.id, rule.grant)
        assert decision.obligations == rule.obligations
    else:
        assert decision.obligations == ()


@quick
@given(case=cases())
def test_listing_agrees_with_deciding(connection: Connection, case: Case):
    world, question = case
    settle(connection, world)
    asked = [Resource(dataset=name, stage=question.dataset_stage) for name in DATASETS]
    listed = POINT.permitted(
        connection,
        Subject(person="ada", principals=question.names, audience=question.audience),
        question.action,
        asked,
        Environment(now=question.now, stage=question.stage, purpose=question.purpose),
    )
    one_by_one = tuple(
        resource
        for resource in asked
        if ask(connection, msgspec.structs.replace(question, dataset=resource.dataset)).allowed
    )
    assert listed == one_by_one


@quick
@given(case=cases(), closing=denials())
def test_adding_a_denial_never_allows(connection: Connection, case: Case, closing: Rule):
    world, question = case
    settle(connection, world)
    before = ask(connection, question)
    rules.write(connection, msgspec.structs.replace(closing, id="closing"))
    assert before.allowed or not ask(connection, question).allowed


@quick
@given(case=cases(), data=st.data())
def test_shortening_a_permission_never_extends_anything(
    connection: Connection, case: Case, data: st.DataObject
):
    world, question = case
    settle(connection, world)
    before = ask(connection, question)
    permitting = [rule for rule in world if rule.effect is Effect.ALLOW]
    if permitting:
        cut = data.draw(st.sampled_from(permitting))
        moment = START + timedelta(hours=data.draw(st.integers(0, 9)))
        rules.end(connection, cut.grant, now=moment)
    assert before.allowed or not ask(connection, question).allowed


@quick
@given(case=cases(), closer=audiences, later=audiences)
def test_closing_a_stage_never_opens(
    connection: Connection,
    case: Case,
    closer: Audience,
    later: Audience,
):
    world, question = case
    settle(connection, world)
    before = ask(connection, question)
    closed = msgspec.structs.replace(
        question,
        stage=min(question.stage, closer),
        dataset_stage=min(question.dataset_stage, later),
    )
    assert before.allowed or not ask(connection, closed).allowed


@quick
@given(case=cases(), wider=audiences)
def test_a_less_trusted_audience_with_the_same_names_never_gains(
    connection: Connection, case: Case, wider: Audience
):
    world, question = case
    settle(connection, world)
    before = ask(connection, question)
    further = msgspec.structs.replace(question, audience=max(question.audience, wider))
    assert before.allowed or not ask(connection, further).allowed


@quick
@given(case=cases())
def test_nothing_changes_by_time_alone_before_until(connection: Connection, case: Case):
    world, question = case
    settle(connection, world)
    decision = ask(connection, question)
    for hour in range(question.hour + 1, 12):
        later = msgspec.structs.replace(question, hour=hour)
        if decision.until is None or later.now < decision.until:
            assert ask(connection, later) == decision
