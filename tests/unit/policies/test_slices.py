"""Slices: exactly the rules that bear on a question, found by seeking and never by looking at all."""

import itertools
import random
import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, event, insert, text

from access_policies import revision, rules, slice_query, stages
from access_policies.decision import RestrictTo
from access_policies.decision_point import DecisionPoint
from access_policies.records import rules as rules_table
from access_policies.rules import Effect, Rule
from access_policies.scope import AllRows, TableScope
from access_policies.vocabulary import Action, Audience, Environment, Resource
from catalogue import datasets
from catalogue.address import DatasetAddress
from catalogue.dataset import Dataset, Handling
from marketplace import enforcement
from marketplace.identity.capacity import Capacity
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import subject_of

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DATASETS = ("mhclg.homes", "mhclg.streets", "mhclg_2.homes", "leeds.spending")
ON = (*DATASETS, "mhclg.*", "leeds.*", "*")
NAMES = ("project:a", "project:b", "person:ada", "audience:public", "audience:government")
ACTIONS = (Action.QUERY, Action.DOWNLOAD)
SCOPE = RestrictTo(tables=(TableScope(table="t", columns=("c",), rows=AllRows()),))


def world(seed: int) -> list[Rule]:
    """Rules over few names, so that many bear on one question."""
    numbers = random.Random(seed)
    return [
        _denial(f"d{n}", numbers) if n % 5 == 0 else _offer(f"p{n}", numbers) for n in range(90)
    ]


def _offer(identifier: str, numbers: random.Random) -> Rule:
    begins = rules.epoch(NOW) + numbers.randrange(-3, 3)
    return Rule(
        id=identifier,
        subject=numbers.choice(NAMES),
        dataset=numbers.choice(ON),
        action=numbers.choice(ACTIONS),
        nbf=begins,
        exp=begins + numbers.randrange(1, 5),
        stage=numbers.choice(list(Audience)),
        grant=f"offer:{identifier}",
        obligations=(SCOPE,),
    )


def _denial(identifier: str, numbers: random.Random) -> Rule:
    return Rule(
        id=identifier,
        subject=numbers.choice((*NAMES, "*")),
        dataset=numbers.choice(DATASETS),
        action=numbers.choice((*ACTIONS, "*")),
        nbf=rules.epoch(NOW) + numbers.randrange(0, 3),
        effect=Effect.DENY,
        grant=f"denial:{identifier}",
    )


def fill(connection: Connection, written: list[Rule]) -> None:
    connection.execute(insert(rules_table), [rules.row_of(rule) for rule in written])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("names", [("project:a",), ("project:a", "person:ada", "project:a", "*")])
@pytest.mark.parametrize("action", [Action.QUERY, None])
def test_a_slice_holds_every_rule_that_bears_on_a_question_once_and_no_other(
    passing_connection: Connection, seed: int, names: tuple[str, ...], action: Action | None
):
    written = world(seed)
    fill(passing_connection, written)
    for dataset in DATASETS:
        organisation = dataset.split(".")[0]
        expected = {
            rule.id
            for rule in written
            if rule.dataset in (dataset, organisation + ".*", "*")
            and rule.subject in (*names, "*")
            and (action is None or rule.action in (action, "*"))
        }
        found = rules.slice_for(passing_connection, dataset, names, action)
        assert sorted(rule.id for rule in found) == sorted(expected)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_permitted_in_a_list_is_what_is_permitted_one_by_one(
    passing_connection: Connection, seed: int
):
    fill(passing_connection, world(seed))
    revision.advance(passing_connection)
    stages.open_at_once(passing_connection, "*", Audience.PUBLIC)
    stages.open_at_once(passing_connection, "leeds.spending", Audience.GOVERNMENT)
    about = (passing_connection, DecisionPoint(), _caller(), Action.QUERY)
    one_by_one = [name for name in DATASETS if enforcement.decide(*about, name, now=NOW).allowed]
    assert list(enforcement.permitted(*about, DATASETS, now=NOW)) == one_by_one


