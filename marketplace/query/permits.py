"""Whether a statement may read what it names: decided and recorded in one transaction.

One decision per dataset, permit or deny, is written before the first byte leaves, with what was
asked, under which rule and policy revision; a second entry closes the read.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from access_policies import revision
from access_policies.decision import Decision, TableScope
from access_policies.decision_point import DecisionPoint
from access_policies.vocabulary import Action
from catalogue.address import DatasetAddress
from catalogue.dataset import Release, ReleaseTable
from catalogue.errors import InvalidAddress, Problem
from catalogue.manifest import resolve_table
from catalogue.release_shelf import ReleaseShelf
from marketplace import enforcement
from marketplace.audit.entries import Entry, EntryKind, record
from marketplace.clock import Clock
from marketplace.database import Database
from marketplace.discovery import unknown
from marketplace.engine.query.statement import Statement
from marketplace.errors import Unauthenticated
from marketplace.identity.principal import Principal
from marketplace.identity.tokens import renew

# Whoever may do one of these to a dataset may be told that it is there.
_TELLING = (Action.DISCOVER, Action.QUERY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One table as the caller gets it: the release pinned, the scope agreed, and by what."""

    release: Release
    table: ReleaseTable
    scope: TableScope
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Every table of a statement allowed, recorded as `entry` under one policy revision."""

    principal: Principal
    action: Action
    readings: tuple[Reading, ...]
    revision: int
    entry: str


class Permits:
    """Issues permits to read, and closes their records."""

    def __init__(self, *, database: Database, decision_point: DecisionPoint, clock: Clock) -> None:
        self._database = database
        self._decision_point = decision_point
        self._clock = clock
        self._releases = ReleaseShelf()

    def issue(
        self,
        principal: Principal,
        statement: Statement,
        *,
        releases: Mapping[str, int] | None = None,
        action: Action = Action.QUERY,
    ) -> Permit:
        """Decide every table in the transaction that records the decisions, permit or deny.

        `releases` pins datasets by their address to a release; any other is read as it is newest.
        Raises UnknownDataset (also for what the caller may not know of), AccessDenied,
        UnknownRelease, Unauthenticated.
        """
        refusal: Problem | None = None
        readings: tuple[Reading, ...] = ()
        with self._database.writing() as connection:
            under = revision.lock_shared(connection)
            try:
                principal = renew(connection, principal, now=self._clock())
                readings = tuple(
                    self._reading(connection, principal, action, parts, releases or {})
                    for parts in sorted(statement.tables)
                )
            except Problem as problem:
                refusal = problem
            entry = self._record(
                connection, principal, action, statement.sql, refusal=refusal, readings=readings
            )
        if refusal is not None:
            raise refusal
        return Permit(
            principal=principal, action=action, readings=readings, revision=under, entry=entry
        )

    def refuse(self, principal: Principal, sql: str, refusal: Problem) -> None:
        """Record a statement that was refused before any table of it was known."""
        with self._database.writing() as connection:
            self._record(connection, principal, Action.QUERY, sql, refusal=refusal, readings=())

    def still_stand(self, permit: Permit, connection: Connection) -> bool:
        """Whether the same question gets the same grants and obligations again."""
        try:
            principal = renew(connection, permit.principal, now=self._clock())
        except Unauthenticated:
            return False
        return all(
            _same(self._ask(connection, principal, permit.action, read.release.dataset), read)
            for read in permit.readings
        )

    def close(self, permit: Permit, rows: int, sent: int, outcome: str) -> None:
        """Close the record of a read with what it gave and how it ended."""
        closing = Entry(
            kind=EntryKind.READ_CLOSED,
            facts={"read": permit.entry, "rows": rows, "bytes": sent, "outcome": outcome},
            person={"person": permit.principal.person_id},
        )
        with self._database.writing() as connection:
            record(connection, closing, now=self._clock())

    def _reading(
        self,
        connection: Connection,
        principal: Principal,
        action: Action,
        parts: tuple[str, ...],
        pinned: Mapping[str, int],
    ) -> Reading:
        dataset = _dataset_named(parts)
        release = self._releases.latest(connection, dataset)
        decision = self._ask(connection, principal, action, dataset)
        if not decision.allowed:
            knows = any(
                self._ask(connection, principal, telling, dataset).allowed for telling in _TELLING
            )
            if release is None or not knows:
                raise unknown(".".join(parts))
            enforcement.require(
                decision,
                next_step=f"Ask for access: marketplace request {dataset}. "
                f"What stands in the way: marketplace why {dataset}.",
            )
        if release is None:
            raise unknown(".".join(parts))
        if str(dataset) in pinned:
            release = self._releases.read(connection, dataset, pinned[str(dataset)])
        address = resolve_table(release, parts)
        table = next(table for table in release.tables if table.name == address.name)
        scope = enforcement.scope_of(decision, table)
        return Reading(release=release, table=table, scope=scope, decision=decision)

    def _ask(
        self,
        connection: Connection,
        principal: Principal,
        action: Action,
        dataset: DatasetAddress,
    ) -> Decision:
        return enforcement.decide(
            connection, self._decision_point, principal, action, str(dataset), now=self._clock()
        )

    def _record(
        self,
        connection: Connection,
        principal: Principal,
        action: Action,
        sql: str,
        *,
        refusal: Problem | None,
        readings: tuple[Reading, ...],
    ) -> str:
        reasons = dict.fromkeys(read.decision.reason for read in readings)
        reason = str(refusal) if refusal else " ".join(reasons)
        entry = Entry(
            kind=EntryKind.READ_DECIDED,
            facts={
                "action": action.value,
                "allowed": refusal is None,
                "refused_as": type(refusal).__name__ if refusal else "",
                "project": principal.project or "",
                "purpose": principal.project_purpose,
                "policy_revision": revision.read(connection),
                "tables": [_recorded(read) for read in readings],
            },
            person={
                "person": principal.person_id,
                "name": principal.person_name,
                "reason": reason,
                "sql": sql,
            },
        )
        return record(connection, entry, now=self._clock())


def _dataset_named(parts: tuple[str, ...]) -> DatasetAddress:
    if len(parts) not in (2, 3):
        raise unknown(".".join(parts))
    try:
        return DatasetAddress(parts[0], parts[1])
    except InvalidAddress:
        raise unknown(".".join(parts)) from None


def _same(decision: Decision, read: Reading) -> bool:
    return (
        decision.allowed
        and decision.grant == read.decision.grant
        and decision.obligations == read.decision.obligations
    )


def _recorded(read: Reading) -> dict[str, str | int | list[str]]:
    return {
        "table": str(read.release.dataset.table(read.table.name)),
        "release": read.release.number,
        "grant": read.decision.grant,
        "rule": read.decision.rule,
        "columns": list(read.scope.columns),
    }
