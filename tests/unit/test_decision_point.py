"""The decision point, and each way in which Casbin left alone would answer wrongly."""

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection, create_engine, insert, text, update

from access_policies import principals, rules, standing
from access_policies.decision import LimitOutput, OutputTier, RestrictTo
from access_policies.decision_point import DecisionPoint
from access_policies.errors import InvalidRule, PolicyError, RuleConflict
from access_policies.records import metadata
from access_policies.records import rules as rules_table
from access_policies.rules import Effect, Rule, epoch
from access_policies.scope import AllRows, TableScope
from access_policies.vocabulary import (
    Action,
    Audience,
    Authority,
    Environment,
    Resource,
    Role,
    Subject,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DATASET = "mhclg.temporary_accommodation"
SCOPE = RestrictTo(
    tables=(TableScope(table="temporary_accommodation", columns=("total",), rows=AllRows()),)
)


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.begin() as opened:
        metadata.create_all(opened)
        yield opened
    engine.dispose()


@pytest.fixture(scope="module")
def point() -> DecisionPoint:
    return DecisionPoint()


def subject(*names: str, audience: Audience = Audience.LOCAL_GOVERNMENT) -> Subject:
    own = frozenset({"person:ada", *names}) | principals.audiences_of(audience)
    return Subject(person="ada", principals=own, audience=audience)


SQUAD = subject("project:sheffield_squad")


def rule(identifier: str = "r1", **given: object) -> Rule:
    values: dict[str, object] = {
        "id": identifier,
        "subject": "project:sheffield_squad",
        "dataset": DATASET,
        "action": Action.QUERY,
        "grant": f"agreement:{identifier}",
        "obligations": (SCOPE,),
    }
    return msgspec.convert(
        msgspec.to_builtins(Rule(**(values | given))),  # type: ignore[arg-type]
        Rule,
    )


def decide(
    connection: Connection,
    point: DecisionPoint,
    *,
    who: Subject = SQUAD,
    action: Action = Action.QUERY,
    dataset: str = DATASET,
    dataset_stage: Audience = Audience.PUBLIC,
    stage: Audience = Audience.PUBLIC,
    now: datetime = NOW,
    purpose: str = "*",
):
    return point.decide(
        connection,
        who,
        action,
        Resource(dataset=dataset, stage=dataset_stage),
        Environment(now=now, stage=stage, purpose=purpose),
    )


def test_without_any_rule_the_answer_is_no(connection: Connection, point: DecisionPoint):
    decision = decide(connection, point)
    assert not decision.allowed
    assert decision.rule == ""
    assert decision.until is None
    assert DATASET in decision.reason


def test_without_any_rule_even_a_subject_with_empty_names_is_refused(
    connection: Connection, point: DecisionPoint
):
    # Casbin evaluates an empty policy with every field "", which an empty name would equal.
    nobody = Subject(person="", principals=frozenset({""}), audience=Audience.GOVERNMENT)
    assert not decide(connection, point, who=nobody, dataset="").allowed


def test_an_agreement_allows_and_says_what_decided(connection: Connection, point: DecisionPoint):
    rules.write(connection, rule(exp=epoch(NOW + timedelta(days=8))))
    decision = decide(connection, point)
    assert decision.allowed
    assert (decision.rule, decision.grant) == ("r1", "agreement:r1")
    assert decision.obligations == (SCOPE,)
    assert decision.until == NOW + timedelta(days=8)
    assert decision.reason == (
        f"Agreement r1 allows you to query {DATASET} until 12:00 on 30 November 2026."
    )


def test_a_midnight_in_london_is_told_as_the_end_of_the_day_before(
    connection: Connection, point: DecisionPoint
):
    ends = datetime(2027, 6, 30, 23, 0, tzinfo=UTC)  # British Summer Time
    rules.write(connection, rule(exp=epoch(ends)))
    assert decide(connection, point).reason.endswith("until the end of 30 June 2027.")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"subject": "project:another"}, "another project"),
        ({"dataset": "mhclg.another"}, "another dataset"),
        ({"dataset": "mhclg.temporary_accommodation_2"}, "a name that begins the same"),
        ({"dataset": "mhcl.*"}, "another organisation whose name begins the same"),
        ({"action": Action.DOWNLOAD}, "another action"),
        ({"purpose": "fraud"}, "another purpose"),
        ({"nbf": epoch(NOW) + 1}, "not begun"),
        ({"nbf": 0, "exp": epoch(NOW)}, "ended this very second"),
        ({"stage": Audience.GOVERNMENT}, "for a more trusted audience"),
    ],
)
def test_a_permission_for_something_else_does_not_allow(
    connection: Connection, point: DecisionPoint, changed: dict[str, object], why: str
):
    rules.write(connection, rule(**changed))
    assert not decide(connection, point).allowed, why


