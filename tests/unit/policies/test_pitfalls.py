"""What Casbin, its adapters or a damaged row would get wrong: each ends in the right answer or in no.

`tests/unit/test_decision_point.py` has the pitfalls that its sentences name; here are the others.
"""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import casbin
import msgspec
import pytest
from sqlalchemy import Connection, create_engine, insert, update

from access_policies import principals, rules, standing
from access_policies.decision import Decision, RestrictTo
from access_policies.decision_point import DecisionPoint, _policy_row
from access_policies.errors import PolicyError, RuleConflict
from access_policies.records import metadata
from access_policies.records import rules as rules_table
from access_policies.rules import Effect, Rule, epoch
from access_policies.scope import AllRows, TableScope
from access_policies.vocabulary import Action, Audience, Authority, Environment, Resource, Subject

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOMES = "mhclg.homes"
SQUAD = "project:squad"
SCOPE = RestrictTo(tables=(TableScope(table="homes", columns=("total",), rows=AllRows()),))
CALLER = Subject(
    person="ada",
    principals=frozenset({SQUAD, "person:ada"})
    | principals.audiences_of(Audience.LOCAL_GOVERNMENT),
    audience=Audience.LOCAL_GOVERNMENT,
)
MODEL = Path(principals.__file__).with_name("model.conf").read_text(encoding="utf-8")


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://")
    with engine.begin() as opened:
        metadata.create_all(opened)
        yield opened
    engine.dispose()


@pytest.fixture
def point() -> DecisionPoint:
    return DecisionPoint()


def permission(identifier: str = "p", **given: object) -> Rule:
    values: dict[str, object] = {
        "id": identifier,
        "subject": SQUAD,
        "dataset": HOMES,
        "action": Action.QUERY,
        "nbf": epoch(NOW - timedelta(days=1)),
        "exp": epoch(NOW + timedelta(days=1)),
        "grant": f"agreement:{identifier}",
        "obligations": (SCOPE,),
    }
    return Rule(**(values | given))  # type: ignore[arg-type]


def denial(identifier: str = "d", **given: object) -> Rule:
    closing = {"effect": Effect.DENY, "grant": f"denial:{identifier}", "obligations": ()}
    return permission(identifier, **(closing | given))


def write(connection: Connection, *written: Rule) -> None:
    """As if they had lain in the database before: past the checks of `rules.write`."""
    connection.execute(insert(rules_table), [rules.row_of(rule) for rule in written])


def decide(
    connection: Connection,
    point: DecisionPoint,
    *,
    action: Action = Action.QUERY,
    now: datetime = NOW,
    stage: Audience = Audience.PUBLIC,
    dataset_stage: Audience = Audience.PUBLIC,
) -> Decision:
    resource = Resource(dataset=HOMES, stage=dataset_stage)
    environment = Environment(now=now, stage=stage, purpose="housing")
    return point.decide(connection, CALLER, action, resource, environment)


def listed(connection: Connection, point: DecisionPoint, *datasets: str) -> list[str]:
    asked = [Resource(dataset=name) for name in datasets]
    environment = Environment(now=NOW, stage=Audience.PUBLIC, purpose="housing")
    allowed = point.permitted(connection, CALLER, Action.QUERY, asked, environment)
    return [resource.dataset for resource in allowed]


