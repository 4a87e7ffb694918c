"""What holds without a request: standing offers, and what somebody stopped."""

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody

from access_policies.vocabulary import Action, Audience
from catalogue.address import DatasetAddress
from marketplace.api.call import Given
from marketplace.api.forms import audience_named, converted, scope_of
from marketplace.bootstrap import Marketplace
from marketplace.identity.principal import Principal
from marketplace.sharing import words
from marketplace.sharing.offers import Offer
from marketplace.sharing.scopes import Scope
from marketplace.sharing.stops import Party, Stop
from marketplace.wire import OfferDescription, OfferForm, Reason, StopDescription, StopForm

_TAGS = ["Share"]
_DECIDE = {"action": Action.DECIDE_REQUEST}


@post("/offers", opt=_DECIDE, sync_to_thread=True, tags=_TAGS)
def make_offer(
    data: JSONBody[OfferForm], principal: Given[Principal], marketplace: Given[Marketplace]
) -> OfferDescription:
    """Let everyone up to an audience read a dataset, or a part of it; owners do this."""
    offer = marketplace.standing.offer(
        principal,
        DatasetAddress.parse(data.dataset),
        audience_named(data.audience),
        converted(msgspec.to_builtins(data.tables), Scope),
        data.last_day,
    )
    return _offer(marketplace, offer)


@get("/offers", opt={"action": Action.DISCOVER}, sync_to_thread=True, tags=_TAGS)
def list_offers(
    principal: Given[Principal], marketplace: Given[Marketplace]
) -> list[OfferDescription]:
    """List the standing offers that are open to the caller, and all over what the caller oversees."""
    return [_offer(marketplace, offer) for offer in marketplace.standing.offers(principal)]


@post(
    "/offers/{offer_id:str}/withdraw",
    opt=_DECIDE,
    status_code=200,
    sync_to_thread=True,
    tags=_TAGS,
)
def withdraw_offer(
    offer_id: FromPath[str],
    data: JSONBody[Reason],
    principal: Given[Principal],
    marketplace: Given[Marketplace],
) -> OfferDescription:
    """End a standing offer at once, also for results that are on their way."""
    withdrawn = marketplace.standing.withdraw(principal, offer_id, data.reason)
    return _offer(marketplace, withdrawn)


@post("/stops", opt=_DECIDE, sync_to_thread=True, tags=_TAGS)
def make_stop(
    data: JSONBody[StopForm], principal: Given[Principal], marketplace: Given[Marketplace]
) -> StopDescription:
    """Close a dataset, or something to a party, at once and at every exit.

    Operators close anything, administrators and owners what belongs to their organisation.
    """
    party = Party(
        audience=audience_named(data.audience) if data.audience is not None else None,
        organisation=data.organisation,
        project=data.project,
        person=data.person,
    )
    return _stop(
        marketplace.standing.stop(principal, dataset=data.dataset, party=party, reason=data.reason)
    )


@get("/stops", opt={"action": Action.AUDIT}, sync_to_thread=True, tags=_TAGS)
def list_stops(
    principal: Given[Principal], marketplace: Given[Marketplace]
) -> list[StopDescription]:
    """List what is stopped, and was, of what the caller looks after."""
    return [_stop(stop) for stop in marketplace.standing.stops(principal)]


@post("/stops/{stop_id:str}/resume", opt=_DECIDE, status_code=200, sync_to_thread=True, tags=_TAGS)
def end_stop(
    stop_id: FromPath[str],
    data: JSONBody[Reason],
    principal: Given[Principal],
    marketplace: Given[Marketplace],
) -> StopDescription:
    """End a stop. Only the authority that made it does."""
    return _stop(marketplace.standing.resume(principal, stop_id, data.reason))


def _offer(marketplace: Marketplace, offer: Offer) -> OfferDescription:
    return msgspec.convert(
        {
            "id": offer.id,
            "dataset": str(offer.dataset),
            "audience": offer.audience.name.lower(),
            "tables": scope_of(offer.scope),
            "what": words.of_scope(offer.scope, marketplace.places),
            "last_day": offer.last_day,
            "made_at": offer.made_at,
            "ended_at": offer.ended_at,
            "in_force": offer.in_force(marketplace.clock()),
        },
        OfferDescription,
    )


def _stop(stop: Stop) -> StopDescription:
    party = stop.party
    return StopDescription(
        id=stop.id,
        authority=stop.authority.value,
        dataset=stop.dataset,
        audience=_name(party.audience),
        organisation=party.organisation,
        project=party.project,
        person=stop.person_name or party.person,
        reason=stop.reason,
        made_by=stop.made_by_name or stop.made_by,
        made_at=stop.made_at,
        ended_at=stop.ended_at,
        end_reason=stop.end_reason,
    )


def _name(audience: Audience | None) -> str | None:
    return None if audience is None else audience.name.lower()