def test_a_permission_holds_from_its_first_second_to_the_last_before_its_end(
    connection: Connection, point: DecisionPoint
):
    begins, ends = NOW, NOW + timedelta(hours=1)
    rules.write(connection, rule(nbf=epoch(begins), exp=epoch(ends)))
    allowed = [
        decide(connection, point, now=moment).allowed
        for moment in (
            begins - timedelta(microseconds=1),
            begins,
            ends - timedelta(microseconds=1),
            ends,
        )
    ]
    assert allowed == [False, True, True, False]


def test_until_is_the_next_boundary_also_for_a_refusal(
    connection: Connection, point: DecisionPoint
):
    begins = NOW + timedelta(days=1)
    rules.write(connection, rule(nbf=epoch(begins), exp=epoch(begins + timedelta(days=1))))
    decision = decide(connection, point)
    assert not decision.allowed
    assert decision.until == begins


@pytest.mark.parametrize("order", ["denial first", "denial last"])
def test_a_denial_wins_whatever_the_order(connection: Connection, point: DecisionPoint, order: str):
    allow = rule("b-allow")
    deny = rule(
        "a-deny" if order == "denial first" else "c-deny",
        effect=Effect.DENY,
        subject="*",
        grant="denial:d",
        obligations=(),
    )
    for written in (deny, allow) if order == "denial first" else (allow, deny):
        rules.write(connection, written)
    decision = decide(connection, point)
    assert not decision.allowed
    assert decision.rule == deny.id
    assert decision.reason.startswith("An operator has closed this")


def test_a_denial_heeds_neither_stage_nor_purpose(connection: Connection, point: DecisionPoint):
    rules.write(connection, rule())
    denial = rule("d", effect=Effect.DENY, grant="denial:d", obligations=(), purpose="another")
    rules.write(connection, msgspec.structs.replace(denial, stage=Audience.GOVERNMENT))
    assert not decide(connection, point).allowed


@pytest.mark.parametrize("denied", Audience)
def test_a_denial_for_an_audience_hits_it_and_less_trusted_ones_only(
    connection: Connection, point: DecisionPoint, denied: Audience
):
    offered = standing.offer_rules("o", DATASET, Audience.PUBLIC, (SCOPE,), begins=NOW, ends=None)
    closed = standing.denial_rules(
        "d",
        Authority.ORGANISATION,
        subjects=standing.denied_audience(denied),
        dataset="mhclg.*",
        actions=(Action.QUERY,),
        begins=NOW,
    )
    for one in (*offered, *closed):
        rules.write(connection, one)
    reads = {
        audience
        for audience in Audience
        if decide(connection, point, who=subject(audience=audience)).allowed
    }
    assert reads == {audience for audience in Audience if audience < denied}


@pytest.mark.parametrize("authority", Authority)
def test_a_denial_says_who_made_it_and_is_known_again_by_the_rule_that_decided(
    connection: Connection, point: DecisionPoint, authority: Authority
):
    told = {
        Authority.OWNER: "An owner has closed this",
        Authority.ORGANISATION: "Its organisation has closed this",
        Authority.MARKETPLACE: "An operator has closed this",
    }
    rules.write(connection, rule())
    (closed,) = standing.denial_rules(
        "d1",
        authority,
        subjects=("project:sheffield_squad",),
        dataset=DATASET,
        actions=(rules.ANY,),
        begins=NOW,
    )
    rules.write(connection, closed)
    decision = decide(connection, point)
    assert not decision.allowed
    assert decision.reason.startswith(told[authority])
    assert standing.denial_of(decision.rule) == "d1"
    rules.end(connection, standing.denial_grant("d1", authority), now=NOW)
    assert decide(connection, point).allowed


def test_only_denials_alone_do_not_make_everything_else_allowed(
    connection: Connection, point: DecisionPoint
):
    rules.write(connection, rule("d", effect=Effect.DENY, grant="denial:d", obligations=()))
    assert not decide(connection, point, action=Action.DOWNLOAD).allowed


