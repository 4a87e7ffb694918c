"""What a move is foreseen to do is what the decision point says of every pair, before and after."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, delete, insert, update

import access_policies
from access_policies import principals, rules
from access_policies.decision import RestrictTo
from access_policies.decision_point import DecisionPoint
from access_policies.errors import PolicyError
from access_policies.records import metadata
from access_policies.records import rules as rules_table
from access_policies.rules import Effect, Rule
from access_policies.scope import AllRows, TableScope
from access_policies.shapes import Shapes
from access_policies.stages import Opening
from access_policies.vocabulary import Action, Audience, Environment, Resource, Subject
from marketplace.rollout.effect import Counts, foresee
from marketplace.rollout.effect import Effect as EffectOfMove
from marketplace.rollout.parties import Party, PartyKind
from tests.examples import examples

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HOUR = 3600
DATASETS = ("mhclg.housing", "mhclg.rents", "leeds.spending")
SCOPE = RestrictTo(tables=(TableScope(table="t", columns=("c",), rows=AllRows()),))
POINT = DecisionPoint()

Openings = dict[str, Opening]
Row = tuple[str, str, str, bool, bool, str]

PARTIES = (
    *(
        Party(
            kind=PartyKind.ORGANISATION,
            name=name,
            audience=audience,
            own_names=frozenset({principals.organisation(name)}),
        )
        for name, audience in (
            ("leeds", Audience.LOCAL_GOVERNMENT),
            ("university", Audience.RESEARCHER),
            ("institute", Audience.RESEARCHER),
            ("acme", Audience.BUSINESS),
        )
    ),
    *(
        Party(kind=PartyKind.AUDIENCE, name=audience.name.lower(), audience=audience)
        for audience in Audience
    ),
    *(
        Party(
            kind=PartyKind.PROJECT,
            name=name,
            audience=audience,
            purpose=purpose,
            own_names=frozenset(
                {
                    principals.project(name),
                    principals.member(name, "ada"),
                    principals.organisation("university"),
                }
            ),
        )
        for name, audience, purpose in (
            ("study", Audience.RESEARCHER, "health"),
            ("trial", Audience.RESEARCHER, "housing"),
            ("squad", Audience.LOCAL_GOVERNMENT, "housing"),
        )
    ),
)
NAMES = (
    *map(principals.audience, Audience),
    "project:study",
    "project:trial",
    "member:study/ada",
    "project:nobody",
)
ON = (*DATASETS, *DATASETS, *DATASETS, "mhclg.*", "*", "gone.dataset")

audiences = st.sampled_from(Audience)
spans = st.tuples(st.sampled_from((-2, -1, 0, 1)), st.integers(1, 3))


@st.composite
def permissions(draw: st.DrawFn) -> Rule:
    action = draw(st.sampled_from((Action.QUERY, Action.QUERY, Action.DOWNLOAD, Action.DISCOVER)))
    begins, lasts = draw(spans)
    kinds = (
        ("agreement", "offer", "listing") if action is Action.DISCOVER else ("agreement", "offer")
    )
    return Rule(
        id="",
        subject=draw(st.sampled_from(NAMES)),
        dataset=draw(st.sampled_from(ON)),
        action=action,
        purpose=draw(st.sampled_from(("*", "*", "housing", "health"))),
        nbf=rules.epoch(NOW) + begins * HOUR,
        exp=rules.epoch(NOW) + (begins + lasts) * HOUR,
        stage=draw(st.sampled_from((Audience.PUBLIC, *Audience))),
        grant=f"{draw(st.sampled_from(kinds))}:g",
        obligations=() if action is Action.DISCOVER else (SCOPE,),
    )


@st.composite
def denials(draw: st.DrawFn) -> Rule:
    begins, lasts = draw(spans)
    named = ("*", "organisation:university", "project:study", "audience:public")
    return Rule(
        id="",
        subject=draw(st.sampled_from(named)),
        dataset=draw(st.sampled_from(ON)),
        action=draw(st.sampled_from(("*", Action.QUERY, Action.DISCOVER))),
        nbf=rules.epoch(NOW) + begins * HOUR,
        exp=rules.epoch(NOW) + (begins + lasts) * HOUR,
        effect=Effect.DENY,
        grant="denial:d",
    )


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Rule, ...]:
    found = [
        *draw(st.lists(permissions(), max_size=10)),
        *draw(st.lists(denials(), max_size=2)),
    ]
    order = draw(st.permutations(range(len(found))))
    return tuple(
        msgspec.structs.replace(rule, id=f"r{number}", grant=f"{rule.grant}{number}")
        for number, rule in zip(order, found, strict=True)
    )


@st.composite
def openings(draw: st.DrawFn) -> Opening:
    stage = draw(audiences)
    if stage is Audience.GOVERNMENT or draw(st.booleans()):
        return Opening(stage=stage)
    invited = st.sets(
        st.sampled_from(("organisation:university", "organisation:acme", "project:study"))
    )
    return Opening(stage=stage, invited=frozenset(draw(invited)))


@st.composite
def moves(draw: st.DrawFn) -> tuple[str, Openings, Openings]:
    scope = draw(st.sampled_from(("*", "*", DATASETS[0])))
    before = {"*": draw(openings())} | draw(
        st.dictionaries(st.sampled_from(DATASETS), openings(), max_size=2)
    )
    before.setdefault(scope, Opening(stage=Audience.PUBLIC))
    return scope, before, before | {scope: draw(openings())}


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.begin() as opened:
        metadata.create_all(opened)
        yield opened
    engine.dispose()


def settle(connection: Connection, world: tuple[Rule, ...]) -> None:
    connection.execute(delete(rules_table))
    # Past the checks of `write`: agreements may overlap here, and the answer must still be one.
    for rule in world:
        connection.execute(insert(rules_table), rules.row_of(rule))


def access(
    connection: Connection, party: Party, dataset: str, opened: Openings
) -> tuple[bool, str]:
    """Whether a pair is readable, and by which rule; else by which rule it can be found, if any."""
    subject = Subject(person="", principals=party.names, audience=party.audience)
    unmoved = Opening(stage=Audience.PUBLIC)
    stage = opened.get(dataset, unmoved).ceiling_for(party.names)
    resource = Resource(dataset=dataset, stage=stage)
    environment = Environment(
        now=NOW, stage=opened["*"].ceiling_for(party.names), purpose=party.purpose
    )
    for action in (Action.QUERY, Action.DOWNLOAD, Action.DISCOVER):
        decision = POINT.decide(connection, subject, action, resource, environment)
        if decision.allowed:
            return action is not Action.DISCOVER, decision.rule
    return False, ""


def by_brute_force(connection: Connection, before: Openings, after: Openings) -> set[Row]:
    found = set()
    for party in PARTIES:
        for dataset in DATASETS:
            was = access(connection, party, dataset, before)
            will_be = access(connection, party, dataset, after)
            if was != will_be:
                opens = bool(will_be[1])
                readable, rule = will_be if opens else was
                found.add((dataset, party.kind, party.name, opens, readable, rule))
    return found


def foreseen(connection: Connection, scope: str, before: Openings, after: Openings) -> EffectOfMove:
    return foresee(
        connection,
        POINT,
        PARTIES,
        before,
        after,
        scope=scope,
        datasets=frozenset(DATASETS),
        now=NOW,
    )


def rows(effect: EffectOfMove) -> list[Row]:
    return [
        (pair.dataset, pair.party.kind, pair.party.name, pair.opens, pair.readable, pair.rule)
        for pair in effect.pairs()
    ]


thorough = settings(
    max_examples=examples(200),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def offer(dataset: str, subject: str = "audience:researcher") -> Rule:
    return Rule(
        id=f"{subject} on {dataset}",
        subject=subject,
        dataset=dataset,
        action=Action.QUERY,
        grant="offer:o",
        obligations=(SCOPE,),
    )


OPENING: Openings = {"*": Opening(stage=Audience.LOCAL_GOVERNMENT)}
OPENED: Openings = {"*": Opening(stage=Audience.RESEARCHER)}
CLOSED: Openings = {"mhclg.housing": Opening(stage=Audience.GOVERNMENT)}
FOR_A_STUDY: Openings = {
    "mhclg.housing": Opening(stage=Audience.RESEARCHER, invited=frozenset({"project:study"}))
}


@thorough
@given(world=worlds(), move=moves())
# A dataset that is closed further, one that is open to invited names, and rules on more than one.
@example(world=(offer("mhclg.housing"),), move=("*", OPENING | CLOSED, OPENED | CLOSED))
@example(world=(offer("mhclg.housing"),), move=("*", OPENING | FOR_A_STUDY, OPENED | FOR_A_STUDY))
@example(world=(offer("mhclg.*"), offer("*", "project:study")), move=("*", OPENING, OPENED))
def test_a_preview_is_the_brute_force_answer(
    connection: Connection, world: tuple[Rule, ...], move: tuple[str, Openings, Openings]
):
    scope, before, after = move
    settle(connection, world)
    effect = foreseen(connection, scope, before, after)
    told = rows(effect)
    assert len(told) == len(set(told))
    assert set(told) == by_brute_force(connection, before, after)
    event(f"pairs: {min(len(told), 3)}")
    counted = Counts(
        readable=sum(opens and readable for *_, opens, readable, _ in told),
        askable=sum(opens and not readable for *_, opens, readable, _ in told),
        no_longer_readable=sum(not opens and readable for *_, opens, readable, _ in told),
        no_longer_askable=sum(not (opens or readable) for *_, opens, readable, _ in told),
    )
    assert effect.counts == counted


@thorough
@given(world=worlds(), move=moves(), lower=audiences)
def test_closing_a_stage_opens_nothing(
    connection: Connection,
    world: tuple[Rule, ...],
    move: tuple[str, Openings, Openings],
    lower: Audience,
):
    scope, before, _ = move
    settle(connection, world)
    closed = Opening(stage=min(lower, Audience(max(0, before[scope].stage - 1))))
    effect = foreseen(connection, scope, before, before | {scope: closed})
    assert not any(pair.opens for pair in effect.pairs())
    assert (effect.counts.readable, effect.counts.askable) == (0, 0)


@thorough
@given(world=worlds(), move=moves())
def test_the_way_back_closes_what_the_way_there_opened(
    connection: Connection, world: tuple[Rule, ...], move: tuple[str, Openings, Openings]
):
    scope, before, after = move
    settle(connection, world)
    there = rows(foreseen(connection, scope, before, after))
    back = rows(foreseen(connection, scope, after, before))
    assert {(*row[:3], not row[3], *row[4:]) for row in there} == set(back)


def test_a_damaged_rule_closes_what_it_bears_on(connection: Connection):
    world = tuple(
        Rule(
            id=f"r{number}",
            subject="audience:researcher",
            dataset=dataset,
            action=Action.QUERY,
            grant=f"offer:{number}",
            obligations=(SCOPE,),
        )
        for number, dataset in enumerate(DATASETS)
    )
    settle(connection, world)
    damaged = update(rules_table).where(rules_table.c.id == "r0").values(effect="perhaps")
    connection.execute(damaged)
    before = {"*": Opening(stage=Audience.LOCAL_GOVERNMENT)}
    after = {"*": Opening(stage=Audience.RESEARCHER)}
    told = rows(foreseen(connection, "*", before, after))
    assert {row[0] for row in told} == set(DATASETS[1:])
    assert set(told) == by_brute_force(connection, before, after)


def test_a_matcher_that_compares_more_is_not_taken_for_known(tmp_path):
    text = (Path(access_policies.__file__).parent / "model.conf").read_text()
    other = tmp_path / "model.conf"
    other.write_text(text.replace('(p.purpose == "*"', '(r.sub != "ada" && p.purpose == "*"'))
    with pytest.raises(PolicyError, match="r_sub != 'ada'"):
        Shapes(DecisionPoint(other), now=NOW)
    Shapes(DecisionPoint(), now=NOW)
