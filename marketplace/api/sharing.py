"""Requests, decisions on them, agreements, and why something is allowed or not."""

from typing import Annotated

import msgspec
from litestar import get, post, put
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from access_policies.vocabulary import Action
from catalogue.address import DatasetAddress
from marketplace.api.call import Given
from marketplace.api.forms import converted, scope_of
from marketplace.bootstrap import Marketplace
from marketplace.identity.principal import Principal
from marketplace.sharing import words
from marketplace.sharing.agreements import Agreement
from marketplace.sharing.draft import Approval, RequestDraft
from marketplace.sharing.requests import ShareRequest
from marketplace.wire import (
    AgreementDescription,
    ApprovalForm,
    ExplanationOfAccess,
    ExtensionForm,
    Reason,
    ShareRequestDescription,
    ShareRequestForm,
)

_ASK = {"action": Action.REQUEST_ACCESS}
_DECIDE = {"action": Action.DECIDE_REQUEST}
_TAGS = ["Share"]

_Person = Annotated[
    str | None,
    QueryParameter(description="For owners and auditors: another person, by e-mail address."),
]
_Project = Annotated[
    str | None,
    QueryParameter(description="For owners and auditors: the project that the person acts in."),
]


@post("/requests", opt=_ASK, sync_to_thread=True, tags=_TAGS)
def submit_request(
    data: JSONBody[ShareRequestForm], principal: Given[Principal], marketplace: Given[Marketplace]
) -> ShareRequestDescription:
    """Ask for a dataset for the caller's project, with purpose and legal basis."""
    return _request(marketplace, marketplace.sharing.ask(principal, _draft(data)))


@put("/requests/{request_id:str}", opt=_ASK, sync_to_thread=True, tags=_TAGS)
def submit_request_again(
    request_id: FromPath[str],
    data: JSONBody[ShareRequestForm],
    principal: Given[Principal],
    marketplace: Given[Marketplace],
) -> ShareRequestDescription:
    """Submit a returned request again, rewritten."""
    return _request(marketplace, marketplace.sharing.ask_again(principal, request_id, _draft(data)))


@get("/requests", opt=_ASK, sync_to_thread=True, tags=_TAGS)
def list_requests(
    principal: Given[Principal], marketplace: Given[Marketplace]
) -> list[ShareRequestDescription]:
    """List the requests of the caller's project, or those that the caller's role decides on."""
    return [_request(marketplace, one) for one in marketplace.sharing.requests(principal)]


@get("/requests/{request_id:str}", opt=_ASK, sync_to_thread=True, tags=_TAGS)
def describe_request(
    request_id: FromPath[str], principal: Given[Principal], marketplace: Given[Marketplace]
) -> ShareRequestDescription:
    """Describe one request with its history."""
    return _request(marketplace, marketplace.sharing.request(principal, request_id))


@post(
    "/requests/{request_id:str}/take-up",
    opt=_DECIDE,
    status_code=200,
    sync_to_thread=True,
    tags=_TAGS,
)
def take_up_request(
    request_id: FromPath[str], principal: Given[Principal], marketplace: Given[Marketplace]
) -> ShareRequestDescription:
    """Begin to review a request."""
    return _request(marketplace, marketplace.sharing.take_up(principal, request_id))


@post(
    "/requests/{request_id:str}/return",
    opt=_DECIDE,
    status_code=200,
    sync_to_thread=True,
    tags=_TAGS,
)
def return_request(
    request_id: FromPath[str],
    data: JSONBody[Reason],
    principal: Given[Principal],
    marketplace: Given[Marketplace],
) -> ShareRequestDescription:
    """Give a request back for changes, saying which."""
    return _request(marketplace, marketplace.sharing.return_(principal, request_id, data.reason))


@post(
    "/requests/{request_id:str}/reject",
    opt=_DECIDE,
    status_code=200,
    sync_to_thread=True,
    tags=_TAGS,
)
def reject_request(
    request_id: FromPath[str],
    data: JSONBody[Reason],
    principal: Given[Principal],
    marketplace: Given[Marketplace],
) -> ShareRequestDescription:
    """Say no to a request, and why."""
    return _request(marketplace, marketplace.sharing.reject(principal, request_id, data.reason))