@pytest.mark.parametrize(
    ("marketplace", "dataset", "allowed"),
    [
        (Audience.PUBLIC, Audience.PUBLIC, True),
        (Audience.LOCAL_GOVERNMENT, Audience.LOCAL_GOVERNMENT, True),
        (Audience.GOVERNMENT, Audience.PUBLIC, False),
        (Audience.PUBLIC, Audience.GOVERNMENT, False),
    ],
)
def test_a_stage_is_a_ceiling_of_marketplace_and_dataset(
    connection: Connection,
    point: DecisionPoint,
    marketplace: Audience,
    dataset: Audience,
    allowed: bool,
):
    rules.write(connection, rule())
    assert decide(connection, point, stage=marketplace, dataset_stage=dataset).allowed is allowed


def test_an_open_stage_grants_nothing(connection: Connection, point: DecisionPoint):
    government = subject(audience=Audience.GOVERNMENT)
    assert not decide(connection, point, who=government).allowed


LOOKING_AFTER = {
    Role.PUBLISHER: {Action.PUBLISH},
    Role.OWNER: {Action.DECIDE_REQUEST, Action.AUDIT},
    Role.DEPUTY: {Action.DECIDE_REQUEST, Action.AUDIT},
    Role.ADMINISTRATOR: {Action.ADMINISTER_ORGANISATION},
    Role.OPERATOR: {Action.ADMINISTER, Action.AUDIT},
    Role.AUDITOR: {Action.AUDIT},
}


@pytest.mark.parametrize("role", list(Role))
def test_a_stage_closes_using_data_and_never_looking_after_it(
    connection: Connection, point: DecisionPoint, role: Role
):
    organisation = "mhclg" if role in standing.ORGANISATION_ROLES else None
    standing.ensure_role(connection, role, organisation)
    who = subject(principals.role(role, organisation))
    closed = {"stage": Audience.GOVERNMENT, "dataset_stage": Audience.GOVERNMENT}
    may = {
        one for one in Action if decide(connection, point, who=who, action=one, **closed).allowed
    }
    assert may == LOOKING_AFTER[role]


@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_do_exactly_what_is_written_of_it(
    connection: Connection, point: DecisionPoint, role: Role
):
    organisation = "mhclg" if role in standing.ORGANISATION_ROLES else None
    standing.ensure_role(connection, role, organisation)
    who = subject(principals.role(role, organisation))
    may = {action for action in Action if decide(connection, point, who=who, action=action).allowed}
    assert may == set(standing.ROLE_ACTIONS[role])


def test_a_role_of_one_organisation_reaches_no_other(connection: Connection, point: DecisionPoint):
    standing.ensure_role(connection, Role.PUBLISHER, "mhclg")
    who = subject("role:publisher@mhclg")
    assert decide(connection, point, who=who, action=Action.PUBLISH, dataset="mhclg.new").allowed
    for other in ("leeds.spending", "mhclg_2.x", "*"):
        assert not decide(connection, point, who=who, action=Action.PUBLISH, dataset=other).allowed


def test_an_agreement_comes_before_a_role_before_an_offer_and_scopes_are_not_united(
    connection: Connection, point: DecisionPoint
):
    standing.ensure_role(connection, Role.OWNER, "mhclg")
    offered = RestrictTo(
        tables=(TableScope(table="t", columns=("name",), rows=AllRows()),),
    )
    for written in standing.offer_rules(
        "o1", DATASET, Audience.PUBLIC, (offered,), begins=NOW, ends=None
    ):
        rules.write(connection, written)
    offer_only = decide(connection, point)
    assert (offer_only.grant, offer_only.obligations) == ("offer:o1", (offered,))
    with_role = decide(connection, point, who=subject("role:owner@mhclg"))
    assert (with_role.grant, with_role.obligations) == ("role:owner@mhclg", ())
    rules.write(connection, rule("a1"))
    everything = subject("role:owner@mhclg", "project:sheffield_squad")
    decision = decide(connection, point, who=everything)
    assert (decision.grant, decision.obligations) == ("agreement:a1", (SCOPE,))


def test_an_offer_to_an_audience_reaches_the_more_trusted_and_no_others(
    connection: Connection, point: DecisionPoint
):
    for written in standing.offer_rules(
        "o1", DATASET, Audience.RESEARCHER, (SCOPE,), begins=NOW, ends=None
    ):
        rules.write(connection, written)
    reached = [
        audience
        for audience in Audience
        if decide(connection, point, who=subject(audience=audience)).allowed
    ]
    assert reached == [Audience.GOVERNMENT, Audience.LOCAL_GOVERNMENT, Audience.RESEARCHER]


