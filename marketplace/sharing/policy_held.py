"""A policy file held against what stood when it was written, and against what stands."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from access_policies import history, policy_changes, rulebook, rules
from access_policies.errors import InvalidRule
from access_policies.history import TODAY, Past
from access_policies.policy_changes import Change
from access_policies.policy_text import PolicyText
from access_policies.rulebook import Damaged
from access_policies.rules import Rule


class Standing(NamedTuple):
    """The rules over an organisation's datasets, and those that cannot be read."""

    rules: tuple[Rule, ...]
    damaged: tuple[Damaged, ...]


def standing(connection: Connection, organisation: str, now: datetime) -> Standing:
    """Those that have not ended, as far as they can be read."""
    moment = rules.epoch(now)
    found = _read(connection, organisation, TODAY)
    return found._replace(rules=tuple(rule for rule in found.rules if rule.exp > moment))


def _read(connection: Connection, organisation: str, past: Past) -> Standing:
    found = tuple(rulebook.over_organisation(connection, organisation, past=past))
    return Standing(
        rules.in_order(one for one in found if isinstance(one, Rule)),
        tuple(one for one in found if isinstance(one, Damaged)),
    )


class Held(NamedTuple):
    """A file held against what stood when it was written, and what others have changed since.

    `revision` is the policy's, before anything of the file is applied; `outdated` are grants.
    """

    revision: int
    changes: tuple[Change, ...]
    outdated: frozenset[str]
    damaged: frozenset[str]


def held_against(
    connection: Connection, document: PolicyText, text: str, *, at: int, now: datetime
) -> Held:
    """What a file changes of what stood at the revision that it names; without one, of what stands.

    `at` is the policy's revision. Raises InvalidRule and PolicyError for a revision that there is no
    history of.
    """
    if document.revision > at:
        raise InvalidRule(
            f"There is no policy revision {document.revision} yet: this is revision {at}.",
            next_step="Export the file from this marketplace: marketplace policy export.",
        )
    stands = _read(connection, document.organisation, TODAY)
    then = stands
    if document.revision not in (0, at):
        history.at_revision(connection, document.revision)
        past = history.past(connection, document.revision)
        then = _read(connection, document.organisation, past)
    found = policy_changes.changes(then.rules, document, text, now=rules.epoch(now))
    before, after = (policy_changes.by_grant(one.rules) for one in (then, stands))
    return Held(
        revision=at,
        changes=found,
        outdated=frozenset(
            one.grant
            for one in found
            if set(before.get(one.grant, ())) != set(after.get(one.grant, ()))
        ),
        damaged=frozenset(one.grant for one in stands.damaged),
    )
