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
from access_policies.vocabulary import Action, Authority, Subject
from marketplace import enforcement
from marketplace.clock import LONDON
from marketplace.errors import Unauthenticated, UnknownRecord
from marketplace.identity import capacity, census, people, projects, tokens
from marketplace.identity.census import Post
from marketplace.identity.people import Person
from marketplace.identity.principal import Principal
from marketplace.sharing import agreements, stops
from marketplace.sharing.agreements import AgreementState
from marketplace.sharing.stops import Stop


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an explanation is about, what they act in, and the purpose that they act for."""

    subject: Subject
    purpose: str
    post: Post


def of_caller(principal: Principal) -> About:
    """The caller, as their token has them act."""
    return About(
        subject=principal.subject,
        purpose=principal.project_purpose or rules.ANY,
        post=Post(principal.project, principal.role, principal.organisation),
    )


def of_person(connection: Connection, named: str, *, now: datetime) -> tuple[About, ...]:
    """A person, by identifier or e-mail address, in every capacity of theirs. Raises UnknownRecord."""
    return _in_all(connection, people.find(connection, named), now)


def of_member(connection: Connection, named: str, project: str, *, now: datetime) -> About:
    """A person, by identifier or e-mail address, as they act in a project now.

    Raises UnknownRecord, and Unauthenticated where they do not act in it.
    """
    found = people.find(connection, named)
    within = projects.find(connection, project) if project.isprintable() else None
    if within is None:
        raise UnknownRecord(f"There is no project {project[:63]!r}.")
    held = capacity.in_project(connection, found, within, now=now)
    return About(
        subject=tokens.subject_of(found.id, tokens.names_in(within.name, found.id), held),
        purpose=within.purpose,
        post=Post(project=within.name),
    )


def nearest(
    connection: Connection,
    decision_point: DecisionPoint,
    capacities: tuple[About, ...],
    action: Action,
    dataset: str,
    *,
    now: datetime,
) -> Explanation:
    """The explanation for the capacity that allows it, else for the one that comes nearest to it."""
    told = [
        why(connection, decision_point, about, action, dataset, now=now) for about in capacities
    ]
    if not told:
        sentence = "They act in no project now, and hold no role."
        refused = Decision(allowed=False, reason=sentence)
        return Explanation(decision=refused, sentence=sentence)
    return min(
        told, key=lambda one: (not one.decision.allowed, one.nearest is None, len(one.obstacles))
    )


def elsewhere(
    connection: Connection,
    decision_point: DecisionPoint,
    told: Explanation,
    person: str,
    action: Action,
    dataset: str,
    *,
    now: datetime,
) -> Explanation:
    """A refusal, with the other capacities of the same person in which it would be allowed."""
    if told.decision.allowed:
        return told
    others = [
        about.post
        for about in _in_all(connection, people.get(connection, person), now)
        if str(about.post) != told.acting
        and why(connection, decision_point, about, action, dataset, now=now).decision.allowed
    ]
    if not others:
        return told
    named = " or ".join(str(post) for post in others)
    ask = f"You may when you act as {named}: send a token for that. {told.ask}"
    return msgspec.structs.replace(told, ask=ask.strip())


def why(
    connection: Connection,
    decision_point: DecisionPoint,
    about: About,
    action: Action,
    dataset: str,
    *,
    now: datetime,
) -> Explanation:
    """Explain a decision on a dataset, with what is to be known of the agreement that it rests on."""
    asked = enforcement.ceilings(connection, (dataset,), now=now).asked(
        about.subject, about.purpose, dataset, now=now
    )
    told = explain.why(
        connection, decision_point, about.subject, action, asked.resource, asked.environment
    )
    stopped = of_stopped(connection, told.decision, everywhere=False)
    if stopped is not None:
        return msgspec.structs.replace(stopped, acting=str(about.post))
    told = msgspec.structs.replace(told, acting=str(about.post))
    told = _with_revocation(connection, _with_agreement(connection, told))
    ceiling = enforcement.handling_ceiling(connection, dataset)
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


def _in_all(connection: Connection, person: Person, now: datetime) -> tuple[About, ...]:
    return tuple(
        About(subject=acting.subject, purpose=acting.purpose or rules.ANY, post=acting.post)
        for acting in census.take(connection, now=now, person=person)
    )


def _with_agreement(connection: Connection, told: Explanation) -> Explanation:
    """Say of the agreement that decided for whom it was made, and when."""
    kind, _, identifier = told.decision.grant.partition(":")
    if kind != GrantKind.AGREEMENT:
        return told
    agreement = agreements.read(connection, identifier)
    day = agreement.made_at.astimezone(LONDON)
    made = f"It was made for {agreement.project} on {day.day} {day:%B %Y}."
    return msgspec.structs.replace(told, sentence=f"{told.sentence} {made}")


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


def as_they_are_told(told: Explanation) -> Explanation:
    """An explanation for somebody else than the person whom it is about."""
    if not told.acting:
        return told
    sentence = f"When they act as {told.acting} they would be told: {told.sentence}"
    return msgspec.structs.replace(told, sentence=sentence)


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
