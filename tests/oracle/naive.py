"""The naive evaluator: who may do what, by looking at everything there is, one sentence after another.

Written from the design, the domain and the decisions, not from the code that it checks: it knows
neither rules nor names, neither slices nor Casbin, and keeps nothing from one question to the next.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from access_policies.vocabulary import Action, Audience, Role
from tests.oracle.facts import (
    Agreement,
    Facts,
    Member,
    Named,
    Offer,
    Seconded,
    Span,
    Stop,
    Terms,
    Token,
)

LONDON = ZoneInfo("Europe/London")
KNOWING = {Action.DISCOVER, Action.READ_METADATA, Action.READ_SCHEMA}
READING = {Action.PREVIEW, Action.QUERY, Action.DOWNLOAD}
LOOKING_AFTER = {
    Action.PUBLISH,
    Action.DECIDE_REQUEST,
    Action.AUDIT,
    Action.ADMINISTER_ORGANISATION,
    Action.ADMINISTER,
}
"""What no stage and no handling closes: they say who may use data, not who looks after it."""

OF_ROLES = {
    Role.PUBLISHER: KNOWING | READING | {Action.PUBLISH},
    Role.OWNER: KNOWING | READING | {Action.DECIDE_REQUEST, Action.AUDIT},
    Role.DEPUTY: KNOWING | {Action.DECIDE_REQUEST, Action.AUDIT},
    Role.ADMINISTRATOR: KNOWING | {Action.ADMINISTER_ORGANISATION},
    Role.OPERATOR: KNOWING | {Action.ADMINISTER, Action.AUDIT},
    Role.AUDITOR: KNOWING | {Action.AUDIT},
}
EVERYTHING = Terms(tables=())
"""What a role lets out: every table and column."""

NOTHING = Terms(tables=(), tier="")

_Lasting = TypeVar("_Lasting", bound=Span)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whom a token stands for at a moment."""

    person: str
    home: str
    acts_for: str
    audience: Audience
    project: str | None = None
    role: Role | None = None
    organisation: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Yes or no, what of the data may leave, and the sentence of the house that says so."""

    allowed: bool
    because: str
    grant: str = ""
    terms: Terms = NOTHING


def caller(facts: Facts, token: Token, now: datetime) -> Caller | str:
    """Whom the token stands for, or why for nobody."""
    if token.revoked:
        return "the token was revoked"
    if now >= token.expires:
        return "the token has expired"
    if token.project is not None:
        return _member(facts, token.person, token.project, now)
    assert token.role is not None
    return _holder(facts, token.person, token.role, token.organisation, now)


def answer(facts: Facts, who: Caller, action: Action, dataset: str, now: datetime) -> Answer:
    """Whether this caller may do this to that (`organisation.dataset`, `organisation.*` or `*`) now."""
    for stop in facts.stops:
        if _stops(stop, who, action, dataset, now):
            return Answer(allowed=False, because=f"stopped by {stop.authority}")
    found = _permissions(facts, who, action, dataset, now)
    if not found:
        return Answer(allowed=False, because="nothing opens it")
    closed = "" if action in LOOKING_AFTER else _closed(facts, who, dataset, now)
    return (
        Answer(allowed=False, because=closed)
        if closed
        else min(found, key=lambda one: one[:-1])[-1]
    )


# Who


def _member(facts: Facts, person: str, project: str, now: datetime) -> Caller | str:
    its = facts.projects[project]
    home = facts.homes[person]
    held = [
        one
        for one in facts.members
        if (one.person, one.project) == (person, project) and _holds(one, now)
    ]
    if not held:
        return "no membership holds"
    ways = [way for one in held for way in _ways(facts, one, now)]
    if not ways:
        return "the secondment that the membership rests on does not hold"
    acts_as = min(ways)
    audience = max(acts_as, its.audience)
    if audience is Audience.RESEARCHER and not _accredited(facts, project, now):
        audience = Audience.PUBLIC
    return Caller(
        person=person, home=home, acts_for=its.organisation, audience=audience, project=project
    )


def _ways(facts: Facts, membership: Member, now: datetime) -> list[Audience]:
    """The audiences that somebody acts with by one membership: their home's, or their hosts'."""
    its, home = facts.projects[membership.project], facts.homes[membership.person]
    resting = [one for one in facts.seconded if _rests_on(membership, one, its.organisation)]
    if home == its.organisation or not resting:
        return [facts.audiences[home]]
    return [_audience_at(facts, one, its.audience) for one in resting if _holds(one, now)]


def _rests_on(membership: Member, secondment: Seconded, organisation: str) -> bool:
    """Whether somebody was to be seconded to the project, or its host, during the membership.

    By the days that were entered: what is cut short later still rests on what it rested on.
    """
    hosted = secondment.project == membership.project or secondment.organisation == organisation
    return (
        secondment.person == membership.person
        and hosted
        and secondment.first <= (membership.entered_last or date.max)
        and membership.first <= (secondment.entered_last or date.max)
    )


def _audience_at(facts: Facts, secondment: Seconded, of_project: Audience) -> Audience:
    host = secondment.organisation
    return of_project if host is None else facts.audiences[host]


def _accredited(facts: Facts, project: str, now: datetime) -> bool:
    last = facts.accredited.get(project)
    return last is not None and now < _midnight_after(last)


def _holder(
    facts: Facts, person: str, role: Role, organisation: str | None, now: datetime
) -> Caller | str:
    post = (person, role, organisation)
    held = [one for one in facts.named if (one.person, one.role, one.organisation) == post]
    named = _lasting_longest(held, now)
    if named is None:
        return "no appointment holds"
    home = facts.homes[person]
    if organisation is not None and organisation != home and not _hosted(facts, named, now):
        return "the secondment to the role's organisation does not hold"
    if named.in_place_of is not None:
        owner = _holder(facts, named.in_place_of, Role.OWNER, organisation, now)
        if isinstance(owner, str):
            return "the owner in whose place they decide is none"
    acts_for = organisation or home
    return Caller(
        person=person,
        home=home,
        acts_for=acts_for,
        audience=facts.audiences[acts_for],
        role=role,
        organisation=organisation,
    )


def _hosted(facts: Facts, named: Named, now: datetime) -> bool:
    return any(
        one.person == named.person and one.organisation == named.organisation and _holds(one, now)
        for one in facts.seconded
    )


# Stops


def _stops(stop: Stop, who: Caller, action: Action, dataset: str, now: datetime) -> bool:
    if stop.ended or now < _second(stop.begins) or not _meant(stop, who):
        return False
    if stop.dataset == "*":
        return True
    return action in READING and stop.dataset in (dataset, _organisation(dataset) + ".*")


def _meant(stop: Stop, who: Caller) -> bool:
    if stop.audience is not None:
        return who.audience >= stop.audience
    if stop.organisation is not None:
        return stop.organisation in (who.acts_for, who.home)
    if stop.project is not None:
        return stop.project == who.project
    if stop.person is not None:
        return stop.person == who.person
    return True


# Permissions. Each comes with its place in the one order in which they are preferred: agreement,
# role, offer, listing; then the more trusted audience, the later end, the identifier.

_Preferred = tuple[int, int, float, str, Answer]


def _permissions(
    facts: Facts, who: Caller, action: Action, dataset: str, now: datetime
) -> list[_Preferred]:
    found: list[_Preferred] = []

    def add(place: int, audience: Audience, ends: datetime | None, given: Answer) -> None:
        later = -ends.timestamp() if ends is not None else -float("inf")
        found.append((place, audience, later, given.grant, given))

    for agreed in facts.agreements:
        if _agreed(facts, agreed, who, action, dataset, now):
            audience = facts.projects[agreed.project].audience
            terms = agreed.terms if action in READING else EVERYTHING
            grant = f"agreement:{agreed.id}"
            add(0, audience, _midnight_after(agreed.last), _yes("an agreement", grant, terms))
    if who.role is not None and action in OF_ROLES[who.role] and _reaches(who, dataset):
        held = f"role:{who.role}" + (f"@{who.organisation}" if who.organisation else "")
        add(1, Audience.PUBLIC, None, _yes(f"the role {who.role}", held, EVERYTHING))
    for offer in facts.offers:
        if _offered(offer, who, action, dataset, now):
            terms = offer.terms if action in READING else EVERYTHING
            ends = None if offer.last is None else _midnight_after(offer.last)
            add(2, offer.audience, ends, _yes("an offer", f"offer:{offer.id}", terms))
    listed = facts.listed.get(dataset)
    if listed is not None and action in KNOWING and who.audience <= listed:
        add(3, listed, None, _yes("a listing", f"listing:{dataset}", EVERYTHING))
    return found


def _yes(because: str, grant: str, terms: Terms) -> Answer:
    return Answer(allowed=True, because=because, grant=grant, terms=terms)


def _reaches(who: Caller, dataset: str) -> bool:
    return who.organisation is None or who.organisation == _organisation(dataset)


def _agreed(
    facts: Facts, agreed: Agreement, who: Caller, action: Action, dataset: str, now: datetime
) -> bool:
    actions = KNOWING | {*agreed.actions}
    if Action.QUERY in agreed.actions:
        actions |= {Action.PREVIEW}
    return (
        not agreed.ended
        and agreed.dataset == dataset
        and agreed.project == who.project
        and (not agreed.people or who.person in agreed.people)
        and action in actions
        and who.audience <= facts.projects[agreed.project].audience
        and _second(agreed.begins) <= now < _midnight_after(agreed.last)
    )


def _offered(offer: Offer, who: Caller, action: Action, dataset: str, now: datetime) -> bool:
    return (
        not offer.ended
        and offer.dataset == dataset
        and who.audience <= offer.audience
        and action in KNOWING | READING
        and _second(offer.begins) <= now
        and (offer.last is None or now < _midnight_after(offer.last))
    )


# Ceilings


def _closed(facts: Facts, who: Caller, dataset: str, now: datetime) -> str:
    """What closes a dataset to the caller whoever opened it; nothing where nothing does."""
    if dataset in facts.hmg_use_only and who.audience > Audience.GOVERNMENT:
        return "HMG USE ONLY"
    for scope, unmoved in (("*", Audience.GOVERNMENT), (dataset, Audience.PUBLIC)):
        begun = [
            move
            for move in facts.moves
            if move.scope == scope and (move.begins is None or move.begins <= now)
        ]
        stage = begun[-1].stage if begun else unmoved
        of = "the marketplace" if scope == "*" else "the dataset"
        if who.audience > stage:
            return f"the stage of {of}"
        waves = begun[-1].waves if begun else None
        if who.audience == stage and waves is not None and not _invited(facts, who, waves):
            return f"not invited to {of}"
    return ""


def _invited(facts: Facts, who: Caller, waves: tuple[str, ...]) -> bool:
    names = {f"organisation:{who.acts_for}", f"project:{who.project}"}
    return any((wave, name) in facts.invited for wave in waves for name in names)


# Days


def _lasting_longest(held: Iterable[_Lasting], now: datetime) -> _Lasting | None:
    current = [one for one in held if _holds(one, now)]
    ordered = sorted(current, key=lambda one: (one.first, one.id))
    return max(ordered, key=lambda one: one.last or date.max, default=None)


def _holds(span: Span, now: datetime) -> bool:
    return _midnight(span.first) <= now and (span.last is None or now < _midnight_after(span.last))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=LONDON)


def _midnight_after(day: date) -> datetime:
    return _midnight(day + timedelta(days=1))


def _second(moment: datetime) -> datetime:
    """Rules are kept in whole seconds and begin with the one in which they were written."""
    return moment.replace(microsecond=0)


def _organisation(dataset: str) -> str:
    return dataset.split(".")[0]
