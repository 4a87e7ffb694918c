"""What must hold before a request is submitted or approved, or data offered: all faults at once."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta

import msgspec
from sqlalchemy import Connection

from access_policies.decision import LimitResult, OutputTier
from access_policies.scope import TableScope, columns_chosen_by
from access_policies.vocabulary import Action
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

    Raises InvalidSharing where the agreement cannot go on until then, or does not go on any more.
    """
    if agreement.ended_as is not None or now >= agreement.ends_at:
        # An extension is a revision of what is in force: here nobody has access that could go on.
        raise InvalidSharing(
            f"The agreement has ended ({agreement.state(now).value}), and only one in force is extended.",
            next_step=f"Let {project.name} ask again: marketplace request {agreement.dataset}. "
            "What was asked and agreed before is in: marketplace requests, marketplace agreements.",
        )
    faults = []
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


def of_narrowing(
    connection: Connection,
    places: Places,
    project: Project,
    agreement: Agreement,
    terms: Terms,
    last_day: date,
    *,
    now: datetime,
) -> Terms:
    """Terms that let out no more than an agreement in force does, written out.

    Raises InvalidSharing where they would let out more, or the agreement does not run any more.
    """
    bounds.check(terms.scope)
    had = agreement.terms
    faults = list(_wider_but_for_scope(had, terms))
    if agreement.ended_as is not None or now >= agreement.ends_at:
        faults.append("The agreement has ended.")
    if last_day < now.astimezone(LONDON).date():
        faults.append("That last day has passed already: revoke the agreement instead.")
    members = remaining.members_now(connection, project, now)
    here = {member.person.id for member in members}
    if terms.people != had.people and not here.issuperset(terms.people):
        faults.append("It names people who are not in the project now.")
    if terms.scope != had.scope:
        contracts = contracts_of(connection, agreement.dataset)
        # As long as the data is not what was agreed on, what is narrower is not certain.
        faults += scopes.gone_from(had.scope, contracts)
        if not faults:
            scope = scopes.resolve(terms.scope, contracts, places, project=project.name)
            faults += narrowing.beyond(scope, had.scope, places, what="agreed")
            terms = msgspec.structs.replace(terms, scope=scope)
    if faults:
        raise InvalidSharing(
            "The agreement cannot be narrowed so.",
            next_step="Put right what is listed; more is agreed by deciding on a request.",
            lines=bounds.few(faults),
        )
    reached = tuple(one for one in members if not terms.people or one.person.id in terms.people)
    notes = remaining.dropping_off(reached, last_day)
    return msgspec.structs.replace(terms, notes=notes)


def _wider_but_for_scope(had: Terms, terms: Terms) -> Iterator[str]:
    if not terms.actions:
        yield "It would open no rows: revoke the agreement instead."
    if beyond := [action for action in terms.actions if action not in _reached(had)]:
        yield f"It was not agreed that the project may {', '.join(sorted(beyond))}."
    if terms.output_tier is not had.output_tier:
        yield "The output tier is decided on with a request."
    # Nobody named is everybody in the project.
    if had.people and not (terms.people and set(terms.people) <= set(had.people)):
        yield "It would reach people who were not agreed on."
    most, was = (one or LimitResult() for one in (terms.result_limit, had.result_limit))
    for name in ("rows", "bytes"):
        limit, before = getattr(most, name), getattr(was, name)
        if limit is not None and limit < 1:
            yield f"The most {name} of a result are at least 1."
        if before is not None and (limit is None or limit > before):
            yield f"A result may have {before} {name} at most."


def _reached(terms: Terms) -> frozenset[Action]:
    """What may be done under an agreement: whoever may query may see the first rows too."""
    preview = (Action.PREVIEW,) if Action.QUERY in terms.actions else ()
    return frozenset((*terms.actions, *preview))


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