MEANINGS: dict[str, tuple[bool, list[Rule]]] = {
    "nothing is written": (False, []),
    "a permission on the dataset": (True, [permission()]),
    "a permission on all of its organisation": (True, [permission(dataset="mhclg.*")]),
    "a permission on everything": (True, [permission(dataset="*")]),
    "a permission on all of another organisation": (False, [permission(dataset="leeds.*")]),
    "a permission for a name that the caller does not have": (
        False,
        [permission(subject="project:squad_2")],
    ),
    "a permission to do something else": (False, [permission(action=Action.DOWNLOAD)]),
    "a permission for the purpose": (True, [permission(purpose="housing")]),
    "a permission for another purpose": (False, [permission(purpose="fraud")]),
    "a permission for the caller's audience": (
        True,
        [permission(stage=Audience.LOCAL_GOVERNMENT)],
    ),
    "a permission for a more trusted audience": (False, [permission(stage=Audience.GOVERNMENT)]),
    "a permission that begins at this second": (True, [permission(nbf=epoch(NOW))]),
    "a permission that ends at this second": (False, [permission(exp=epoch(NOW))]),
    "a denial on all of the organisation": (False, [permission(), denial(dataset="mhclg.*")]),
    "a denial of everything to everyone": (
        False,
        [permission(), denial(dataset="*", subject="*", action="*")],
    ),
    "a denial of something else": (True, [permission(), denial(action=Action.DOWNLOAD)]),
    "a denial that has ended at this second": (True, [permission(), denial(exp=epoch(NOW))]),
    "a denial that begins in a second": (True, [permission(), denial(nbf=epoch(NOW + SECOND))]),
}


@pytest.mark.parametrize("case", MEANINGS)
def test_a_rule_means_what_it_says_to_one_question_and_in_a_list(
    connection: Connection, point: DecisionPoint, case: str
):
    allowed, written = MEANINGS[case]
    if written:
        write(connection, *written)
    assert decide(connection, point).allowed is allowed
    assert listed(connection, point, HOMES) == ([HOMES] if allowed else [])


@pytest.mark.parametrize(
    "effect",
    [
        "!some(where (p.eft == deny))",  # open where nothing matches
        "some(where (p.eft == allow))",  # a denial would not win
        "priority(p.eft) || deny",  # the order in which rules were read would decide
        "subjectPriority(p.eft) || deny",
    ],
)
def test_a_model_with_another_effect_is_refused(tmp_path: Path, effect: str):
    before, _, rest = MODEL.partition("e = ")
    changed = tmp_path / "model.conf"
    changed.write_text(f"{before}e = {effect}\n{rest.partition(chr(10))[2]}", encoding="utf-8")
    with pytest.raises(PolicyError, match="effect"):
        DecisionPoint(changed)


@pytest.mark.parametrize(
    "more",
    [
        "p.obj == 'mhclg.homes'",
        "r.obj != 'mhclg.homes'",
        "p.id != 'x'",
        "r.ctx.organisation == 'a'",
    ],
)
def test_a_model_that_tells_datasets_apart_by_their_names_is_refused(tmp_path: Path, more: str):
    changed = tmp_path / "model.conf"
    changed.write_text(f"{MODEL.rstrip()} && {more}\n", encoding="utf-8")
    with pytest.raises(PolicyError, match="name"):
        DecisionPoint(changed)


def test_what_has_ended_stays_so_for_a_decision_point_that_was_just_started(
    connection: Connection,
):
    # Casbin's conditional roles open again when a policy is loaded anew.
    write(connection, permission(exp=epoch(NOW)))
    answers = [decide(connection, DecisionPoint()).allowed for _ in range(3)]
    assert answers == [False, False, False]


def test_casbin_switched_off_allows_nothing(connection: Connection, point: DecisionPoint):
    write(connection, permission(action=Action.DOWNLOAD), permission("q"))
    point._enforcer().enable_enforce(False)
    assert not decide(connection, point).allowed


def test_what_lies_in_casbin_itself_is_not_asked(connection: Connection, point: DecisionPoint):
    # Adapters and watchers fill its policy, and nobody knows how old that is.
    write(connection, permission(exp=epoch(NOW)))
    own = permission("own")
    held = point._enforcer()
    held.model["p"]["p"].policy = [[*_policy_row(own)]]
    assert not decide(connection, point).allowed
    assert list(held.get_policy()) == []


def test_casbin_answers_a_question_that_raised_and_then_the_next_one(
    connection: Connection, point: DecisionPoint
):
    write(connection, permission())
    assert not decide(connection, point, stage="all").allowed  # type: ignore[arg-type]
    assert list(point._enforcer().get_policy()) == []
    assert decide(connection, point).allowed


