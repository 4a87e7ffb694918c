"""Agreements: what an approval opens to one project of one dataset, and the rules that enforce it."""

from collections.abc import Iterator
from datetime import date, datetime
from enum import StrEnum
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, RowMapping, insert, select, update

from access_policies import principals, rules
from access_policies.decision import (
    LimitOutput,
    LimitResult,
    Obligation,
    OutputTier,
    RestrictTo,
)
from access_policies.rules import DATA_ACTIONS, GrantKind, Rule
from access_policies.standing import LISTED
from access_policies.vocabulary import Action
from catalogue.address import DatasetAddress
from marketplace.clock import LONDON, end_of_last_day
from marketplace.errors import UnknownRecord
from marketplace.identity.projects import Project
from marketplace.sharing.records import agreements, extensions
from marketplace.sharing.scopes import Scope

WARNED_DAYS_BEFORE = (1, 7, 30)
"""From so many days before the last one on, whoever looks at an agreement is warned."""


class AgreementState(StrEnum):
    """Where an agreement stands. An expired one needs nobody to end it; its rules have ended."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    REVOKED = "revoked"
    REPLACED = "replaced"


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What is agreed. Without `people`, every member of the project.

    `result_limit` is the most that one result may have, where the owner set one.
    """

    scope: Scope
    actions: tuple[Action, ...]
    output_tier: OutputTier
    people: tuple[str, ...]
    reason: str
    notes: tuple[str, ...] = ()
    result_limit: LimitResult | None = None


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    """One time that an agreement was revised: its last day from and to, by whom, when and why.

    Where the last day stayed, its terms were narrowed; what they were stands in the audit log.
    """

    before: date
    after: date
    by: str
    at: datetime
    why: str


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """One project over one dataset, until the midnight in London that ends `last_day`.

    `suspended_by` says what the newest release no longer has of what was agreed. `extensions` are in
    the order in which they were made.
    """

    id: str
    request: str
    project: str
    dataset: DatasetAddress
    terms: Terms
    last_day: date
    ends_at: datetime
    made_by: str
    made_at: datetime
    ended_as: AgreementState | None = None
    ended_at: datetime | None = None
    end_reason: str = ""
    suspended_by: tuple[str, ...] = ()
    extensions: tuple[Extension, ...] = ()

    def ends_within(self, now: datetime) -> int | None:
        """Within how many of the days that are warned of it ends: 1, 7 or 30; else None.

        Days are those of London: one that ends today or tomorrow ends within 1.
        """
        if self.ended_as is not None or now >= self.ends_at:
            return None
        left = (self.last_day - now.astimezone(LONDON).date()).days
        return min((days for days in WARNED_DAYS_BEFORE if left <= days), default=None)

    def state(self, now: datetime) -> AgreementState:
        """How the agreement stands at that moment."""
        if self.ended_as is not None:
            return self.ended_as
        if now >= self.ends_at:
            return AgreementState.EXPIRED
        return AgreementState.SUSPENDED if self.suspended_by else AgreementState.ACTIVE


def make(
    connection: Connection,
    project: Project,
    dataset: DatasetAddress,
    request: str,
    terms: Terms,
    last_day: date,
    *,
    by: str,
    now: datetime,
) -> tuple[Agreement, Agreement | None]:
    """Write an agreement and its rules, and end the one that it replaces, if there is one.

    Returns both. The caller advances the revision in the same transaction.
    """
    replaced = in_force(connection, project.name, dataset)
    if replaced is not None:
        how = AgreementState.EXPIRED if now >= replaced.ends_at else AgreementState.REPLACED
        end(connection, replaced, how, "A newer agreement takes its place.", now=now)
    agreement = Agreement(
        id=uuid4().hex,
        request=request,
        project=project.name,
        dataset=dataset,
        terms=terms,
        last_day=last_day,
        ends_at=end_of_last_day(last_day),
        made_by=by,
        made_at=now,
    )
    connection.execute(insert(agreements).values(_row(agreement)))
    for rule in rules_of(agreement, project):
        rules.write(connection, rule)
    return agreement, replaced


def revise(
    connection: Connection,
    agreement: Agreement,
    project: Project,
    last_day: date,
    terms: Terms,
    why: str,
    *,
    by: str,
    now: datetime,
) -> Agreement:
    """Let an agreement in force have another last day or other terms, and keep what its last day was.

    Its rules end and others follow in the same second under the same grant, so that what runs under
    it goes on where the terms are the same. The caller advances the revision.
    """
    made = Extension(before=agreement.last_day, after=last_day, by=by, at=now, why=why)
    revised = msgspec.structs.replace(
        agreement,
        last_day=last_day,
        ends_at=end_of_last_day(last_day),
        terms=terms,
        extensions=(*agreement.extensions, made),
    )
    number = len(revised.extensions)
    row = msgspec.structs.asdict(made) | {"agreement": agreement.id, "number": number}
    connection.execute(insert(extensions).values(row))
    changed = {name: _row(revised)[name] for name in ("last_day", "ends_at", "terms")}
    connection.execute(update(agreements).where(agreements.c.id == agreement.id).values(changed))
    rules.end(connection, grant_of(agreement.id), now=now)
    for rule in rules_of(revised, project):
        rules.write(connection, rule)
    return revised


