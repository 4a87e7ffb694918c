"""Why not, and what to ask for: in sentences, and of nobody's rules but one's own."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, create_engine, update

from access_policies import principals, rules
from access_policies.decision import RestrictTo
from access_policies.decision_point import DecisionPoint
from access_policies.explain import Explanation, why
from access_policies.records import metadata
from access_policies.records import rules as table
from access_policies.rules import Effect, Rule, epoch
from access_policies.scope import AllRows, TableScope
from access_policies.vocabulary import Action, Audience, Environment, Resource, Subject

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DATASET = "mhclg.housing"
SCOPE = RestrictTo(tables=(TableScope(table="t", columns=("c",), rows=AllRows()),))
POINT = DecisionPoint()


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.begin() as opened:
        metadata.create_all(opened)
        yield opened
    engine.dispose()


def agreement(identifier: str, **given: object) -> Rule:
    values: dict[str, object] = {
        "id": identifier,
        "subject": "project:squad",
        "dataset": DATASET,
        "action": Action.QUERY,
        "purpose": "hubs",
        "stage": Audience.LOCAL_GOVERNMENT,
        "grant": f"agreement:{identifier}",
        "obligations": (SCOPE,),
    }
    return Rule(**(values | given))  # type: ignore[arg-type]


def explain(
    connection: Connection,
    *,
    audience: Audience = Audience.LOCAL_GOVERNMENT,
    action: Action = Action.QUERY,
    purpose: str = "hubs",
    stage: Audience = Audience.PUBLIC,
    dataset: str = DATASET,
) -> Explanation:
    names = frozenset({"person:ada", "project:squad"}) | principals.audiences_of(audience)
    return why(
        connection,
        POINT,
        Subject(person="ada", principals=names, audience=audience),
        action,
        Resource(dataset=dataset),
        Environment(now=NOW, stage=stage, purpose=purpose),
    )


@pytest.mark.parametrize(
    ("changed", "asked", "sentence", "ask"),
    [
        (
            {"exp": epoch(NOW) - 12 * 3600},
            {},
            "Agreement a ended at the end of 21 November 2026.",
            "Ask the owner of mhclg.housing for an extension: make a new request.",
        ),
        (
            {"nbf": epoch(NOW + timedelta(hours=2))},
            {},
            "Agreement a begins at 14:00 on 22 November 2026.",
            "Wait until it begins.",
        ),
        (
            {},
            {"purpose": "fraud"},
            "Agreement a is for another purpose.",
            "Act in the project that it was made for, or ask for this purpose too.",
        ),
        (
            {},
            {"action": Action.DOWNLOAD},
            "Agreement a is for another use of the data.",
            "Ask the owner of mhclg.housing to extend it.",
        ),
        (
            {},
            {"audience": Audience.BUSINESS},
            "Agreement a reaches local government, and you act for businesses.",
            "If you were seconded, ask the lead of your project whether that goes on.",
        ),
        (
            {},
            {"stage": Audience.GOVERNMENT},
            "The rollout has reached central government, and you act for local government.",
            "Ask the operator of the marketplace when it opens to you.",
        ),
    ],
)
def test_the_nearest_rule_says_what_it_lacked_and_what_to_ask_for(
    connection: Connection,
    changed: dict[str, object],
    asked: dict[str, object],
    sentence: str,
    ask: str,
):
    rules.write(connection, agreement("a", **changed))
    told = explain(connection, **asked)  # type: ignore[arg-type]
    assert not told.decision.allowed
    assert told.nearest is not None
    assert told.nearest.id == "a"
    assert told.obstacles == (sentence,)
    assert told.sentence.endswith(sentence)
    assert told.ask == ask


def test_the_rule_with_the_fewest_obstacles_is_the_nearest(connection: Connection):
    rules.write(connection, agreement("far", nbf=0, exp=epoch(NOW) - 1, purpose="fraud"))
    rules.write(connection, agreement("near", nbf=epoch(NOW) - 1, purpose="fraud"))
    told = explain(connection)
    assert told.nearest is not None
    assert told.nearest.id == "near"


def test_an_allowed_request_is_explained_by_the_rule_that_decided(connection: Connection):
    rules.write(connection, agreement("a"))
    told = explain(connection)
    assert told.sentence == "Agreement a allows you to query mhclg.housing."
    assert (told.nearest, told.ask) == (None, "")


def test_a_denial_is_told_without_what_it_hides(connection: Connection):
    rules.write(connection, agreement("a"))
    denial = {"effect": Effect.DENY, "grant": "denial:d", "obligations": (), "subject": "*"}
    rules.write(connection, agreement("d", **denial))
    told = explain(connection)
    assert told.sentence.startswith("An operator has closed this")
    assert told.nearest is None
    assert "operator" in told.ask


def test_the_agreements_of_others_are_not_told(connection: Connection):
    rules.write(connection, agreement("theirs", subject="project:others"))
    offered = agreement(
        "offer", subject="audience:government", grant="offer:o", stage=Audience.GOVERNMENT
    )
    rules.write(connection, offered)
    told = explain(connection)
    assert told.nearest is None
    assert told.obstacles == ()
    assert told.ask == (
        "Make a data share request for mhclg.housing in a project, with its purpose and legal "
        "basis; the owner at mhclg decides on it."
    )


@pytest.mark.parametrize(
    ("action", "dataset", "part"),
    [
        (Action.PUBLISH, DATASET, "A role at mhclg"),
        (Action.ADMINISTER, "*", "gives out the roles"),
    ],
)
def test_what_needs_a_role_is_asked_of_whoever_gives_it_out(
    connection: Connection, action: Action, dataset: str, part: str
):
    assert part in explain(connection, action=action, dataset=dataset).ask


@pytest.mark.parametrize(
    "damage",
    [
        {"effect": "perhaps"},
        {"stage": 99},
        {"obligations": "{"},
        {"obligations": "[]"},
        {"grant": "secret"},
        {"action": Action.ADMINISTER.value},
    ],
)
@pytest.mark.parametrize("action", [Action.QUERY, Action.DOWNLOAD])
def test_a_damaged_rule_is_told_without_what_it_says(
    connection: Connection, damage: dict[str, object], action: Action
):
    rules.write(connection, agreement("leaked"))
    connection.execute(update(table).values(damage))
    told = explain(connection, action=action)
    assert not told.decision.allowed
    assert told.sentence == f"{told.decision.reason} A rule that bears on this is damaged."
    assert told.ask == "Tell the operator of the marketplace that a rule is damaged."
    assert "leaked" not in repr(told)
