"""Policy as files that people review: written out, held against what stands and is usual, applied."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from access_policies import (
    lint,
    policy_text,
    principals,
    revision,
    rules,
)
from access_policies.decision_point import DecisionPoint
from access_policies.errors import InvalidRule, PolicyError
from access_policies.lint import Finding, Known
from access_policies.policy_changes import Change, Deed
from access_policies.policy_text import PolicyText
from access_policies.rules import Rule
from access_policies.vocabulary import Action, Audience
from catalogue import datasets
from catalogue.address import check_identifier
from catalogue.errors import Problem
from catalogue.places import Places
from marketplace import enforcement
from marketplace.audit.entries import EntryKind, Fact
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.errors import AccessDenied, InvalidSharing, PolicyOutdated
from marketplace.identity import capacity, census, projects
from marketplace.identity.principal import Principal
from marketplace.sharing import checks, policy_held, policy_steps
from marketplace.sharing.agreements import Agreement
from marketplace.sharing.bounds import few
from marketplace.sharing.policy_held import Held
from marketplace.sharing.step import Step, Steps

_MOST_CHANGES = 200
"""Of one file: nobody can read or write policy while they are made."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One grant that a file changes of what stood at the revision that it was written from.

    `change` is what applying the file would do: `make`, `end` or `change`. `place` is where in the
    file. `outdated` says that somebody else has changed the grant since.
    """

    change: str
    grant: str
    place: str
    sentence: str
    outdated: bool = False


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What applying a file did, or would do (`dry_run`); `revision` is that of the policy after it."""

    organisation: str
    revision: int
    dry_run: bool
    differences: tuple[Difference, ...]


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """What a file changes, and what is odd about its rules as things are now (`revision`)."""

    organisation: str
    revision: int
    differences: tuple[Difference, ...]
    findings: tuple[Finding, ...]