def end(
    connection: Connection, agreement: Agreement, how: AgreementState, why: str, *, now: datetime
) -> Agreement:
    """End an agreement and its rules at once. The caller advances the revision."""
    rules.end(connection, grant_of(agreement.id), now=now)
    connection.execute(
        update(agreements)
        .where(agreements.c.id == agreement.id)
        .values(ended_as=how.value, ended_at=now, end_reason=why)
    )
    return msgspec.structs.replace(agreement, ended_as=how, ended_at=now, end_reason=why)


def rules_of(agreement: Agreement, project: Project) -> Iterator[Rule]:
    """The rules that an agreement is enforced by.

    They are for its project's purpose and reach no audience less trusted than the project's: a
    member who falls back to a company's audience, because a secondment ended, is not covered. Whoever
    may query may see the first rows. After a revision the rules have names of their own.
    """
    terms = agreement.terms
    bound: tuple[Obligation, ...] = (
        RestrictTo(tables=terms.scope),
        LimitOutput(tier=terms.output_tier),
        *([terms.result_limit] if terms.result_limit is not None else []),
    )
    begins, named = agreement.made_at, grant_of(agreement.id)
    if agreement.extensions:
        begins, named = agreement.extensions[-1].at, f"{named}/{len(agreement.extensions)}"
    actions = [*LISTED, *terms.actions]
    if Action.QUERY in terms.actions and Action.PREVIEW not in terms.actions:
        actions.append(Action.PREVIEW)
    subjects = [principals.member(project.name, person) for person in terms.people]
    for subject in subjects or [principals.project(project.name)]:
        for action in actions:
            yield Rule(
                id=f"{named}/{subject}/{action}",
                subject=subject,
                dataset=str(agreement.dataset),
                action=action,
                purpose=project.purpose,
                nbf=rules.epoch(begins),
                exp=rules.epoch(agreement.ends_at),
                stage=project.audience,
                grant=grant_of(agreement.id),
                obligations=bound if action in DATA_ACTIONS else (),
            )


def grant_of(identifier: str) -> str:
    """How rules and decisions name an agreement."""
    return f"{GrantKind.AGREEMENT}:{identifier}"


def in_force(connection: Connection, project: str, dataset: DatasetAddress) -> Agreement | None:
    """The agreement of a project over a dataset that nobody has ended; it may have expired."""
    query = select(agreements).where(
        agreements.c.project == project,
        agreements.c.dataset == str(dataset),
        agreements.c.ended_as.is_(None),
    )
    row = connection.execute(query.with_for_update()).mappings().one_or_none()
    return None if row is None else _agreement(connection, row)


def read(connection: Connection, identifier: str) -> Agreement:
    """One agreement, locked until the transaction ends. Raises UnknownRecord."""
    if not identifier.isalnum():
        raise unknown(identifier)
    query = select(agreements).where(agreements.c.id == identifier).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise unknown(identifier)
    return _agreement(connection, row)


def list_all(connection: Connection, *, project: str | None = None) -> tuple[Agreement, ...]:
    """The agreements of a project or of all, newest first, ended ones too."""
    query = select(agreements).order_by(agreements.c.made_at.desc(), agreements.c.id)
    if project is not None:
        query = query.where(agreements.c.project == project)
    return tuple(_agreement(connection, row) for row in connection.execute(query).mappings().all())


def active_over(
    connection: Connection, dataset: DatasetAddress, *, now: datetime
) -> tuple[Agreement, ...]:
    """The agreements over a dataset that nobody has ended and that have not expired."""
    query = select(agreements).where(
        agreements.c.dataset == str(dataset),
        agreements.c.ended_as.is_(None),
        agreements.c.ends_at > now,
    )
    return tuple(_agreement(connection, row) for row in connection.execute(query).mappings().all())


def unknown(identifier: str) -> UnknownRecord:
    """The one answer for an agreement that is not there or not the caller's to see."""
    return UnknownRecord(
        f"There is no agreement {identifier[:32]!r} that you can see.",
        next_step="List them with: marketplace agreements.",
    )


def _row(agreement: Agreement) -> dict[str, object]:
    return {
        "id": agreement.id,
        "request": agreement.request,
        "project": agreement.project,
        "dataset": str(agreement.dataset),
        "terms": msgspec.json.encode(agreement.terms).decode(),
        "last_day": agreement.last_day,
        "ends_at": agreement.ends_at,
        "made_by": agreement.made_by,
        "made_at": agreement.made_at,
        "end_reason": "",
    }


def _agreement(connection: Connection, row: RowMapping) -> Agreement:
    return Agreement(
        id=row["id"],
        request=row["request"],
        project=row["project"],
        dataset=DatasetAddress.parse(row["dataset"]),
        terms=msgspec.json.decode(row["terms"], type=Terms),
        last_day=row["last_day"],
        ends_at=row["ends_at"],
        made_by=row["made_by"],
        made_at=row["made_at"],
        ended_as=AgreementState(row["ended_as"]) if row["ended_as"] else None,
        ended_at=row["ended_at"],
        end_reason=row["end_reason"],
        extensions=_extensions(connection, row["id"]),
    )


def _extensions(connection: Connection, agreement: str) -> tuple[Extension, ...]:
    of_agreement = extensions.c.agreement == agreement
    query = select(extensions).where(of_agreement).order_by(extensions.c.number)
    rows = connection.execute(query)
    return tuple(msgspec.convert(row, Extension, from_attributes=True) for row in rows)
