"""What a policy file changes: told grant by grant, whatever order and names it was written with."""

from typing import Any

import msgspec
import pytest

from access_policies import policy_changes, policy_text, principals, rules
from access_policies.decision import LimitOutput, Obligation, OutputTier, RestrictTo
from access_policies.policy_changes import Change, Deed
from access_policies.rules import Effect, Rule
from access_policies.scope import AllRows, TableScope
from access_policies.vocabulary import Action, Audience

NOW = 1_800_000_000
BOUND = (
    RestrictTo(tables=(TableScope(table="homes", columns=("area",), rows=AllRows()),)),
    LimitOutput(tier=OutputTier.ROWS),
)


def agreement(
    number: int = 1, *, bound: tuple[Obligation, ...] = BOUND, **given: object
) -> list[Rule]:
    """The rules of an agreement to query."""
    values: dict[str, object] = {
        "subject": "project:squad",
        "dataset": "mhclg.homes",
        "nbf": NOW - 100,
        "exp": NOW + 86_400,
        "grant": f"agreement:{number}",
    }
    return [
        msgspec.convert(
            values
            | {"id": f"agreement:{number}/x/{action}", "action": action}
            | {"obligations": bound if action == Action.QUERY else ()}
            | given,
            Rule,
        )
        for action in (Action.DISCOVER, Action.QUERY)
    ]


def changes(stood: list[Rule], text: str) -> tuple[Change, ...]:
    return policy_changes.changes(stood, policy_text.read(text), text, now=NOW)


def written(*found: Rule) -> str:
    return policy_text.write("mhclg", 7, found)


def test_another_order_and_other_names_of_rules_change_nothing() -> None:
    text = written(*agreement())
    edited = text.replace('stem = "agreement:1/x"', 'stem = "y"')
    assert edited != text
    turned = msgspec.structs.replace(
        policy_text.read(edited).grant[0],
        actions=("dataset:query", "dataset:discover"),
        obligations=BOUND[::-1],
    )
    document = msgspec.structs.replace(policy_text.read(edited), grant=(turned,))
    assert policy_changes.changes(agreement(), document, edited, now=NOW) == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"exp": rules.FOREVER}, "ending never instead of 08:00 on 16 January 2027"),
        ({"stage": Audience.RESEARCHER}, "reaching researcher instead of public"),
        ({"subject": "project:team"}, "no longer for project:squad; for project:team"),
        ({"purpose": "other"}, "for the purpose other instead of *"),
        ({"nbf": 0}, "beginning from ever instead of"),
        ({"bound": BOUND[:1]}, "with other tables, columns, rows, masks or limits"),
    ],
)
def test_a_change_says_what_is_otherwise(given: dict[str, Any], said: str) -> None:
    [change] = changes(agreement(), written(*agreement(**given)))
    assert (change.deed, change.place) == (Deed.CHANGE, "line 10")
    assert said in change.sentence


def test_what_is_taken_out_ends_unless_it_has_ended_already() -> None:
    over = agreement(2, exp=NOW)
    revoked = agreement(3, nbf=NOW - 50, exp=NOW - 50)
    [change] = changes([*agreement(), *over, *revoked], written())
    assert (change.grant, change.deed, change.place) == ("agreement:1", Deed.END, "taken out")
    assert change.sentence.startswith("It would end: allow project:squad to discover, query on")


def test_each_new_offer_is_one_change_and_new_denials_of_one_dataset_are_one_together() -> None:
    offer = '[[grant]]\ngrant = "offer:"\nsubject = "audience:public"\ndataset = "mhclg.homes"\n'
    offer += 'actions = ["dataset:discover"]\n'
    denial = offer.replace("offer:", "denial:").replace("subject", 'effect = "deny"\nsubject')
    text = written() + offer + offer + denial + denial.replace("audience:public", "only:public")
    found = changes([], text.replace("grant = []\n", ""))
    assert [one.grant for one in found] == ["offer:", "offer:", "denial:"]
    assert {rule.subject for rule in found[-1].after} == {"audience:public", "only:public"}
    assert all(rule.effect is Effect.DENY for rule in found[-1].after)
    assert {one.deed for one in found} == {Deed.MAKE}


def test_many_names_are_told_in_short() -> None:
    denial = [
        Rule(
            id=f"denial:owner@d/{number}/*",
            subject=principals.person(str(number)),
            dataset="mhclg.homes",
            action="*",
            effect=Effect.DENY,
            grant="denial:owner@d",
        )
        for number in range(9)
    ]
    [change] = changes(denial, written())
    assert "deny person:0, person:1, person:2 and 6 more to *" in change.sentence
