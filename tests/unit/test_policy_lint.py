"""What the lint says of rules is true of decisions: what never decides can go, and nothing changes."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from access_policies import principals, rules
from access_policies.decision import Decision, RestrictTo
from access_policies.decision_point import DecisionPoint
from access_policies.lint import Fault, Finding, Known, lint
from access_policies.rules import Effect, Rule
from access_policies.scope import AllRows, RowsInPlaces, TableScope
from access_policies.standing import role_rules
from access_policies.vocabulary import Action, Audience, Environment, Resource, Role, Subject
from tests.examples import examples

NOW = datetime(2026, 11, 22, tzinfo=UTC)
MOMENT = rules.epoch(NOW)
HOUR = 3600
HOMES = "mhclg.homes"
SQUAD = "project:squad"
KNOWN = Known(
    datasets=frozenset({HOMES}),
    subjects={SQUAD: Audience.LOCAL_GOVERNMENT},
    stages={"*": Audience.PUBLIC},
)
POINT = DecisionPoint()
ROWS = (
    RestrictTo(
        tables=(TableScope(table="homes", columns=("area",), rows=RowsInPlaces(("E08000039",))),)
    ),
)
EVERY_ROW = (RestrictTo(tables=(TableScope(table="homes", columns=("area",), rows=AllRows()),)),)


def agreement(**changes: object) -> Rule:
    rule = Rule(
        id="agreement:1/dataset:query",
        subject=SQUAD,
        dataset=HOMES,
        action=Action.QUERY,
        nbf=MOMENT - HOUR,
        exp=MOMENT + 30 * HOUR,
        grant="agreement:1",
        obligations=ROWS,
    )
    return msgspec.structs.replace(rule, **changes)


def denial(**changes: object) -> Rule:
    rule = Rule(
        id="d/*",
        subject="*",
        dataset=HOMES,
        action="*",
        nbf=MOMENT - HOUR,
        effect=Effect.DENY,
        grant="denial:d",
    )
    return msgspec.structs.replace(rule, **changes)


def faults(*found: Rule, known: Known = KNOWN) -> list[Fault]:
    return [finding.fault for finding in lint(found, known, now=MOMENT)]


def test_an_ordinary_agreement_has_nothing_odd() -> None:
    assert faults(agreement()) == []


def test_a_rule_that_has_ended_is_history_from_its_last_second_on() -> None:
    assert faults(agreement(exp=MOMENT)) == [Fault.EXPIRED]
    assert faults(agreement(exp=MOMENT + 1)) == []


def test_a_rule_for_what_is_not_there_is_named() -> None:
    assert faults(agreement(dataset="mhclg.hoems")) == [Fault.UNKNOWN]
    assert faults(agreement(subject="project:sqaud")) == [Fault.UNKNOWN]


def test_a_rule_meant_for_a_more_trusted_audience_than_its_subject_is_unreachable() -> None:
    assert faults(agreement(stage=Audience.GOVERNMENT)) == [Fault.UNREACHABLE]
    assert faults(agreement(stage=Audience.LOCAL_GOVERNMENT)) == []


def test_a_rule_beyond_the_stage_of_its_dataset_or_of_the_marketplace_is_unreachable() -> None:
    for scope in ("*", HOMES):
        stages = {"*": Audience.PUBLIC} | {scope: Audience.GOVERNMENT}
        known = msgspec.structs.replace(KNOWN, stages=stages)
        [finding] = lint((agreement(),), known, now=MOMENT)
        assert finding.fault is Fault.UNREACHABLE
        assert "The rollout has reached central government" in finding.sentence


def test_a_role_is_unreachable_at_no_stage() -> None:
    known = msgspec.structs.replace(KNOWN, stages={"*": Audience.GOVERNMENT})
    assert faults(*role_rules(Role.PUBLISHER, "leeds"), known=known) == []


def test_a_denial_that_covers_a_permission_is_named_as_what_answers_before_it() -> None:
    [finding] = lint((agreement(), denial()), KNOWN, now=MOMENT)
    assert (finding.fault, finding.by) == (Fault.SHADOWED, "d/*")
    assert finding.rule == agreement().id


def test_a_denial_that_ends_earlier_or_is_for_somebody_else_shadows_nothing() -> None:
    assert faults(agreement(), denial(exp=MOMENT + HOUR)) == []
    others = msgspec.structs.replace(
        KNOWN, subjects={**KNOWN.subjects, "project:other": Audience.GOVERNMENT}
    )
    assert faults(agreement(), denial(subject="project:other"), known=others) == []


def test_open_data_without_a_last_day_is_over_broad_and_a_part_of_it_is_not() -> None:
    offer = agreement(
        grant="offer:o", subject=principals.audience(Audience.PUBLIC), exp=rules.FOREVER
    )
    assert faults(msgspec.structs.replace(offer, obligations=EVERY_ROW)) == [Fault.OVER_BROAD]
    assert faults(offer) == []
    assert faults(msgspec.structs.replace(offer, obligations=EVERY_ROW, exp=MOMENT + HOUR)) == []


def test_a_grant_on_everything_of_an_organisation_is_over_broad() -> None:
    assert faults(agreement(dataset="mhclg.*")) == [Fault.OVER_BROAD]


hours = st.integers(0, 4)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Rule, ...]:
    """A few rules that come near to each other."""
    found = []
    for number in range(draw(st.integers(2, 6))):
        begins = draw(hours)
        denies = draw(st.integers(0, 3)) == 0
        found.append(
            Rule(
                id=f"r{number}",
                subject=draw(st.sampled_from((SQUAD, "audience:public", *(["*"] * denies)))),
                dataset=draw(st.sampled_from((HOMES, "mhclg.*"))),
                action=draw(st.sampled_from((Action.QUERY, *(["*"] * denies)))),
                purpose=draw(st.sampled_from(("*", "housing"))),
                nbf=MOMENT + begins * HOUR,
                exp=MOMENT + (begins + draw(st.integers(1, 4))) * HOUR,
                stage=draw(st.sampled_from(Audience)),
                effect=Effect.DENY if denies else Effect.ALLOW,
                grant=("denial" if denies else draw(st.sampled_from(("agreement", "offer"))))
                + f":{number}",
                obligations=() if denies else ROWS,
            )
        )
    return tuple(found)


def decide(world: tuple[Rule, ...], audience: Audience, purpose: str, hour: int) -> Decision:
    names = principals.audiences_of(audience) | {SQUAD}
    bearing = [rule for rule in world if rule.subject in {*names, "*"}]
    return POINT.over(
        rules.in_order(bearing),
        Subject(person="ada", principals=names, audience=audience),
        Action.QUERY,
        Resource(dataset=HOMES),
        Environment(now=NOW + timedelta(hours=hour), stage=Audience.PUBLIC, purpose=purpose),
    )


def answered(decision: Decision) -> tuple[bool, str]:
    return decision.allowed, decision.rule if decision.allowed else ""


@settings(max_examples=examples(400), deadline=None)
@given(world=worlds(), audience=st.sampled_from(Audience), hour=st.integers(0, 9))
def test_without_a_rule_that_is_shadowed_every_answer_is_the_same(
    world: tuple[Rule, ...], audience: Audience, hour: int
) -> None:
    for finding in lint(world, KNOWN, now=MOMENT):
        if finding.fault is Fault.SHADOWED:
            rest = tuple(rule for rule in world if rule.id != finding.rule)
            for purpose in ("*", "housing"):
                whole = decide(world, audience, purpose, hour)
                assert answered(whole) == answered(decide(rest, audience, purpose, hour))


@settings(max_examples=examples(400), deadline=None)
@given(world=worlds(), stage=st.sampled_from(Audience), hour=st.integers(0, 9))
def test_a_rule_that_is_unreachable_never_decides(
    world: tuple[Rule, ...], stage: Audience, hour: int
) -> None:
    known = msgspec.structs.replace(KNOWN, stages={"*": stage})
    found: tuple[Finding, ...] = lint(world, known, now=MOMENT)
    unreachable = {finding.rule for finding in found if finding.fault is Fault.UNREACHABLE}
    names = principals.audiences_of(Audience.LOCAL_GOVERNMENT) | {SQUAD}
    decision = POINT.over(
        rules.in_order(rule for rule in world if rule.subject in {*names, "*"}),
        Subject(person="ada", principals=names, audience=Audience.LOCAL_GOVERNMENT),
        Action.QUERY,
        Resource(dataset=HOMES),
        Environment(now=NOW + timedelta(hours=hour), stage=stage, purpose="housing"),
    )
    assert decision.rule not in unreachable