@post(
    "/requests/{request_id:str}/cancel",
    opt=_ASK,
    status_code=200,
    sync_to_thread=True,
    tags=_TAGS,
)
def cancel_request(
    request_id: FromPath[str],
    data: JSONBody[Reason],
    principal: Given[Principal],
    marketplace: Given[Marketplace],
) -> ShareRequestDescription:
    """Withdraw a request that is not decided yet."""
    return _request(marketplace, marketplace.sharing.cancel(principal, request_id, data.reason))


@post(
    "/requests/{request_id:str}/approve",
    opt=_DECIDE,
    status_code=200,
    sync_to_thread=True,
    tags=_TAGS,
)
def approve_request(
    request_id: FromPath[str],
    data: JSONBody[ApprovalForm],
    principal: Given[Principal],
    marketplace: Given[Marketplace],
) -> AgreementDescription:
    """Say yes, as asked or less; the agreement is in force when this answers."""
    approval = converted(msgspec.to_builtins(data), Approval)
    return _agreement(marketplace, marketplace.sharing.approve(principal, request_id, approval))


@get("/agreements", opt=_ASK, sync_to_thread=True, tags=_TAGS)
def list_agreements(
    principal: Given[Principal], marketplace: Given[Marketplace]
) -> list[AgreementDescription]:
    """List the agreements of the caller's project, or those that the caller's role oversees."""
    found = marketplace.sharing.agreements(principal)
    return [_agreement(marketplace, agreement) for agreement in found]


@post(
    "/agreements/{agreement_id:str}/revoke",
    opt=_DECIDE,
    status_code=200,
    sync_to_thread=True,
    tags=_TAGS,
)
def revoke_agreement(
    agreement_id: FromPath[str],
    data: JSONBody[Reason],
    principal: Given[Principal],
    marketplace: Given[Marketplace],
) -> AgreementDescription:
    """End an agreement at once, also for results that are on their way."""
    revoked = marketplace.sharing.revoke(principal, agreement_id, data.reason)
    return _agreement(marketplace, revoked)


@post(
    "/agreements/{agreement_id:str}/extend",
    opt=_DECIDE,
    status_code=200,
    sync_to_thread=True,
    tags=_TAGS,
)
def extend_agreement(
    agreement_id: FromPath[str],
    data: JSONBody[ExtensionForm],
    principal: Given[Principal],
    marketplace: Given[Marketplace],
) -> AgreementDescription:
    """Let an agreement in force last longer; what runs under it goes on."""
    extended = marketplace.sharing.extend(principal, agreement_id, data.last_day, data.reason)
    return _agreement(marketplace, extended)


@get("/why", opt={"action": Action.DISCOVER}, sync_to_thread=True, tags=_TAGS)
def explain_access(
    dataset: FromQuery[str],
    principal: Given[Principal],
    marketplace: Given[Marketplace],
    action: FromQuery[Action] = Action.QUERY,
    person: _Person = None,
    project: _Project = None,
) -> ExplanationOfAccess:
    """Explain why the caller may or may not do something to a dataset, and what to ask for."""
    told = marketplace.sharing.why(
        principal, DatasetAddress.parse(dataset), action, person=person, project=project
    )
    return ExplanationOfAccess(
        allowed=told.decision.allowed,
        sentence=told.sentence,
        obstacles=told.obstacles,
        ask=told.ask,
        until=told.decision.until,
        acting=told.acting,
    )


def _draft(form: ShareRequestForm) -> RequestDraft:
    address = msgspec.to_builtins(DatasetAddress.parse(form.dataset))
    return converted(msgspec.to_builtins(form) | {"dataset": address}, RequestDraft)


def _request(marketplace: Marketplace, request: ShareRequest) -> ShareRequestDescription:
    values = msgspec.to_builtins(request)
    values["asked"] = scope_of(request.asked)
    values["what"] = words.of_scope(request.asked, marketplace.places)
    values["dataset"] = values["draft"]["dataset"] = str(request.dataset)
    return msgspec.convert(values, ShareRequestDescription)


def _agreement(marketplace: Marketplace, agreement: Agreement) -> AgreementDescription:
    values = msgspec.to_builtins(agreement)
    values |= values["terms"]
    terms = agreement.terms
    values["scope"] = scope_of(terms.scope)
    values["what"] = words.of_terms(terms.scope, terms.result_limit, marketplace.places)
    values["dataset"] = str(agreement.dataset)
    now = marketplace.clock()
    values["state"] = agreement.state(now).value
    values["ends_within_days"] = agreement.ends_within(now)
    return msgspec.convert(values, AgreementDescription)