class PolicyFiles:
    """Policy of one organisation (`*`: of the marketplace itself) as text.

    Whoever decides on requests for the organisation, administers it, or audits it, may read it; each
    reading is one entry in the audit log, written before it. The reading itself keeps nobody from
    writing: it looks at everybody there is.
    """

    def __init__(
        self,
        *,
        database: Database,
        decision_point: DecisionPoint,
        places: Places,
        clock: Clock,
        on_agreed: Callable[[Agreement], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._places = places
        self._clock = clock
        self._on_agreed = on_agreed
        self._steps = Steps(database=database, decision_point=decision_point, clock=clock)

    def export(self, principal: Principal, organisation: str) -> str:
        """The file of what is in force. Raises AccessDenied, InvalidAddress."""
        with self._reading(principal, organisation, "export") as (connection, now):
            found = policy_held.standing(connection, organisation, now)
            number = revision.read(connection)
            left_out = [lint.damage(one).sentence for one in found.damaged]
            return policy_text.write(organisation, number, found.rules, left_out=left_out)

    def review(self, principal: Principal, text: str) -> Review:
        """What a file would change, and what is odd about it. Raises InvalidRule, AccessDenied."""
        document = policy_text.read(text)
        organisation = document.organisation
        with self._reading(principal, organisation, "review") as (connection, now):
            return Review(
                organisation=organisation,
                revision=revision.read(connection),
                differences=_differences(
                    policy_held.held_against(
                        connection, document, text, at=revision.read(connection), now=now
                    )
                ),
                findings=_findings(connection, document.rules(), now),
            )

    def apply(
        self, principal: Principal, text: str, reason: str, *, dry_run: bool = False
    ) -> Applied:
        """Make every change of a file, in one transaction and as its caller may, or none.

        Only what the file changes of the revision that it was written from is changed. Raises
        InvalidRule, PolicyOutdated where somebody has changed the same since, and AccessDenied or
        InvalidSharing with a line for each change that the caller may not make or that no file can.
        """
        document = policy_text.read(text)
        with self._reading(principal, document.organisation, "try" if dry_run else "apply"):
            pass  # whoever may not read what a file changes learns nothing of it by applying it
        try:
            with self._steps.begin(principal, changes_policy=True) as step:
                applied, revised = self._applied(step, document, text, reason, dry_run)
                if dry_run or not applied.differences:
                    raise _NothingKept(applied)
        except _NothingKept as result:
            return result.applied
        for agreement in revised:
            self._on_agreed(agreement)
        return applied

    def _applied(
        self, step: Step, document: PolicyText, text: str, reason: str, dry_run: bool
    ) -> tuple[Applied, list[Agreement]]:
        connection = step.connection
        # This transaction has moved it by one.
        before = revision.read(connection) - 1
        held = policy_held.held_against(connection, document, text, at=before, now=step.now)
        _check_applicable(document, held)
        checks.reason_given(reason)
        made = [self._made(step, change, held.damaged, reason) for change in held.changes]
        _raise_refusals([one for one in made if isinstance(one, _Refusal)])
        facts: dict[str, Fact] = {
            "organisation": document.organisation,
            "written_from": document.revision,
            "changes": len(made),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
        step.record(EntryKind.POLICY_APPLIED, facts, reason)
        applied = Applied(
            organisation=document.organisation,
            revision=before + 1 if made and not dry_run else before,
            dry_run=dry_run,
            differences=_differences(held),
        )
        return applied, [one for one in made if isinstance(one, Agreement)]

    def _made(
        self, step: Step, change: Change, damaged: frozenset[str], reason: str
    ) -> "Agreement | _Refusal | None":
        try:
            if change.grant in damaged and change.deed is not Deed.END:
                raise InvalidSharing(
                    "A rule of it is damaged, so the file does not say all of it.",
                    next_step="Take it out of the file to end it, or leave it as it was.",
                )
            return policy_steps.make(step, self._places, change, reason)
        except (Problem, PolicyError) as error:
            return _Refusal(change, error)

    def lint(self, principal: Principal, organisation: str) -> tuple[Finding, ...]:
        """What is odd about the rules that stand. Raises AccessDenied, InvalidAddress."""
        with self._reading(principal, organisation, "lint") as (connection, now):
            found = policy_held.standing(connection, organisation, now)
            damaged = tuple(lint.damage(one) for one in found.damaged)
            return damaged + _findings(connection, found.rules, now)

    @contextmanager
    def _reading(
        self, principal: Principal, organisation: str, what: str
    ) -> Iterator[tuple[Connection, datetime]]:
        """Let a caller who may read an organisation's policy, on record, without a lock."""
        if organisation != rules.ANY:
            check_identifier(organisation)
        wide = rules.ANY if organisation == rules.ANY else f"{organisation}.*"
        with self._steps.begin(principal) as step:
            administers = organisation != rules.ANY and step.allows(
                Action.ADMINISTER_ORGANISATION, wide
            )
            if not administers and not step.oversees(wide):
                raise AccessDenied(
                    f"You may not read the policy of {organisation}.",
                    next_step="Its owner or administrator, an operator or an auditor can.",
                )
            facts: dict[str, Fact] = {"organisation": organisation, "what": what}
            step.record(EntryKind.POLICY_READ, facts, "")
        with self._database.reading() as connection:
            yield connection, self._clock()


def _check_applicable(document: PolicyText, held: Held) -> None:
    if not document.revision:
        raise InvalidRule(
            "The file does not say which revision of the policy it was written from.",
            next_step="Export it, and edit that: marketplace policy export.",
        )
    # What is denied anew on one dataset is one change, of as many stops as there are names.
    many = sum(len({rule.subject for rule in one.after}) or 1 for one in held.changes)
    if many > _MOST_CHANGES:
        raise InvalidRule(
            f"The file makes {many} changes, by name; {_MOST_CHANGES} are the most at once.",
            next_step="Apply a part of it, export again, and go on from there.",
        )
    outdated = [
        f"{one.place}, {one.grant:.120}: somebody else has changed it since."
        for one in held.changes
        if one.grant in held.outdated
    ]
    if outdated:
        raise PolicyOutdated(
            f"The file was written from revision {document.revision}, and what it changes has moved.",
            next_step="Export the policy again, look at what changed, and make the edits in that.",
            lines=few(outdated),
        )


class _Refusal(NamedTuple):
    change: Change
    error: Problem | PolicyError

    @property
    def line(self) -> str:
        said = (self.error.detail, *getattr(self.error, "lines", ()), self.error.next_step)
        where = f"{self.change.place}, {self.change.grant:.120}"
        return f"{where}: {' '.join(part for part in said if part)}"


def _raise_refusals(refused: list[_Refusal]) -> None:
    """Raise one error for all of them; what its caller may not do is refused as that."""
    if not refused:
        return
    denied = [one for one in refused if isinstance(one.error, AccessDenied)]
    kind = AccessDenied if denied else InvalidSharing
    raise kind(
        "The file was not applied, and nothing was changed.",
        next_step="Put right what is listed, or leave it to whoever may: each applies their own part.",
        lines=few([one.line for one in denied or refused]),
    )


class _NothingKept(Exception):
    """What was done is to be rolled back: it was tried only, or there was nothing to do."""

    def __init__(self, applied: Applied) -> None:
        super().__init__()
        self.applied = applied


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


def _differences(held: Held) -> tuple[Difference, ...]:
    return tuple(
        Difference(
            change=one.deed.value,
            grant=one.grant,
            place=one.place,
            sentence=one.sentence,
            outdated=one.grant in held.outdated,
        )
        for one in held.changes
    )