def test_a_number_kept_as_text_denies_and_is_logged_without_the_caller(
    connection: Connection, point: DecisionPoint, caplog: pytest.LogCaptureFixture
):
    rules.write(connection, rule())
    connection.execute(text("UPDATE policy_rules SET exp = 'never'"))
    with caplog.at_level(logging.DEBUG):
        decision = decide(connection, point)
    assert not decision.allowed
    assert "could not be made" in decision.reason
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "ada" not in caplog.text


@pytest.mark.parametrize(
    "damage",
    [
        {"effect": "maybe"},
        {"obligations": '[{"type":"forgive_all"}]'},
        {"obligations": "[]"},
        {"obligations": "not json"},
        {"stage": 9},
        {"grant": "gift:1"},
    ],
)
def test_a_damaged_rule_denies(
    connection: Connection, point: DecisionPoint, damage: dict[str, object]
):
    rules.write(connection, rule())
    connection.execute(update(rules_table).values(damage))
    assert not decide(connection, point).allowed


def test_a_database_that_does_not_answer_denies(connection: Connection, point: DecisionPoint):
    connection.execute(text("DROP TABLE policy_rules"))
    assert not decide(connection, point).allowed
    query = point.permitted(
        connection,
        SQUAD,
        Action.QUERY,
        [Resource(dataset=DATASET)],
        Environment(now=NOW, stage=Audience.PUBLIC),
    )
    assert query == ()


def test_a_time_without_a_zone_in_the_request_does_not_allow_by_accident(
    connection: Connection, point: DecisionPoint
):
    rules.write(connection, rule())
    decision = decide(connection, point, now="2026-11-22")  # type: ignore[arg-type]
    assert not decision.allowed


def test_a_refusal_logs_nothing(
    connection: Connection, point: DecisionPoint, caplog: pytest.LogCaptureFixture
):
    rules.write(connection, rule(subject="project:another"))
    rules.write(connection, rule("r2", nbf=epoch(NOW) + 60))
    with caplog.at_level(logging.DEBUG):
        assert not decide(connection, point).allowed
    assert caplog.text == ""


def test_the_slice_is_a_tuple_that_nobody_can_change(connection: Connection):
    rules.write(connection, rule())
    found = rules.slice_for(connection, DATASET, {"project:sheffield_squad"}, Action.QUERY)
    assert isinstance(found, tuple)
    with pytest.raises(AttributeError):
        found[0].subject = "*"  # type: ignore[misc]


def test_text_in_a_rule_is_never_evaluated(connection: Connection, point: DecisionPoint):
    for number, hostile in enumerate(
        ("True", "r.sub", 'p.eft == "allow"', "eval(p.sub)", "' or 1")
    ):
        rules.write(connection, rule(f"r{number}", subject=hostile, purpose=hostile))
    assert not decide(connection, point).allowed


def test_listing_what_is_permitted_agrees_with_deciding_each(
    connection: Connection, point: DecisionPoint
):
    standing.ensure_role(connection, Role.OWNER, "mhclg")
    rules.write(connection, rule("r1", dataset="leeds.spending"))
    denial = {"effect": Effect.DENY, "grant": "denial:d", "obligations": ()}
    rules.write(connection, rule("d", dataset="mhclg.closed", subject="*", action="*", **denial))
    who = subject("role:owner@mhclg", "project:sheffield_squad")
    names = ("mhclg.open", "mhclg.closed", "leeds.spending", "leeds.other")
    asked = [Resource(dataset=name) for name in names]
    environment = Environment(now=NOW, stage=Audience.PUBLIC)
    listed = point.permitted(connection, who, Action.QUERY, asked, environment)
    assert [resource.dataset for resource in listed] == ["mhclg.open", "leeds.spending"]
    one_by_one = [
        name for name in names if decide(connection, point, who=who, dataset=name).allowed
    ]
    assert [resource.dataset for resource in listed] == one_by_one