def test_rules_that_come_in_any_order_are_answered_alike(
    connection: Connection, point: DecisionPoint
):
    # Casbin names the last permission that matched, and so another one for another order.
    written = [permission(f"p{number}", exp=epoch(NOW) + 60 + number % 3) for number in range(6)]
    answers = set()
    for shift in range(6):
        connection.execute(rules_table.delete())
        write(connection, *written[shift:], *written[:shift])
        answers.add(decide(connection, point).rule)
    assert answers == {"p2"}


def test_many_threads_get_the_answers_of_one(tmp_path: Path, point: DecisionPoint):
    """Casbin's quick enforcer keeps its filter where all threads share it."""
    engine = create_engine(f"sqlite:///{tmp_path / 'rules.db'}")
    with engine.begin() as opened:
        metadata.create_all(opened)
        opened.execute(
            insert(rules_table),
            [
                rules.row_of(permission(str(number), subject=f"project:{number}"))
                for number in range(0, 40, 2)
            ],
        )

    def ask(number: int) -> bool:
        names = frozenset({f"project:{number}"})
        who = Subject(person="ada", principals=names, audience=Audience.GOVERNMENT)
        with engine.connect() as own:
            return point.decide(
                own,
                who,
                Action.QUERY,
                Resource(dataset=HOMES),
                Environment(now=NOW, stage=Audience.PUBLIC),
            ).allowed

    asked = [number % 40 for number in range(1200)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, asked))
    engine.dispose()
    assert answers == [number % 2 == 0 for number in asked]


def test_the_package_is_the_maintained_one():
    """`casbin` and `pycasbin` overwrite each other; only the newer one names the rule of an allow."""
    model = casbin.Enforcer.new_model(text=MODEL)
    assert [*model["p"]["p"].tokens][-1] == "p_id"
    enforcer = casbin.Enforcer(
        casbin.Enforcer.new_model(
            text=MODEL.partition("[matchers]")[0] + ("[matchers]\nm = r.sub == p.sub\n")
        )
    )
    row = ["ada", HOMES, "a", "*", "0", "1", "0", "allow", "the rule"]
    enforcer.add_policy(*row)
    assert enforcer.enforce_ex("ada", HOMES, "a", "") == (True, row)


DAMAGE: dict[str, tuple[object, ...]] = {
    "id": ("",),
    "purpose": ("",),
    "nbf": ("soon", "", 1.5),
    "exp": ("never", "", 1e300),
    "stage": (9, -1, "public", 0.5),
    "effect": ("maybe", "ALLOW", "", "denny"),
    "grant": ("gift:1", "agreement", "agreement:", "", ":1"),
    "obligations": (
        "",
        "not json",
        "null",
        "{}",
        '["restrict_to"]',
        '[{"type":"forgive_all"}]',
        '[{"type":"restrict_to"}]',
        '[{"type":"restrict_to","tables":"all"}]',
        '[{"type":"limit_output","tier":"everything"}]',
        '[{"type":"limit_result","rows":"1"}]',
    ),
}
CASES = [(column, value) for column, values in DAMAGE.items() for value in values]


@pytest.mark.parametrize(("column", "value"), CASES)
def test_a_damaged_permission_denies_and_is_logged_as_such(
    connection: Connection,
    point: DecisionPoint,
    caplog: pytest.LogCaptureFixture,
    column: str,
    value: object,
):
    write(connection, permission())
    assert decide(connection, point).allowed
    connection.execute(update(rules_table).values({column: value}))
    with caplog.at_level(logging.INFO):
        decision = decide(connection, point)
        assert not decision.allowed
        assert listed(connection, point, HOMES) == []
    assert "could not be made" in decision.reason
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "ada" not in caplog.text


@pytest.mark.parametrize(("column", "value"), CASES)
def test_a_damaged_denial_closes_what_it_stands_on(
    connection: Connection, point: DecisionPoint, column: str, value: object
):
    write(connection, permission(dataset="mhclg.*"), denial())
    connection.execute(update(rules_table).where(rules_table.c.id == "d").values({column: value}))
    assert not decide(connection, point).allowed
    assert listed(connection, point, HOMES, "mhclg.other") == ["mhclg.other"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("subject", ""),
        ("subject", "audience:all"),
        ("dataset", ""),
        ("dataset", "mhclg"),
        ("dataset", "mhclg.%"),
        ("action", "dataset:steal"),
        ("action", ""),
    ],
)
def test_a_permission_whose_key_is_damaged_is_nobodys(
    connection: Connection, point: DecisionPoint, column: str, value: str
):
    write(connection, permission())
    connection.execute(update(rules_table).values({column: value}))
    assert not decide(connection, point).allowed
    assert listed(connection, point, HOMES) == []