def _caller() -> Principal:
    return Principal(
        person_id="ada",
        person_name="Ada",
        token_id="t",
        subject=subject_of(
            "ada",
            {"project:a", "project:b"},
            Capacity(audience=Audience.LOCAL_GOVERNMENT, organisation="leeds", home="leeds"),
        ),
        valid_until=NOW,
        changes_at=NOW,
    )


def test_datasets_with_the_same_rules_and_other_stages_are_told_apart(
    passing_connection: Connection,
):
    shut = Audience.GOVERNMENT
    fill(passing_connection, [_alike(dataset) for dataset in DATASETS])
    asked = [
        Resource(dataset=dataset, stage=shut if dataset == DATASETS[1] else Audience.PUBLIC)
        for dataset in DATASETS
    ]
    caller = subject_of(
        "ada",
        {"project:a"},
        Capacity(audience=Audience.RESEARCHER, organisation="leeds", home="leeds"),
    )
    environment = Environment(now=NOW, stage=Audience.PUBLIC)
    for order in (asked, asked[::-1]):
        found = DecisionPoint().permitted(
            passing_connection, caller, Action.QUERY, order, environment
        )
        assert list(found) == [resource for resource in order if resource.stage is not shut]


def test_datasets_whose_rules_differ_in_one_thing_are_told_apart(passing_connection: Connection):
    changes: list[dict[str, object]] = [
        {},
        {"exp": rules.epoch(NOW)},
        {"nbf": rules.epoch(NOW) + 1},
        {"stage": Audience.GOVERNMENT},
        {"purpose": "fraud"},
        {"subject": "project:b"},
        {"action": Action.DOWNLOAD},
        {"effect": Effect.DENY, "grant": "denial:d"},
        {},
    ]
    names = [f"mhclg.d{number}" for number in range(len(changes))]
    fill(
        passing_connection,
        [
            msgspec.structs.replace(_alike(name), **change)
            for name, change in zip(names, changes, strict=True)
        ],
    )
    caller = subject_of(
        "ada",
        {"project:a"},
        Capacity(audience=Audience.RESEARCHER, organisation="leeds", home="leeds"),
    )
    found = DecisionPoint().permitted(
        passing_connection,
        caller,
        Action.QUERY,
        [Resource(dataset=name) for name in names],
        Environment(now=NOW, stage=Audience.PUBLIC),
    )
    assert [resource.dataset for resource in found] == [names[0], names[-1]]


def _alike(dataset: str) -> Rule:
    return Rule(
        id=dataset,
        subject="project:a",
        dataset=dataset,
        action=Action.QUERY,
        grant=f"offer:{dataset}",
        obligations=(SCOPE,),
    )


@pytest.fixture
def skewed(passing_connection: Connection) -> Connection:
    """A database that knows by its statistics that one dataset has most of the rules."""
    numbers = random.Random(1)
    popular = [_offer(f"a{number}", numbers) for number in range(2000)]
    alike = [
        msgspec.structs.replace(rule, dataset="mhclg.homes", subject=rule.id) for rule in popular
    ]
    fill(passing_connection, alike + [_offer(f"b{number}", numbers) for number in range(200)])
    passing_connection.execute(text("ANALYZE policy_rules"))
    if passing_connection.dialect.name == "postgresql":
        # So few rules it would rather read than seek.
        passing_connection.execute(text("SET LOCAL enable_seqscan = off"))
    return passing_connection


@pytest.fixture
def executed(passing_connection: Connection) -> list[tuple[str, Any]]:
    """The statements that are executed, and their values."""
    seen: list[tuple[str, Any]] = []

    def note(_one: Connection, _cursor: object, told: str, values: Any, *_: object) -> None:
        seen.append((told, values))

    event.listen(passing_connection, "before_cursor_execute", note)
    return seen


