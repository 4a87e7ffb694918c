"""Explanations with the stages as they stand, about the caller or about a person in a project."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection

from access_policies import explain, rules
from access_policies.decision import Decision
from access_policies.decision_point import DecisionPoint
from access_policies.explain import Explanation
from access_policies.rules import GrantKind
from access_policies.sentences import AUDIENCES
from access_policies.vocabulary import Action, Authority, Environment, Resource, Subject
from marketplace import enforcement
from marketplace.clock import LONDON
from marketplace.errors import Unauthenticated, UnknownRecord
from marketplace.identity import capacity, people, projects, tokens
from marketplace.identity.principal import Principal
from marketplace.sharing import agreements, stops
from marketplace.sharing.agreements import AgreementState
from marketplace.sharing.stops import Stop


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
    found = people.find(connection, person)
    within = projects.find(connection, project) if project.isprintable() else None
    if within is None:
        raise UnknownRecord(f"There is no project {project[:63]!r}.")
    held = capacity.in_project(connection, found, within, now=now)
    return About(
        subject=tokens.subject_of(found.id, tokens.names_in(within.name, found.id), held),
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
    ceiling = enforcement.handling_ceiling(connection, dataset)
    told = explain.why(
        connection,
        decision_point,
        about.subject,
        action,
        Resource(dataset=dataset, stage=min(rules.stage(connection, dataset), ceiling)),
        Environment(now=now, stage=rules.stage(connection, rules.ANY), purpose=about.purpose),
    )
    stopped = of_stopped(connection, told.decision, everywhere=False)
    if stopped is not None:
        return stopped
    told = _with_revocation(connection, told)
    return _with_handling(told) if about.subject.audience > ceiling else told


def of_stopped(
    connection: Connection, decision: Decision, *, everywhere: bool = True
) -> Explanation | None:
    """Who stopped what was refused, when, why, and whom to ask; None where a stop did not decide it.

    With `everywhere` only a stop that is about no dataset is told: it says of none that it is there.
    """
    stop = stops.behind(connection, decision)
    if stop is None or (everywhere and stop.dataset != rules.ANY):
        return None
    london = stop.made_at.astimezone(LONDON)
    who, asked = _STOPPED_BY[stop.authority]
    sentence = (
        f"{who} stopped {_stopped(stop)} on {london.day} {london:%B %Y}. "
        f"The reason given: {stop.reason}"
    )
    return Explanation(
        decision=decision, sentence=sentence, obstacles=(sentence,), ask=f"Ask {asked} about it."
    )


_STOPPED_BY = {
    Authority.OWNER: ("An owner of the dataset", "the owner"),
    Authority.ORGANISATION: ("The organisation of the dataset", "an administrator of it"),
    Authority.MARKETPLACE: ("An operator of the marketplace", "the operator"),
}


def _stopped(stop: Stop) -> str:
    """What was closed, and to whom, as the object of a sentence."""
    what = "everything" if stop.dataset == rules.ANY else f"the data of {stop.dataset}"
    party = stop.party
    if party.audience is not None:
        audience = AUDIENCES[party.audience]
        return f"{what} for {audience} and every less trusted audience"
    if party.organisation is not None:
        return f"{what} for everybody who acts for {party.organisation} or is employed there"
    if party.project is not None:
        return f"{what} for the project {party.project}"
    return f"{what} for one person" if party.person is not None else f"{what} for everybody"


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


def _with_handling(told: Explanation) -> Explanation:
    """Say that the marking of the dataset, and no stage, is what closes it to that audience."""
    marked = "The dataset is marked HMG USE ONLY, which closes it to all but central government."
    return msgspec.structs.replace(
        told, sentence=f"{told.sentence} {marked}", obstacles=(*told.obstacles, marked)
    )


def of_absence(absence: Unauthenticated) -> Explanation:
    """What stands in the way of someone who does not act in the project at all."""
    sentence = f"They would be told: {absence.detail}"
    return Explanation(
        decision=Decision(allowed=False, reason=sentence), sentence=sentence, ask=absence.next_step
    )