def test_a_permission_that_ends_before_it_begins_never_holds(
    connection: Connection, point: DecisionPoint
):
    begins = NOW + timedelta(hours=1)
    write(connection, permission(nbf=epoch(begins), exp=epoch(NOW - timedelta(hours=1))))
    moments = (NOW - timedelta(hours=2), NOW, begins, begins + timedelta(days=400))
    assert [decide(connection, point, now=now).allowed for now in moments] == [False] * 4


def test_an_agreement_that_overlaps_another_of_the_same_project_is_not_written(
    connection: Connection,
):
    rules.write(connection, permission("first"))
    inside = {"nbf": epoch(NOW), "exp": epoch(NOW + SECOND)}
    with pytest.raises(RuleConflict):
        rules.write(connection, permission("second", **inside))
    after = {"nbf": epoch(NOW + timedelta(days=1)), "exp": epoch(NOW + timedelta(days=2))}
    rules.write(connection, permission("after", **after))
    rules.write(connection, permission("another", subject="project:another"))
    rules.write(connection, permission("for_download", action=Action.DOWNLOAD))


def test_an_agreement_that_was_ended_makes_room_for_the_next_in_the_same_second(
    connection: Connection, point: DecisionPoint
):
    rules.write(connection, permission("first"))
    rules.end(connection, "agreement:first", now=NOW)
    rules.write(connection, permission("second", nbf=epoch(NOW)))
    assert decide(connection, point).grant == "agreement:second"


def test_of_agreements_that_are_found_to_overlap_one_decides_and_scopes_are_not_united(
    connection: Connection, point: DecisionPoint
):
    narrow = RestrictTo(tables=(TableScope(table="homes", columns=("area",), rows=AllRows()),))
    write(
        connection,
        permission("a", obligations=(narrow,)),
        permission("b", exp=epoch(NOW + timedelta(days=2))),
    )
    answers = {(decide(connection, point).grant, decide(connection, point).obligations)}
    assert answers == {("agreement:b", (SCOPE,))}


def test_what_a_person_ended_stays_ended_when_the_clock_goes_back(
    connection: Connection, point: DecisionPoint
):
    rules.write(connection, permission())
    rules.end(connection, "agreement:p", now=NOW)
    moments = (NOW, NOW - SECOND, NOW - timedelta(hours=5), NOW - timedelta(days=30))
    assert [decide(connection, point, now=now).allowed for now in moments] == [False] * 4


def test_what_a_person_lifted_stays_lifted_when_the_clock_goes_back(
    connection: Connection, point: DecisionPoint
):
    rules.write(connection, permission())
    begins = NOW - timedelta(hours=1)
    closings = standing.denial_rules(
        "d", Authority.OWNER, subjects=("*",), dataset=HOMES, actions=("*",), begins=begins
    )
    for closing in closings:
        rules.write(connection, closing)
    assert not decide(connection, point).allowed
    rules.end(connection, closings[0].grant, now=NOW)
    assert decide(connection, point, now=NOW - timedelta(minutes=30)).allowed


def test_one_damaged_rule_closes_no_other_dataset(connection: Connection, point: DecisionPoint):
    damaged = permission("damaged", dataset="mhclg.damaged")
    write(connection, permission(), msgspec.structs.replace(damaged, grant="gift:1"))
    assert listed(connection, point, HOMES, "mhclg.damaged") == [HOMES]


def test_a_damaged_rule_on_everything_closes_everything(
    connection: Connection, point: DecisionPoint
):
    damaged = permission("damaged", dataset="*")
    write(connection, permission(), msgspec.structs.replace(damaged, grant="gift:1"))
    assert listed(connection, point, HOMES, "leeds.spending") == []
