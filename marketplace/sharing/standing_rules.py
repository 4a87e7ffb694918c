"""What holds without a request: an owner's offer to an audience, and what somebody stopped.

Each is one step (`step`), as the use cases of `sharing` are.
"""

from datetime import date

import msgspec

from access_policies import rules
from access_policies.decision_point import DecisionPoint
from access_policies.vocabulary import Action, Audience, Authority
from catalogue import datasets
from catalogue.address import DatasetAddress, check_identifier
from catalogue.places import Places
from marketplace.audit.entries import EntryKind, Fact
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.discovery import unknown as unknown_dataset
from marketplace.errors import AccessDenied, InvalidSharing, RequestMalformed
from marketplace.identity import organisations, people, projects
from marketplace.identity.principal import Principal
from marketplace.sharing import checks, offers, stops
from marketplace.sharing.offers import Offer
from marketplace.sharing.scopes import Scope
from marketplace.sharing.step import Step, Steps
from marketplace.sharing.stops import Party, Stop


class StandingRules:
    """Standing offers and stops."""

    def __init__(
        self, *, database: Database, decision_point: DecisionPoint, places: Places, clock: Clock
    ) -> None:
        self._steps = Steps(database=database, decision_point=decision_point, clock=clock)
        self._places = places

    def offer(
        self,
        principal: Principal,
        dataset: DatasetAddress,
        audience: Audience,
        scope: Scope = (),
        last_day: date | None = None,
    ) -> Offer:
        """Let everyone up to an audience read a dataset, or what the scope leaves of it.

        Columns that the contract marks as personal cannot be offered. Raises InvalidSharing,
        AccessDenied, UnknownDataset.
        """
        with self._steps.begin(principal, changes_policy=True) as step:
            step.check_owner(dataset)
            resolved = checks.of_offer(
                step.connection, self._places, dataset, scope, last_day, now=step.now
            )
            offer = offers.make(
                step.connection,
                dataset,
                audience,
                resolved,
                last_day,
                by=step.principal.person_id,
                now=step.now,
            )
            facts: dict[str, Fact] = {
                "offer": offer.id,
                "dataset": str(dataset),
                "audience": audience.name.lower(),
                "scope": msgspec.to_builtins(resolved),
                "last_day": last_day.isoformat() if last_day is not None else None,
            }
            step.record(EntryKind.RULE_OFFERED, facts, "")
        return offer

    def withdraw(self, principal: Principal, offer_id: str, reason: str) -> Offer:
        """End a standing offer at once."""
        with self._steps.begin(principal, changes_policy=True) as step:
            offer = offers.read(step.connection, offer_id)
            step.check_owner(offer.dataset)
            checks.reason_given(reason)
            offers.end(step.connection, offer, now=step.now)
            facts: dict[str, Fact] = {"offer": offer.id, "dataset": str(offer.dataset)}
            step.record(EntryKind.RULE_OFFERED, facts | {"ended": True}, reason)
            return offers.read(step.connection, offer_id)

    def offers(self, principal: Principal) -> tuple[Offer, ...]:
        """The offers that are open to the caller, and all over datasets that the caller oversees."""
        with self._steps.begin(principal) as step:
            found = tuple(
                offer for offer in offers.list_all(step.connection) if _sees_offer(step, offer)
            )
            step.record_reading("offers", len(found))
            return found

    def stop(
        self,
        principal: Principal,
        *,
        dataset: str | None = None,
        party: Party | None = None,
        reason: str,
    ) -> Stop:
        """Close one dataset, all of an organisation (`mhclg.*`), or everything, to a party or to all.

        An operator closes anything, an administrator what belongs to their organisation, an owner
        what they decide on. What is running under it ends. Raises AccessDenied, InvalidSharing,
        RequestMalformed, UnknownDataset, UnknownRecord.
        """
        party = party or Party()
        with self._steps.begin(principal, changes_policy=True) as step:
            scope = _scope(dataset)
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

    def resume(self, principal: Principal, stop_id: str, reason: str) -> Stop:
        """End a stop. Only the authority that made it does; raises AccessDenied, UnknownRecord."""
        with self._steps.begin(principal, changes_policy=True) as step:
            stop = stops.read(step.connection, stop_id)
            if not _sees(step, stop):
                raise stops.unknown(stop_id)
            if _authority(step, stop.dataset) is not stop.authority:
                raise AccessDenied(
                    f"{_MAKERS[stop.authority].capitalize()} made this stop, and nobody else ends "
                    "it.",
                    next_step=f"Ask {_MAKERS[stop.authority]}.",
                )
            checks.reason_given(reason)
            if stop.ended_at is not None:
                raise InvalidSharing("The stop has ended already.")
            stops.end(step.connection, stop, reason, by=step.principal.person_id, now=step.now)
            step.record(EntryKind.RULE_DENIED, _facts(stop) | {"ended": True}, reason)
            return stops.read(step.connection, stop_id)

    def stops(self, principal: Principal) -> tuple[Stop, ...]:
        """What is stopped, and was, of what the caller looks after; newest first."""
        with self._steps.begin(principal) as step:
            found = tuple(stop for stop in stops.list_all(step.connection) if _sees(step, stop))
            step.record_reading("stops", len(found))
            return found


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


def _sees(step: Step, stop: Stop) -> bool:
    overseeing = (Action.AUDIT, Action.ADMINISTER_ORGANISATION, Action.DECIDE_REQUEST)
    return any(step.allows(action, stop.dataset) for action in overseeing)


def _sees_offer(step: Step, offer: Offer) -> bool:
    if step.oversees(offer.dataset):
        return True
    open_now = offer.in_force(step.now) and step.principal.subject.audience <= offer.audience
    return open_now and step.allows(Action.DISCOVER, offer.dataset)


def _scope(dataset: str | None) -> str:
    """A dataset, all of an organisation, or everything, as rules are written on it."""
    if dataset is None:
        return rules.ANY
    organisation, _, rest = dataset.partition(".")
    if rest == rules.ANY:
        check_identifier(organisation)
        return dataset
    return str(DatasetAddress.parse(dataset))


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
