"""What must hold before a request is submitted or approved, or data offered: all faults at once."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import msgspec
from sqlalchemy import Connection

from access_policies.decision import OutputTier
from access_policies.scope import TableScope, columns_chosen_by
from catalogue import releases
from catalogue.address import DatasetAddress
from catalogue.places import Places
from catalogue.table_schema import Sensitivity, TableSchema
from marketplace.clock import LONDON
from marketplace.discovery import unknown
from marketplace.errors import AccessDenied, InvalidSharing
from marketplace.identity import projects
from marketplace.identity.principal import Principal
from marketplace.identity.projects import Project
from marketplace.sharing import bounds, legal, narrowing, remaining, scopes
from marketplace.sharing.agreements import Agreement, Terms
from marketplace.sharing.draft import Approval, RequestDraft
from marketplace.sharing.requests import ShareRequest
from marketplace.sharing.scopes import Scope

Contracts = Mapping[str, TableSchema]


def contracts_of(connection: Connection, dataset: DatasetAddress) -> Contracts:
    """The tables of the newest release. Raises UnknownDataset where there is none."""
    release = releases.latest(connection, dataset)
    if release is None:
        raise unknown(str(dataset))
    return {table.name: table.schema for table in release.tables}


def of_draft(
    connection: Connection, places: Places, project: Project, draft: RequestDraft, *, now: datetime
) -> tuple[Scope, tuple[str, ...]]:
    """The draft's scope written out, and flags for the owner.

    Raises InvalidSharing with a line per finding, UnknownDataset, UnknownPlace.
    """
    bounds.check(draft)
    contracts = contracts_of(connection, draft.dataset)
    asked = scopes.resolve(
        draft.tables or scopes.everything(contracts), contracts, places, project=project.name
    )
    findings = _findings(project, draft, asked, contracts, now)
    refusals = [finding.sentence for finding in findings if finding.refuses]
    if refusals:
        raise InvalidSharing(
            "The request cannot be submitted yet.",
            next_step="Put right what is listed and submit it again.",
            lines=refusals,
        )
    members = remaining.members_now(connection, project, now)
    notes = remaining.notes_on(remaining.named(members, draft.named_people), draft.last_day)
    flags = [finding.sentence for finding in findings if not finding.refuses]
    return asked, (*flags, *notes)


def of_approval(
    connection: Connection,
    places: Places,
    project: Project,
    request: ShareRequest,
    approval: Approval,
    *,
    now: datetime,
) -> tuple[date, Terms]:
    """The last day and the terms that an approval comes to.

    Raises InvalidSharing where it is wider than asked or no longer possible, UnknownPlace.
    """
    bounds.check(approval)
    draft = request.draft
    last_day = approval.last_day if approval.last_day is not None else draft.last_day
    contracts = contracts_of(connection, request.dataset)
    given = request.asked if approval.scope is None else approval.scope
    scope = scopes.resolve(
        scopes.written_within(given, request.asked), contracts, places, project=project.name
    )
    faults = list(narrowing.beyond(scope, request.asked, places))
    if last_day > draft.last_day:
        faults.append("The last day is later than the one asked for.")
    if approval.output_tier is not OutputTier.ROWS:
        # Every exit refuses what it cannot discharge, so this would close what is open now.
        faults.append("Only rows can be served yet: choose the output tier rows.")
    if any(most is not None and most < 1 for most in (approval.most_rows, approval.most_bytes)):
        faults.append("The most rows or bytes of a result are at least 1.")
    until_then = msgspec.structs.replace(draft, last_day=last_day)
    findings = _findings(project, until_then, scope, contracts, now)
    faults += [finding.sentence for finding in findings if finding.refuses]
    if faults:
        raise InvalidSharing(
            "This cannot be approved so.",
            next_step="Approve as asked or less, or return the request.",
            lines=bounds.few(faults),
        )
    members = remaining.members_now(connection, project, now)
    reached = remaining.named(members, draft.named_people)
    return last_day, Terms(
        scope=scope,
        actions=tuple(dict.fromkeys(draft.actions)),
        output_tier=approval.output_tier,
        people=tuple(one.person.id for one in reached) if draft.named_people else (),
        reason=approval.reason,
        notes=remaining.notes_on(reached, last_day),
        result_limit=approval.result_limit,
    )


def of_extension(
    connection: Connection,
    project: Project,
    request: ShareRequest,
    agreement: Agreement,
    last_day: date,
    *,
    now: datetime,
) -> tuple[str, ...]:
    """A sentence for everyone who drops off before the later last day.

    Raises InvalidSharing where the agreement cannot go on until then.
    """
    faults = []
    if agreement.ended_as is not None or now >= agreement.ends_at:
        faults.append("The agreement has ended: a new request is needed.")
    if last_day <= agreement.last_day:
        faults.append(
            f"It lasts until {agreement.last_day:%d %B %Y} already: give a later day, or revoke it."
        )
    contracts = contracts_of(connection, agreement.dataset)
    gone = scopes.gone_from(agreement.terms.scope, contracts)
    faults += gone
    if not gone:
        until_then = msgspec.structs.replace(request.draft, last_day=last_day)
        findings = _findings(project, until_then, agreement.terms.scope, contracts, now)
        faults += [finding.sentence for finding in findings if finding.refuses]
    if faults:
        raise InvalidSharing(
            "The agreement cannot be extended so.",
            next_step="Put right what is listed, or let the project make a new request.",
            lines=bounds.few(faults),
        )
    members = remaining.members_now(connection, project, now)
    people = agreement.terms.people
    reached = tuple(one for one in members if not people or one.person.id in people)
    return remaining.notes_on(reached, last_day)


def of_offer(
    connection: Connection,
    places: Places,
    dataset: DatasetAddress,
    scope: Scope,
    last_day: date | None,
    *,
    now: datetime,
) -> Scope:
    """An offer's scope written out. Raises InvalidSharing, UnknownDataset, UnknownPlace."""
    bounds.check(scope)
    contracts = contracts_of(connection, dataset)
    resolved = scopes.resolve(
        scope or scopes.everything(contracts), contracts, places, project=None
    )
    faults = [
        f'The column "{column.name}" of {table} is marked as personal.'
        for table, schema in _columns_in(resolved, contracts).items()
        for column in schema.columns
        if column.sensitivity is not Sensitivity.NONE
    ]
    if last_day is not None and last_day < now.astimezone(LONDON).date():
        faults.append("The last day has passed already.")
    if faults:
        raise InvalidSharing(
            "This cannot be offered to a whole audience.",
            next_step="Put right what is listed; personal data is shared by agreement.",
            lines=faults,
        )
    return resolved


