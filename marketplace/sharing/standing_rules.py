"""What holds without a request: an owner's offer to an audience, and what somebody stopped.

Each is one step (`step`), as the use cases of `sharing` are.
"""

from datetime import date

from access_policies import rules
from access_policies.decision_point import DecisionPoint
from access_policies.vocabulary import Action, Audience
from catalogue.address import DatasetAddress, check_identifier
from catalogue.places import Places
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.identity.principal import Principal
from marketplace.sharing import offers, standing_steps, stops
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
            return standing_steps.offer(step, self._places, dataset, audience, scope, last_day)

    def withdraw(self, principal: Principal, offer_id: str, reason: str) -> Offer:
        """End a standing offer at once."""
        with self._steps.begin(principal, changes_policy=True) as step:
            return standing_steps.withdraw(step, offer_id, reason)

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
        with self._steps.begin(principal, changes_policy=True) as step:
            return standing_steps.stop(step, _scope(dataset), party or Party(), reason)

    def resume(self, principal: Principal, stop_id: str, reason: str) -> Stop:
        """End a stop. Only the authority that made it does; raises AccessDenied, UnknownRecord."""
        with self._steps.begin(principal, changes_policy=True) as step:
            return standing_steps.resume(step, stop_id, reason)

    def stops(self, principal: Principal) -> tuple[Stop, ...]:
        """What is stopped, and was, of what the caller looks after; newest first."""
        with self._steps.begin(principal) as step:
            found = tuple(
                stop for stop in stops.list_all(step.connection) if standing_steps.sees(step, stop)
            )
            step.record_reading("stops", len(found))
            return found


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
