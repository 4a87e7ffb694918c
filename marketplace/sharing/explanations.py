"""Explanations with the stages as they stand, about the caller or about a person in a project."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection

from access_policies import explain, principals, rules
from access_policies.decision import Decision
from access_policies.decision_point import DecisionPoint
from access_policies.explain import Explanation
from access_policies.rules import GrantKind
from access_policies.vocabulary import Action, Subject
from marketplace import enforcement
from marketplace.errors import Unauthenticated, UnknownRecord
from marketplace.identity import capacity, people, projects, tokens
from marketplace.identity.principal import Principal
from marketplace.sharing import agreements
from marketplace.sharing.agreements import AgreementState


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an explanation is about, and the purpose that they act for."""

    subject: Subject
    purpose: str


def of_caller(principal: Principal) -> About:
    """The caller, as their token has them act."""
    return About(subject=principal.subject, purpose=principal.project_purpose or rules.ANY)


def of_member(connection: Connection, person: str, project: str, *, now: datetime) -> About:
    """A person, by identifier or e-mail address, as they act in a project now.

    Raises UnknownRecord, and Unauthenticated where they do not act in it.
    """
    if not (person.isprintable() and project.isprintable()):
        raise UnknownRecord("There is no such person or project.")
    found = people.find_by_email(connection, person) or people.get(connection, person)
    within = projects.find(connection, project)
    if within is None:
        raise UnknownRecord(f"There is no project {project[:63]!r}.")
    held = capacity.in_project(connection, found, within, now=now)
    return About(
        subject=tokens.subject_of(
            found.id,
            tokens.names_in(within.name, found.id) | {principals.organisation(within.organisation)},
            held,
        ),
        purpose=within.purpose,
    )


def why(
    connection: Connection,
    decision_point: DecisionPoint,
    about: About,
    action: Action,
    dataset: str,
    *,
    now: datetime,
) -> Explanation:
    """Explain a decision on a dataset; where an agreement was revoked, with its owner's reason."""
    asked = enforcement.circumstances(connection, about.subject, dataset, about.purpose, now=now)
    told = explain.why(
        connection, decision_point, about.subject, action, asked.resource, asked.environment
    )
    return _with_revocation(connection, told)


def _with_revocation(connection: Connection, told: Explanation) -> Explanation:
    """Say of the agreement that came nearest that its owner ended it, and why."""
    kind, _, identifier = (told.nearest.grant if told.nearest else "").partition(":")
    if kind != GrantKind.AGREEMENT:
        return told
    agreement = agreements.read(connection, identifier)
    if agreement.ended_as is not AgreementState.REVOKED:
        return told
    revoked = f"Its owner revoked it. The reason given: {agreement.end_reason}"
    return msgspec.structs.replace(
        told, sentence=f"{told.sentence} {revoked}", obstacles=(*told.obstacles, revoked)
    )


def of_absence(absence: Unauthenticated) -> Explanation:
    """What stands in the way of someone who does not act in the project at all."""
    sentence = f"They would be told: {absence.detail}"
    return Explanation(
        decision=Decision(allowed=False, reason=sentence), sentence=sentence, ask=absence.next_step
    )