def test_threads_that_share_a_decision_point_do_not_see_each_others_rules(
    connection: Connection, point: DecisionPoint
):
    mine, theirs = rule("mine"), rule("theirs", subject="project:another")
    environment = Environment(now=NOW, stage=Audience.PUBLIC)
    wrong: list[str] = []

    def ask(held: Rule, who: Subject, expected: bool) -> None:
        for _ in range(500):
            decision = point.over(
                (held,), who, Action.QUERY, Resource(dataset=DATASET), environment
            )
            if decision.allowed is not expected:
                wrong.append(held.id)

    threads = [
        threading.Thread(target=ask, args=(held, SQUAD, held is mine))
        for held in (mine, theirs) * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_matcher_is_not_parsed_again_for_a_decision(
    connection: Connection, point: DecisionPoint, monkeypatch: pytest.MonkeyPatch
):
    rules.write(connection, rule())
    assert decide(connection, point).allowed

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the matcher was parsed again")

    monkeypatch.setattr("ast.parse", refuse)
    assert decide(connection, point).allowed


@pytest.mark.parametrize(
    "matcher",
    [
        "eval(p.sub)",
        "r.sub.delete_account()",
        "r.ctx.__class__ == p.sub",
        "r.act != p.act || __import__('os')",
        "p.nbf + 1 <= r.ctx.now",
        "[x for x in p.sub] == p.sub",
        "g(r.sub, p.sub, p.obj)",
        "regexMatch(r.obj, p.obj)",
        "r.ctx.secret == p.sub",
        "True",
    ],
)
def test_a_model_whose_matcher_does_more_than_compare_is_refused(tmp_path: Path, matcher: str):
    original = Path(principals.__file__).with_name("model.conf").read_text(encoding="utf-8")
    head, _, _ = original.partition("m = ")
    changed = tmp_path / "model.conf"
    changed.write_text(f"{head}m = {matcher}\n", encoding="utf-8")
    with pytest.raises(PolicyError):
        DecisionPoint(changed)


@pytest.mark.parametrize(
    "faulty",
    [
        {"nbf": 5, "exp": 5},
        {"action": "*"},
        {"subject": "*"},
        {"subject": principals.organisation("sheffield")},
        {"subject": principals.employer("acme")},
        {"subject": principals.only(Audience.GOVERNMENT)},
        {"action": "dataset:steal"},
        {"grant": "agreement:"},
        {"grant": "present:1"},
        {"grant": "denial:1"},
        {"action": Action.DECIDE_REQUEST},
        {"action": Action.ADMINISTER, "grant": "offer:1"},
        {"grant": "listing:mhclg.housing"},
        {"obligations": ()},
        {"obligations": (LimitOutput(tier=OutputTier.ROWS),)},
        {"dataset": ""},
    ],
)
def test_what_is_no_rule_is_not_written(connection: Connection, faulty: dict[str, object]):
    with pytest.raises(InvalidRule):
        rules.write(connection, rule(**faulty))
    assert rules.slice_for(connection, DATASET, SQUAD.principals, None) == ()


def test_a_rule_is_written_once(connection: Connection):
    rules.write(connection, rule())
    with pytest.raises(RuleConflict):
        rules.write(connection, rule())


def test_a_rule_comes_back_as_it_was_written(connection: Connection):
    written = rule(exp=epoch(NOW), nbf=3, purpose="housing", stage=Audience.BUSINESS)
    rules.write(connection, written)
    assert rules.slice_for(connection, DATASET, SQUAD.principals, Action.QUERY) == (written,)


def test_ending_a_grant_ends_its_rules_at_that_second_and_no_others(
    connection: Connection, point: DecisionPoint
):
    rules.write(connection, rule("r1"))
    rules.write(connection, rule("r2", subject="project:another"))
    moment = NOW + timedelta(microseconds=700_000)
    assert rules.end(connection, "agreement:r1", now=moment) == 1
    assert not decide(connection, point, now=moment).allowed
    assert decide(connection, point, who=subject("project:another"), now=moment).allowed
    assert rules.end(connection, "agreement:r1", now=moment) == 0


def test_rules_inserted_behind_the_rooms_back_for_everyone_never_allow(
    connection: Connection, point: DecisionPoint, dump: Callable[[Rule], dict[str, object]]
):
    row = dump(rule()) | {"subject": "*"}
    connection.execute(insert(rules_table), row)
    assert not decide(connection, point).allowed


@pytest.fixture
def dump() -> Callable[[Rule], dict[str, object]]:
    def dumped(written: Rule) -> dict[str, object]:
        row = msgspec.to_builtins(written)
        return row | {"obligations": msgspec.json.encode(written.obligations).decode()}

    return dumped
