"""What an owner does to an agreement that is made: revoked, or revised in its last day and terms."""

from datetime import date

import msgspec

from catalogue.places import Places
from marketplace.audit.entries import EntryKind, Fact
from marketplace.errors import InvalidSharing
from marketplace.identity import projects
from marketplace.sharing import agreements, checks, requests
from marketplace.sharing.agreements import Agreement, AgreementState, Terms
from marketplace.sharing.requests import ShareRequest
from marketplace.sharing.step import Step


def revoke(step: Step, agreement_id: str, reason: str) -> Agreement:
    """End an agreement at once. Raises AccessDenied, InvalidSharing, UnknownRecord."""
    agreement = overseen(step, agreement_id)
    step.check_owner(agreement.dataset)
    checks.reason_given(reason)
    if agreement.ended_as is not None:
        raise InvalidSharing(f"The agreement is {agreement.ended_as.value} already.")
    ended = agreements.end(step.connection, agreement, AgreementState.REVOKED, reason, now=step.now)
    facts = _facts(agreement) | {"ended_as": AgreementState.REVOKED.value}
    step.record(EntryKind.AGREEMENT_ENDED, facts, reason)
    return ended


def extend(step: Step, agreement_id: str, last_day: date, reason: str) -> Agreement:
    """Let an agreement in force last longer. Raises AccessDenied, InvalidSharing, UnknownRecord.

    Whoever is on the asking side of it does not decide on this.
    """
    agreement = overseen(step, agreement_id)
    check_decider(step, requests.read(step.connection, agreement.request))
    checks.reason_given(reason)
    terms = _lasting(step, agreement, last_day)
    revised = _revised(step, agreement, terms, last_day, reason)
    step.record(EntryKind.AGREEMENT_EXTENDED, _facts(agreement) | _days(agreement, revised), reason)
    return revised


def revise(
    step: Step, places: Places, agreement: Agreement, terms: Terms, last_day: date, reason: str
) -> Agreement:
    """Let an agreement in force have narrower terms or an earlier last day.

    A later last day beside narrower terms is an extension too. Less is the word of any owner, as a
    revocation is. Raises AccessDenied, InvalidSharing, UnknownPlace.
    """
    step.check_owner(agreement.dataset)
    checks.reason_given(reason)
    project = projects.get(step.connection, agreement.project)
    terms = checks.of_narrowing(
        step.connection, places, project, agreement, terms, last_day, now=step.now
    )
    if last_day > agreement.last_day:
        check_decider(step, requests.read(step.connection, agreement.request))
        terms = _lasting(step, msgspec.structs.replace(agreement, terms=terms), last_day)
    revised = _revised(step, agreement, terms, last_day, reason)
    facts = _facts(agreement) | _days(agreement, revised)
    facts |= {
        "request": agreement.request,
        "scope": msgspec.to_builtins(terms.scope),
        "actions": [action.value for action in terms.actions],
        "result_limit": msgspec.to_builtins(terms.result_limit),
        "named_people": len(terms.people),
    }
    step.record(EntryKind.AGREEMENT_REVISED, facts, reason)
    return revised


def overseen(step: Step, agreement_id: str) -> Agreement:
    """An agreement that the caller may see. Raises UnknownRecord."""
    agreement = agreements.read(step.connection, agreement_id)
    if not step.oversees(agreement.dataset) and not step.is_own(agreement.project):
        raise agreements.unknown(agreement_id)
    return agreement


def check_decider(step: Step, request: ShareRequest) -> None:
    """Raise AccessDenied unless the caller decides on a request and has no part in asking for it."""
    step.check_owner(request.dataset)
    checks.not_an_asker(step.connection, request, step.principal, now=step.now)


def _lasting(step: Step, agreement: Agreement, last_day: date) -> Terms:
    """The terms of an agreement that is to last longer, with who drops off before that day."""
    request = requests.read(step.connection, agreement.request)
    project = projects.get(step.connection, agreement.project)
    notes = checks.of_extension(
        step.connection, project, request, agreement, last_day, now=step.now
    )
    return msgspec.structs.replace(agreement.terms, notes=notes)


def _revised(
    step: Step, agreement: Agreement, terms: Terms, last_day: date, reason: str
) -> Agreement:
    return agreements.revise(
        step.connection,
        agreement,
        projects.get(step.connection, agreement.project),
        last_day,
        terms,
        reason,
        by=step.principal.person_id,
        now=step.now,
    )


def _facts(agreement: Agreement) -> dict[str, Fact]:
    return {
        "agreement": agreement.id,
        "project": agreement.project,
        "dataset": str(agreement.dataset),
    }


def _days(before: Agreement, after: Agreement) -> dict[str, Fact]:
    return {"before": before.last_day.isoformat(), "last_day": after.last_day.isoformat()}
