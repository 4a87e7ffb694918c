"""Policy as files that people review: written out, and held against what stands and what is usual."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

import msgspec
from sqlalchemy import Connection

from access_policies import lint, policy_text, principals, revision, rules
from access_policies.decision_point import DecisionPoint
from access_policies.lint import Finding, Known
from access_policies.policy_text import GrantText, PolicyText
from access_policies.rules import Rule
from access_policies.vocabulary import Audience
from catalogue import datasets
from catalogue.address import check_identifier
from marketplace import enforcement
from marketplace.audit.entries import EntryKind, Fact
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.errors import AccessDenied
from marketplace.identity import capacity, census, projects
from marketplace.identity.principal import Principal
from marketplace.sharing.step import Steps


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One grant in which a file and what stands differ.

    `change` is what applying the file would do: `make`, `end` or `change`.
    """

    change: str
    grant: str
    sentence: str


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """A file held against what stands now (`revision`), and what is odd about its rules."""

    organisation: str
    revision: int
    differences: tuple[Difference, ...]
    findings: tuple[Finding, ...]


class PolicyFiles:
    """Policy of one organisation (`*`: of the marketplace itself) as text.

    Whoever decides on requests for the organisation, or audits it, may read it; each reading is one
    entry in the audit log, written before it. The reading itself keeps nobody from writing: it looks
    at everybody there is.
    """

    def __init__(self, *, database: Database, decision_point: DecisionPoint, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._steps = Steps(database=database, decision_point=decision_point, clock=clock)

    def export(self, principal: Principal, organisation: str) -> str:
        """The file of what is in force. Raises AccessDenied, InvalidAddress."""
        with self._reading(principal, organisation, "export") as (connection, now):
            found = _standing(connection, organisation, now)
            return policy_text.write(organisation, revision.read(connection), found)

    def review(self, principal: Principal, text: str) -> Review:
        """What a file would change, and what is odd about it. Raises InvalidRule, AccessDenied."""
        document = policy_text.read(text)
        organisation = document.organisation
        with self._reading(principal, organisation, "review") as (connection, now):
            number = revision.read(connection)
            standing = _standing(connection, organisation, now)
            before = policy_text.read(policy_text.write(organisation, number, standing))
            return Review(
                organisation=organisation,
                revision=number,
                differences=tuple(_differences(before, document)),
                findings=_findings(connection, document.rules(), now),
            )

    def lint(self, principal: Principal, organisation: str) -> tuple[Finding, ...]:
        """What is odd about the rules that stand. Raises AccessDenied, InvalidAddress."""
        with self._reading(principal, organisation, "lint") as (connection, now):
            return _findings(connection, _standing(connection, organisation, now), now)

    @contextmanager
    def _reading(
        self, principal: Principal, organisation: str, what: str
    ) -> Iterator[tuple[Connection, datetime]]:
        """Let a caller who may read an organisation's policy, on record, without a lock."""
        if organisation != rules.ANY:
            check_identifier(organisation)
        wide = rules.ANY if organisation == rules.ANY else f"{organisation}.*"
        with self._steps.begin(principal) as step:
            if not step.oversees(wide):
                raise AccessDenied(
                    f"You may not read the policy of {organisation}.",
                    next_step="Its owner, an operator or an auditor can.",
                )
            facts: dict[str, Fact] = {"organisation": organisation, "what": what}
            step.record(EntryKind.POLICY_READ, facts, "")
        with self._database.reading() as connection:
            yield connection, self._clock()


def _standing(connection: Connection, organisation: str, now: datetime) -> tuple[Rule, ...]:
    """The rules of an organisation that have not ended."""
    moment = rules.epoch(now)
    found = rules.over_organisation(connection, organisation)
    return tuple(rule for rule in found if rule.exp > moment)


def _findings(
    connection: Connection, found: tuple[Rule, ...], now: datetime
) -> tuple[Finding, ...]:
    return lint.lint(found, _known(connection, found, now), now=rules.epoch(now))


def _known(connection: Connection, found: Iterable[Rule], now: datetime) -> Known:
    """What there is now, as far as the rules name it."""
    named = {rule.dataset for rule in found}
    addresses = datasets.names(connection)
    opened = enforcement.ceilings(connection, named & addresses, now=now)
    return Known(
        datasets=addresses,
        subjects=_subjects(connection, now),
        stages={scope: opened.most(scope) for scope in opened.openings},
    )


def _subjects(connection: Connection, now: datetime) -> Mapping[str, Audience]:
    """The names that somebody goes by, each with the most trusted audience that anybody has by it."""
    subjects = {
        principals.project(project.name): capacity.accredited_audience(
            project.audience, project, now=now
        )
        for project in projects.list_all(connection)
    }
    for acting in census.take(connection, now=now):
        for name in acting.subject.principals:
            audience = acting.subject.audience
            subjects[name] = min(audience, subjects.get(name, audience))
    return subjects


def _differences(before: PolicyText, after: PolicyText) -> Iterable[Difference]:
    stands = {_name(grant): grant for grant in before.grant}
    wanted = {_name(grant): grant for grant in after.grant if grant.identifier}
    for grant in after.grant:
        if not grant.identifier or _name(grant) not in stands:
            yield _difference("make", grant)
        elif stands[_name(grant)] != grant:
            yield _difference("change", grant)
    for name, grant in stands.items():
        if name not in wanted:
            yield _difference("end", grant)


def _name(grant: GrantText) -> tuple[str, str, str]:
    return grant.grant, grant.stem, grant.subject


def _difference(change: str, grant: GrantText) -> Difference:
    doing = {"make": "It would be made", "end": "It would end", "change": "It would be another"}
    actions = ", ".join(action.partition(":")[2] or action for action in grant.actions)
    what = f"{grant.effect} {grant.subject} to {actions} on {grant.dataset}"
    return Difference(change=change, grant=grant.grant, sentence=f"{doing[change]}: {what}.")
