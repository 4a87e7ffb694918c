"""The steps that make and end standing offers and stops, each under the authority that it takes.

Several of them may be one transaction (`policy_files`): each checks its caller and writes its audit
entry by itself.
"""

from datetime import date

import msgspec

from access_policies import rules
from access_policies.vocabulary import Action, Audience, Authority
from catalogue import datasets
from catalogue.address import DatasetAddress
from catalogue.places import Places
from marketplace.audit.entries import EntryKind, Fact
from marketplace.discovery import unknown as unknown_dataset
from marketplace.errors import AccessDenied, InvalidSharing, RequestMalformed
from marketplace.identity import organisations, people, projects
from marketplace.sharing import checks, offers, stops
from marketplace.sharing.offers import Offer
from marketplace.sharing.scopes import Scope
from marketplace.sharing.step import Step
from marketplace.sharing.stops import Party, Stop


def offer(
    step: Step,
    places: Places,
    dataset: DatasetAddress,
    audience: Audience,
    scope: Scope,
    last_day: date | None,
) -> Offer:
    """Make a standing offer; an owner does this."""
    step.check_owner(dataset)
    resolved = checks.of_offer(step.connection, places, dataset, scope, last_day, now=step.now)
    made = offers.make(
        step.connection,
        dataset,
        audience,
        resolved,
        last_day,
        by=step.principal.person_id,
        now=step.now,
    )
    facts: dict[str, Fact] = {
        "offer": made.id,
        "dataset": str(dataset),
        "audience": audience.name.lower(),
        "scope": msgspec.to_builtins(resolved),
        "last_day": last_day.isoformat() if last_day is not None else None,
    }
    step.record(EntryKind.RULE_OFFERED, facts, "")
    return made


def withdraw(step: Step, offer_id: str, reason: str) -> Offer:
    """End a standing offer; an owner does this."""
    held = offers.read(step.connection, offer_id)
    step.check_owner(held.dataset)
    checks.reason_given(reason)
    offers.end(step.connection, held, now=step.now)
    facts: dict[str, Fact] = {"offer": held.id, "dataset": str(held.dataset)}
    step.record(EntryKind.RULE_OFFERED, facts | {"ended": True}, reason)
    return offers.read(step.connection, offer_id)


def stop(step: Step, scope: str, party: Party, reason: str) -> Stop:
    """Close what is written as rules write it (`mhclg.homes`, `mhclg.*`, `*`) to a party."""
    authority = _authority(step, scope)
    checks.reason_given(reason)
    if scope == rules.ANY and party.is_everybody:
        raise RequestMalformed(
            "A stop closes a dataset, or something to a party.",
            next_step="Name what to stop. The rollout closes the marketplace as a whole.",
        )
    _check_there(step, scope)
    party = _known(step, party)
    if scope == rules.ANY and not step.principal.subject.principals.isdisjoint(party.names):
        raise InvalidSharing(
            "This would stop you too, and then you could not end it.",
            next_step="Another operator does this.",
        )
    made = stops.make(
        step.connection,
        authority,
        scope,
        party,
        reason,
        by=step.principal.person_id,
        now=step.now,
    )
    about = {"closed_person": party.person} if party.person else {}
    step.record(EntryKind.RULE_DENIED, _facts(made), reason, **about)
    return stops.read(step.connection, made.id)


def resume(step: Step, stop_id: str, reason: str) -> Stop:
    """End a stop; only the authority that made it does."""
    held = stops.read(step.connection, stop_id)
    if not sees(step, held):
        raise stops.unknown(stop_id)
    if _authority(step, held.dataset) is not held.authority:
        raise AccessDenied(
            f"{_MAKERS[held.authority].capitalize()} made this stop, and nobody else ends it.",
            next_step=f"Ask {_MAKERS[held.authority]}.",
        )
    checks.reason_given(reason)
    if held.ended_at is not None:
        raise InvalidSharing("The stop has ended already.")
    stops.end(step.connection, held, reason, by=step.principal.person_id, now=step.now)
    step.record(EntryKind.RULE_DENIED, _facts(held) | {"ended": True}, reason)
    return stops.read(step.connection, stop_id)


_MAKERS = {
    Authority.OWNER: "an owner of the dataset",
    Authority.ORGANISATION: "an administrator of the organisation",
    Authority.MARKETPLACE: "an operator of the marketplace",
}


def _authority(step: Step, scope: str) -> Authority:
    """As what the caller may close something. Raises AccessDenied."""
    if step.allows(Action.ADMINISTER, rules.ANY):
        return Authority.MARKETPLACE
    if scope != rules.ANY and step.allows(Action.ADMINISTER_ORGANISATION, scope):
        return Authority.ORGANISATION
    if scope != rules.ANY and step.allows(Action.DECIDE_REQUEST, scope):
        return Authority.OWNER
    raise AccessDenied(
        "You may not stop this.",
        next_step="Operators stop anything, administrators and owners what belongs to their "
        "organisation.",
    )


def sees(step: Step, stop: Stop) -> bool:
    """Whether the caller looks after what a stop closes."""
    overseeing = (Action.AUDIT, Action.ADMINISTER_ORGANISATION, Action.DECIDE_REQUEST)
    return any(step.allows(action, stop.dataset) for action in overseeing)


def _check_there(step: Step, scope: str) -> None:
    """A stop that was mistyped must be told, and not stop nothing."""
    if scope == rules.ANY:
        return
    if scope.endswith(f".{rules.ANY}"):
        organisations.get(step.connection, scope.partition(".")[0])
    elif datasets.find(step.connection, DatasetAddress.parse(scope)) is None:
        raise unknown_dataset(scope)


def _known(step: Step, party: Party) -> Party:
    """The party with its person by identifier. Raises UnknownRecord where it is not there."""
    if party.organisation is not None:
        organisations.get(step.connection, party.organisation)
    if party.project is not None:
        projects.get(step.connection, party.project)
    if party.person is not None:
        person = people.find(step.connection, party.person)
        return Party(person=person.id)
    return party


def _facts(stop: Stop) -> dict[str, Fact]:
    party = stop.party
    return {
        "stop": stop.id,
        "authority": stop.authority.value,
        "dataset": stop.dataset,
        "audience": party.audience.name.lower() if party.audience is not None else None,
        "organisation": party.organisation,
        "project": party.project,
    }