def steps(connection: Connection, told: str, values: Any) -> list[str]:
    """How the database would go about a statement."""
    explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    return [str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {told}", values)]


def generic_steps(connection: Connection, told: str) -> list[str]:
    """How PostgreSQL would go about it once it is prepared, whatever the values are."""
    marks = itertools.count(1)
    numbered = re.sub(r"%\(\w+\)s", lambda _: f"${next(marks)}", told)
    return [
        str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN (GENERIC_PLAN) {numbered}")
    ]


HOMES = Dataset(
    address=DatasetAddress("mhclg", "homes"),
    title="Homes",
    handling=Handling.HMG_USE_ONLY,
    created_at=NOW,
)
BESIDES = (
    (stages.BESIDE, {"scope": ("*", "mhclg.homes")}),
    (enforcement.HANDLING, {"organisation": ("mhclg",), "dataset": ("homes",)}),
)


@pytest.mark.parametrize("besides", [(), BESIDES])
@pytest.mark.parametrize(
    "lengths",
    [
        (("dataset", 3), ("subject", 9), ("action", 2)),
        (("dataset", 3), ("subject", 9)),
        (("subject", 9), ("action", 2)),
    ],
)
def test_rules_are_sought_by_every_column_whatever_the_statistics_say(
    skewed: Connection,
    lengths: tuple[tuple[str, int], ...],
    besides: tuple[tuple[slice_query.Beside, slice_query.Wanted], ...],
):
    wanted = {column: ("x",) * length for column, length in lengths}
    told, values = slice_query.statement(wanted, skewed.dialect.name, besides)
    plans = [steps(skewed, told, values)]
    if skewed.dialect.name == "postgresql":
        plans.append(generic_steps(skewed, told))
    for plan in plans:
        (search,) = [
            step
            for step in plan
            if "SEARCH policy_rules" in step or re.search(r"Index Cond: .*subject", step)
        ]
        assert set(re.findall(r"\b(dataset|subject|action) ?=", search)) == set(wanted), plan
        assert not [step for step in plan if re.search(r"SCAN policy|Seq Scan", step)], plan


def test_whatever_is_read_along_comes_by_the_statement_that_reads_the_slice(
    passing_connection: Connection,
):
    fill(passing_connection, world(1))
    revision.advance(passing_connection)
    moved_at = revision.read(passing_connection)
    reach = stages.Reach(Audience.RESEARCHER, ("first wave",))
    for scope in ("*", "mhclg.homes", "mhclg.streets"):
        move = stages.Move(scope=scope, since_revision=moved_at, reach=reach, begins=7)
        stages.write(passing_connection, move)
    datasets.register(passing_connection, HOMES)
    about = (passing_connection, "mhclg.homes", ("project:a",), Action.QUERY)
    found, moved, handled = rules.rows_for(*about, BESIDES)
    assert rules.in_slice(found) == rules.slice_for(*about) != ()
    moves = sorted(map(stages.move_of, moved), key=lambda move: move.scope)
    assert tuple(moves) == stages.history(passing_connection, "*", "mhclg.homes")
    assert [enforcement.HANDLING.named(row) for row in handled] == [{"handling": "hmg_use_only"}]


def test_a_decision_takes_one_statement_and_one_more_for_who_is_invited(
    passing_connection: Connection, executed: list[tuple[str, Any]]
):
    fill(passing_connection, world(1))
    moved_at = revision.advance(passing_connection)
    asked = (passing_connection, DecisionPoint(), _caller(), Action.QUERY, "mhclg.homes")
    executed.clear()
    enforcement.decide(*asked, now=NOW, under=moved_at)
    assert len(executed) == 1
    by_invitation = stages.Reach(Audience.LOCAL_GOVERNMENT, ("first wave",))
    move = stages.Move(scope="*", since_revision=moved_at, reach=by_invitation)
    stages.write(passing_connection, move)
    executed.clear()
    enforcement.decide(*asked, now=NOW, under=moved_at)
    assert len(executed) == 2


def test_names_are_values_and_never_part_of_the_statement(passing_connection: Connection):
    fill(passing_connection, [rule for rule in world(1) if rule.dataset != "*"])
    hostile = "x') OR 1=1 --"
    assert rules.slice_for(passing_connection, hostile, {hostile}, Action.QUERY) == ()