def not_an_asker(
    connection: Connection, request: ShareRequest, principal: Principal, *, now: datetime
) -> None:
    """Raise AccessDenied for whoever is on the asking side of a request, or was while it ran.

    So is the deputy of an owner who is.
    """
    owner = principal.in_place_of
    deciding = (principal.person_id, *([owner.id] if owner is not None else []))
    if not any(
        person in request.submitted_by or _was_member(connection, request, person, now)
        for person in deciding
    ):
        return
    raise AccessDenied(
        f"Whoever asked for data does not decide on it, nor does a member of {request.project}.",
        next_step="Another owner of the organisation decides.",
    )


def _was_member(connection: Connection, request: ShareRequest, person: str, now: datetime) -> bool:
    # A membership that is ended at once is written as having ended the day before.
    since = request.asked_at.astimezone(LONDON).date() - timedelta(days=1)
    today = now.astimezone(LONDON).date()
    held = projects.memberships_of(connection, person, request.project)
    return any(
        one.first_day <= today and (one.last_day is None or one.last_day >= since) for one in held
    )


def reason_given(reason: str) -> None:
    """Raise InvalidSharing for a decision without a reason."""
    if not reason.strip():
        raise InvalidSharing(
            "A decision has a reason.", next_step="Say in a sentence why, for the other side."
        )
    storable(reason)


def storable(reason: str) -> None:
    """Raise InvalidSharing for text that not every database can keep, or that is too long."""
    bounds.check(Approval(reason=reason))


def _findings(
    project: Project, draft: RequestDraft, scope: Scope, contracts: Contracts, now: datetime
) -> tuple[legal.Finding, ...]:
    columns = _columns_in(scope, contracts)
    today = now.astimezone(LONDON).date()
    return legal.check(legal.Case(draft=draft, project=project, contracts=columns, today=today))


def _columns_in(scope: Scope, contracts: Contracts) -> dict[str, TableSchema]:
    """Of each table in a scope the columns that it lets out or chooses its rows by.

    Who gets the rows with one value of a column knows that value, shown or not.
    """
    return {
        table.table: TableSchema(
            columns=tuple(
                column for column in contracts[table.table].columns if column.name in _told(table)
            )
        )
        for table in scope
    }


def _told(table: TableScope) -> tuple[str, ...]:
    return table.columns + columns_chosen_by(table.rows)
