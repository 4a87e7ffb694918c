"""Policy as text: what is written out is read back as the same rules, and a slip is an error."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from access_policies import policy_text, principals, rules
from access_policies.decision import (
    LimitOutput,
    LimitResult,
    Obligation,
    OutputTier,
    RestrictTo,
)
from access_policies.errors import InvalidRule
from access_policies.rules import DATA_ACTIONS, Effect, Rule
from access_policies.scope import (
    AllRows,
    AtMost,
    KeyedHash,
    MaskedColumn,
    NoValue,
    RowsBetweenDays,
    RowsInPlaces,
    RowsInRange,
    RowsMeetingAll,
    RowsWithValues,
    TableScope,
)
from access_policies.standing import denial_rules, listing_rules, offer_rules, role_rules
from access_policies.vocabulary import Action, Audience, Authority, Role
from tests.examples import examples

NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
ALL = RestrictTo(tables=(TableScope(table="homes", columns=("area",), rows=AllRows()),))

conditions = st.one_of(
    st.just(RowsInPlaces(("E08000039",))),
    st.builds(RowsWithValues, column=st.text(min_size=1), values=st.lists(st.text()).map(tuple)),
    st.builds(RowsInRange, column=st.just("n"), least=st.none() | st.just(Decimal("1.50"))),
    st.builds(RowsBetweenDays, column=st.just("d"), first=st.none() | st.dates()),
)
scopes = st.builds(
    TableScope,
    table=st.text(min_size=1),
    columns=st.lists(st.text(min_size=1), min_size=1).map(tuple),
    rows=st.just(AllRows())
    | conditions
    | st.lists(conditions, min_size=2, max_size=3).map(lambda held: RowsMeetingAll(tuple(held))),
    masks=st.sampled_from(
        (
            (),
            (MaskedColumn("a", NoValue()), MaskedColumn("b", AtMost(Decimal(7)))),
            (MaskedColumn("c", KeyedHash("nhs_number", "squad")),),
        )
    ),
)
obligations: st.SearchStrategy[Obligation] = st.one_of(
    st.lists(scopes, min_size=1, max_size=2).map(lambda held: RestrictTo(tuple(held))),
    st.builds(LimitOutput, tier=st.sampled_from(OutputTier)),
    st.builds(LimitResult, rows=st.none() | st.integers(1, 9), bytes=st.none() | st.just(5)),
)
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@st.composite
def grants(draw: st.DrawFn, number: int = 0) -> list[Rule]:
    """The rules of an agreement, whatever it says."""
    bound = (ALL, *draw(st.lists(obligations, max_size=2)))
    nbf = draw(st.integers(0, rules.epoch(NOW)))
    held = draw(
        st.lists(
            st.sampled_from((Action.DISCOVER, Action.QUERY, Action.DOWNLOAD)),
            min_size=1,
            unique=True,
        )
    )
    stem = f"agreement:{number}/{draw(text)}"
    subject, purpose = draw(text.filter(lambda name: name != "*")), draw(text)
    stage, exp = draw(st.sampled_from(Audience)), draw(st.integers(nbf + 1, rules.FOREVER))
    return [
        Rule(
            id=f"{stem}/{action}",
            subject=subject,
            dataset=draw(st.sampled_from(("mhclg.homes", "mhclg.*"))),
            action=action,
            purpose=purpose,
            nbf=nbf,
            exp=exp,
            stage=stage,
            grant=f"agreement:{number}",
            obligations=bound if action in DATA_ACTIONS else (),
        )
        for action in held
    ]


@settings(max_examples=examples(200), deadline=None)
@given(first=grants(1), second=grants(2))
def test_what_is_written_is_read_back_as_the_same_rules(
    first: list[Rule], second: list[Rule]
) -> None:
    written = policy_text.write("mhclg", 7, [*first, *second])
    document = policy_text.read(written)
    assert (document.organisation, document.revision) == ("mhclg", 7)
    by_id = sorted([*first, *second], key=lambda rule: rule.id)
    assert sorted(document.rules(), key=lambda rule: rule.id) == by_id


def every_kind() -> list[Rule]:
    return [
        *role_rules(Role.OWNER, "mhclg"),
        *listing_rules("mhclg.homes", Audience.PUBLIC),
        *offer_rules("o1", "mhclg.homes", Audience.PUBLIC, (ALL,), begins=NOW, ends=None),
        *denial_rules(
            "d1",
            Authority.MARKETPLACE,
            subjects=(principals.EVERYONE,),
            dataset="mhclg.homes",
            actions=("*",),
            begins=NOW,
        ),
    ]


def test_the_same_rules_give_the_same_text_whatever_their_order() -> None:
    found = every_kind()
    assert policy_text.write("mhclg", 1, found) == policy_text.write("mhclg", 1, found[::-1])


def test_denials_come_first_and_the_rules_of_a_grant_are_written_once() -> None:
    document = policy_text.read(policy_text.write("mhclg", 1, every_kind()))
    assert [grant.kind for grant in document.grant] == ["denial", "role", "offer", "listing"]
    assert document.grant[2].begins == NOW


def test_the_marketplaces_own_file_holds_what_is_on_everything() -> None:
    written = policy_text.write("*", 1, role_rules(Role.OPERATOR, None))
    assert policy_text.file_name("*") == "marketplace.toml"
    assert policy_text.read(written).grant[0].dataset == "*"


WRITTEN = policy_text.write("mhclg", 1, every_kind())


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('subject = "*"', 'subjekt = "*"', "subjekt"),
        ('effect = "deny"', 'effect = "denny"', "denny"),
        ('"dataset:query"', '"dataset:look"', "'dataset:look' is no action"),
        ('reach = "public"', 'reach = "publik"', "'publik' is no audience"),
        ('grant = "offer:o1"', 'grant = "ofer:o1"', "'ofer:o1' is no grant"),
        ('dataset = "mhclg.homes"', 'dataset = "leeds.homes"', "not of mhclg"),
        ("format = 1", "format = 2", "format 2"),
        ("begins = 2026-11-22 10:30:00+00:00", "begins = 2026-11-22 10:30:00", "no time zone"),
        ("begins = 2026-11-22 10:30:00+00:00", 'begins = "yesterday"', "begins"),
        ('organisation = "mhclg"', 'organisation = "mhclg', "line"),
        ("revision = 1", 'revision = "1"', "revision"),
    ],
)
def test_a_slip_in_a_file_is_an_error_that_names_it(before: str, after: str, said: str) -> None:
    assert before in WRITTEN
    with pytest.raises(InvalidRule, match=said) as caught:
        policy_text.read(WRITTEN.replace(before, after, 1))
    assert caught.value.detail


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("a = " + "[" * 100_000, "not TOML", id="arrays in arrays"),
        pytest.param("a = " + "{a = " * 100_000, "not TOML", id="tables in tables"),
        pytest.param(".".join("a" * 100_000) + " = 1", "nested too deeply", id="a long key"),
        pytest.param("a = " + "9" * 5000, "not TOML", id="a number of thousands of digits"),
        pytest.param("#" * (4 * 1024**2 + 1), "too large", id="a large file"),
        pytest.param(
            WRITTEN.replace("begins = 2026", "begins = 0001", 1), "1970 and 9999", id="long ago"
        ),
        pytest.param(
            WRITTEN.replace(
                "begins = 2026-11-22 10:30:00+00:00", "ends = 9999-12-31T23:59:59-14:00"
            ),
            "1970 and 9999",
            id="far away",
        ),
        pytest.param("grant = [{ grant = 7 }]", "not a policy", id="in one piece"),
    ],
)
def test_a_hostile_file_is_refused_with_a_sentence(text: str, said: str) -> None:
    with pytest.raises(InvalidRule, match=said):
        policy_text.read(text)


def test_a_slip_is_told_with_the_line_of_its_grant() -> None:
    second = WRITTEN.split("\n").index('dataset = "mhclg.*"') - 2
    for slip in ('"dataset:look"', "7"):
        wrong = WRITTEN.replace('subject = "role:owner@mhclg"', f"subject = {slip}")
        with pytest.raises(InvalidRule, match=f"line {second}") as caught:
            policy_text.read(wrong.replace('"dataset:discover"', slip) if slip != "7" else wrong)
        assert caught.value.detail


def test_a_permission_for_everyone_is_refused_when_it_is_read() -> None:
    opened = WRITTEN.replace('subject = "role:owner@mhclg"', 'subject = "*"')
    with pytest.raises(InvalidRule, match="names its action, and whom it is for"):
        policy_text.read(opened)


def test_a_grant_that_is_there_twice_is_refused() -> None:
    grant = WRITTEN[WRITTEN.index("[[grant]]") :]
    with pytest.raises(InvalidRule, match="twice"):
        policy_text.read(WRITTEN + grant)


def test_a_grant_that_would_end_before_it_begins_is_refused() -> None:
    rule = msgspec.structs.replace(every_kind()[0], nbf=10, exp=20)
    written = policy_text.write("mhclg", 1, [rule])
    backwards = written.replace("00:00:20", "00:00:05")
    assert backwards != written
    with pytest.raises(InvalidRule, match="end before it begins"):
        policy_text.read(backwards)


def test_a_denial_stays_a_denial() -> None:
    [denial] = [rule for rule in policy_text.read(WRITTEN).rules() if rule.effect is Effect.DENY]
    assert denial == every_kind()[-1]
